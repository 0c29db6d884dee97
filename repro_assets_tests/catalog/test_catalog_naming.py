"""What a list of artifacts calls one leads to it."""

from __future__ import annotations

import time

import pytest

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import list_artifacts, show_run
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.cli.lineage_tree import rows_of, tree_of
from repro_assets.errors import AmbiguousName, UnknownName
from repro_assets.journal.run_records import RunNoted, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.lineage.reading import lineage_of
from repro_assets.recording.lifetime import begin
from repro_assets.recording.raw_inputs import store_raw
from repro_assets.recording.run import new_run_id


def _made(home, *outputs: tuple[str, str]) -> str:
    run = begin(home, RunStarted(new_run_id(), "command", "made"))
    for slot, value in outputs:
        run.log_output(slot, value, name=f"{run.run_id}/{slot}")
    run.end()
    return run.run_id


def test_what_belongs_to_a_run_is_found_by_the_name_that_is_shown_for_it(home):
    run = _made(home, ("o.txt", "one"), ("deep/er/o.txt", "two"))
    shown = {row["name"] for row in queries.rows(home, "SELECT name FROM artifact_names")}
    assert shown == {f"{run}/o.txt", f"{run}/deep/er/o.txt"}
    for name in shown:
        found = resolve_artifact(home, name)
        assert lineage_of(home, name)[0] == str(found.digest)
        assert (found.name, found.run_id) == (name, run)
    assert resolve_artifact(home, f"{run[:8]}/deep/er/o.txt").load() == "two"
    # Less of an id than 8 digits is the path of a file.
    with pytest.raises(UnknownName):
        resolve_artifact(home, f"{run[:7]}/o.txt")


def test_of_two_under_one_name_both_digests_are_told(home):
    run = _made(home, ("o.txt", "one"), ("o.txt", "two"))
    digests = [row["digest"] for row in queries.rows(home, "SELECT digest FROM run_outputs")]
    with pytest.raises(AmbiguousName) as refused:
        resolve_artifact(home, f"{run}/o.txt")
    assert all(digest in refused.value.remedy for digest in digests)


def test_an_input_is_called_as_it_was_read_and_no_run_made_what_came_from_outside(home, tmp_path):
    (tmp_path / "data.csv").write_text("a\n1\n")
    (tmp_path / "same.csv").write_text("a\n1\n")

    def copied(name: str) -> str:
        run = begin(home, RunStarted(new_run_id(), "command", "cp"))
        read = store_raw(home, tmp_path, tmp_path / name)
        run.use(name, read)
        run.log_output("copy.csv", read, name=f"{run.run_id}/copy.csv")
        run.end()
        return run.run_id

    runs = {name: copied(name) for name in ("data.csv", "same.csv")}
    for name, run in runs.items():
        (item,) = show_run(home, run)["inputs"]
        assert item["name"] == f"raw-{name}:v1"
    assert [row["run_id"] for row in list_artifacts(home)] == [None, None]
    key, graph = lineage_of(home, "raw-data.csv:v1")
    assert graph.nodes[key].name == "raw-data.csv:v1"
    assert tree_of(graph, key, upstream=True).children == []
    (row,) = [row for row in rows_of(graph, key, upstream=True, downstream=False) if row["steps"] == 0]
    assert row["came from"] == []


def test_what_a_run_wrote_first_keeps_its_name_and_maker(home, tmp_path):
    run = _made(home, ("o.txt", b"written"))
    (tmp_path / "o.txt").write_bytes(b"written")
    time.sleep(0.001)
    store_raw(home, tmp_path, tmp_path / "o.txt")
    (row,) = list_artifacts(home)
    assert (row["name"], row["run_id"]) == ("raw-o.txt:v1", run)
    assert queries.rows(home, "SELECT name FROM artifact_names")[0]["name"] == f"{run}/o.txt"


def test_warnings_that_come_after_the_start_are_those_of_the_run(home):
    run = begin(home, RunStarted(new_run_id(), "script", "warned", warnings=["first"]))
    assert show_run(home, run.run_id)["warnings"] == ["first"]
    run.warnings.append("second")
    run.log_params({"password": "hunter2hunter2"})
    run.end()
    for _ in range(2):
        # Another record of the run, and so another look at its state, doubles nothing.
        assert show_run(home, run.run_id)["warnings"] == ["first", "second", run.warnings[2]]
        journal_at(home.journal).append(RunNoted(run.run_id, "note"))
    silent = begin(home, RunStarted(new_run_id(), "script", "silent"))
    silent.end()
    assert show_run(home, silent.run_id)["warnings"] == []
