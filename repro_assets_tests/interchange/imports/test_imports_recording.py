"""Runs of other tools as they are recorded here: once, whole, in order, and with nothing claimed that nobody knew."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from bundled import files_of

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.kinds import raw_bytes
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidInput, SourceChanged
from repro_assets.interchange.imports import recording
from repro_assets.interchange.imports.files import bytes_of, files_in, tree_of
from repro_assets.interchange.imports.foreign import ForeignInput, ForeignOutput, ForeignRun, run_id_of
from repro_assets.interchange.imports.recording import Recorded, record
from repro_assets.journal.segments import list_segments
from repro_assets.store.home import Home

BEGAN = 1_600_000_000.5


def foreign(folder: Path, foreign_id: str = "one", points: int = 4, **more: object) -> ForeignRun:
    """A run with a folder that it wrote."""
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "sub" / "run.sh").write_text("true\n")
    (folder / "sub" / "run.sh").chmod(0o755)
    (folder / "note.txt").write_text("said")
    facts = {"state": "COMPLETED", "started": BEGAN, "ended": BEGAN + points, "project": "theirs", **more}
    run = ForeignRun("mlflow", "there", foreign_id, f"run {foreign_id}", **facts)  # type: ignore[arg-type]
    for step in range(points):
        run.points.add("loss", step, math.nan if step == 1 else 1 / (step + 1), 1_600_000_000_000_000 + step)
    run.outputs.append(ForeignOutput("files", tree_of(*files_in(folder)), "theirs-files"))
    return run


def taken(home: Home, *runs: ForeignRun) -> Recorded:
    return record(home, Recorded("there"), runs)


def test_a_run_is_here_as_it_was_there(empty: Home, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("a,b\n")
    run = foreign(tmp_path / "made", params={"lr": 0.1}, tags=["t", "t"], note="why", error=None)
    run.inputs.append(ForeignInput("data", bytes_of(data), read_as="data.csv"))
    done = taken(empty, run)
    assert (done.runs, done.versions, done.conflicts) == ([run.run_id], ["theirs-files:v1"], [])
    shown = show_run(empty, run.run_id)
    assert (shown["run_kind"], shown["state"], shown["seconds"]) == ("imported", "COMPLETED", 4.0)
    assert (shown["params"], shown["tags"], shown["note"]) == ({"lr": 0.1}, ["t"], "why")
    assert (shown["environment"], shown["source"], shown["seed"], shown["command"]) == (None, None, None, None)
    assert (shown["inputs"][0]["digest"], shown["inputs"][0]["name"]) == (str(bytes_of(data).digest), "data.csv")
    rows = queries.rows(empty, "SELECT step, value, epoch_us(time) AS time FROM metrics ORDER BY step")
    assert [row["step"] for row in rows] == [0, 1, 2, 3] and math.isnan(rows[1]["value"])
    assert rows[3]["time"] == 1_600_000_000_000_003
    files = repository.by_name(empty, "theirs-files:v1")
    assert files is not None and files.digest == repository.put(empty, tmp_path / "made").digest
    files.lay_out(tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "run.sh").stat().st_mode & 0o100 and (tmp_path / "back" / "empty").is_dir()


def test_taking_it_again_changes_nothing(empty: Home, tmp_path: Path) -> None:
    run = foreign(tmp_path / "made")
    first = taken(empty, run)
    before = files_of(empty)
    again = taken(empty, foreign(tmp_path / "made"))
    assert files_of(empty) == before
    assert (again.runs, again.records, again.objects, again.versions) == ([], 0, 0, [])
    assert first.records > 0


def test_a_dry_run_tells_what_comes_and_writes_nothing(empty: Home, tmp_path: Path) -> None:
    run = foreign(tmp_path / "made")
    before = files_of(empty)
    told = record(empty, Recorded("there", dry_run=True), [run]).document()
    nowhere = record(None, Recorded("there"), [run]).document()
    assert files_of(empty) == before
    came = taken(empty, run).document()
    assert told == nowhere == {**came, "dry_run": True}


def test_a_run_that_grew_gets_what_is_new(empty: Home, tmp_path: Path) -> None:
    taken(empty, foreign(tmp_path / "made", state=None, tags=["a"]))
    run_id = run_id_of("mlflow", "one")
    assert show_run(empty, run_id)["state"] == "UNKNOWN"
    (tmp_path / "made" / "later.txt").write_text("later")
    grown = foreign(tmp_path / "made", points=9, tags=["a", "b"], note="new", params={"late": 1})
    done = taken(empty, grown)
    assert (done.runs, done.grown) == ([], [run_id])
    shown = show_run(empty, run_id)
    assert (shown["state"], shown["seconds"], shown["metrics"][0]["points"]) == ("COMPLETED", 9.0, 9)
    assert (shown["tags"], shown["note"], shown["params"]) == (["a", "b"], "new", {"late": 1})
    assert [row["version"] for row in shown["outputs"]] == [1, 2] or [row["version"] for row in shown["outputs"]] == [
        2,
        1,
    ]
    assert taken(empty, grown).grown == []


def test_points_that_are_gone_there_stay_here_and_are_told(empty: Home, tmp_path: Path) -> None:
    taken(empty, foreign(tmp_path / "made", points=5))
    done = taken(empty, foreign(tmp_path / "made", points=3))
    assert done.notes == ["run one has points here that are not there any more; they stay"]
    assert queries.rows(empty, "SELECT count(*) AS n FROM metrics")[0]["n"] == 5


def test_versions_follow_the_order_of_the_runs_and_are_claimed_once(
    empty: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [foreign(tmp_path / "a", "a")]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "more.txt").write_text("more")
    runs.append(foreign(tmp_path / "b", "b"))

    def cut_off(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recording, "keep_whole", cut_off)
        with pytest.raises(KeyboardInterrupt):
            taken(empty, *runs)
    # Cut off before its records, it is nowhere to be seen.
    assert queries.rows(empty, "SELECT run_id FROM runs") == []
    taken(empty, *runs)
    found = names.versions(empty, "theirs-files")
    assert [version.digest for version in found] == [run.outputs[0].artifact.digest for run in runs]
    assert len(list_segments(empty.journal)) == 1


def test_a_run_under_another_is_its_child_only_where_that_is_here(empty: Home, tmp_path: Path) -> None:
    taken(empty, foreign(tmp_path / "x", "child", parent="parent"), foreign(tmp_path / "x", "alone", parent="nobody"))
    assert show_run(empty, run_id_of("mlflow", "child"))["parent_run_id"] is None
    taken(empty, foreign(tmp_path / "x", "parent"), foreign(tmp_path / "x", "second", parent="parent"))
    parent = run_id_of("mlflow", "parent")
    assert show_run(empty, run_id_of("mlflow", "second"))["parent_run_id"] == parent
    assert [row["name"] for row in show_run(empty, parent)["children"]] == ["run second"]


def test_credentials_are_kept_out(empty: Home, tmp_path: Path) -> None:
    run = foreign(tmp_path / "made", params={"password": "hunter2hunter2"}, note="password=hunter2hunter2")
    taken(empty, run)
    shown = show_run(empty, run.run_id)
    assert shown["params"] == {"password": "<redacted: named-secret>"}
    assert "hunter2" not in shown["note"] and shown["warnings"] == [
        "params.password is not recorded: it looks like a secret (named-secret)"
    ]
    assert all(b"hunter2" not in path.read_bytes() for path in list_segments(empty.journal))


def test_a_file_that_changed_since_it_was_read_records_nothing(empty: Home, tmp_path: Path) -> None:
    run = foreign(tmp_path / "made")
    (tmp_path / "made" / "note.txt").write_text("SAID")
    with pytest.raises(SourceChanged):
        taken(empty, run)
    assert list_segments(empty.journal) == [] and names.collections(empty) == []


def test_large_files_are_taken_as_they_are(empty: Home, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 40_000)
    run = foreign(tmp_path / "made")
    run.outputs.append(ForeignOutput("large", bytes_of(large)))
    taken(empty, run)
    artifact = repository.by_digest(empty, run.outputs[1].artifact.digest)
    assert artifact.kind == raw_bytes.NAME and artifact.load() == large.read_bytes()


@pytest.mark.parametrize("what", ["link", "folder link", "fifo", "bytes"])
def test_what_is_no_plain_file_refuses_the_whole(tmp_path: Path, what: str) -> None:
    import os

    folder = tmp_path / "there"
    folder.mkdir()
    if what == "link":
        (folder / "passwd").symlink_to("/etc/passwd")
    elif what == "folder link":
        (folder / "etc").symlink_to("/etc")
    elif what == "fifo":
        os.mkfifo(folder / "pipe")
    else:
        (folder / os.fsdecode(b"\xff")).write_text("")
    with pytest.raises(InvalidInput, match="is a link" if "link" in what else "neither a file nor|no Unicode text"):
        files_in(folder)
