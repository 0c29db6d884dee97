"""Runs of MLflow's databases and servers come in whole, once, and with nothing that MLflow does not say."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from bundled import files_of
from exported import World
from mlflow_places import client_of, emptied, runs_of, served

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidInput, MachineError, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.interchange import formats
from repro_assets.interchange.imports.foreign import run_id_of
from repro_assets.store.home import Home

MOST = 1.7976931348623157e308


@pytest.fixture
def theirs(in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    """A database that MLflow's own client fills; its artifacts lie beside it."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path / "theirs")
    database = emptied(in_mlflow / "mlflow.db", tmp_path / "theirs" / "mlflow.db")
    return client_of(database), database


def taken(home: Home, path: Path | str, **more: Any) -> Any:
    return formats.take_in(path, "mlflow", home=home, **more)


def points_of(home: Home, run: str) -> list[tuple[str, int | None, str]]:
    asked = "SELECT name, step, value FROM metrics WHERE run_id = $run"
    return sorted(
        (row["name"], -1 if row["step"] is None else row["step"], repr(row["value"]))
        for row in queries.rows(home, asked, {"run": run})
    )


def test_what_was_taken_out_comes_back_as_it_was(world: World, in_mlflow: Path, empty: Home) -> None:
    done = taken(empty, in_mlflow)
    assert len(done.runs) == 6 and done.left_out == [] and done.notes == []
    found = {
        show_run(empty, run)["imported_from"][0]["details"]["tags"]["repro.run_id"]: show_run(empty, run)
        for run in done.runs
    }
    for run_id in (world.data, *world.trains, world.evaluation, world.failed, world.hostile):
        back, there = found[run_id], show_run(world.home, run_id)
        for part in ("name", "state", "experiment", "config", "params", "tags", "note"):
            assert back[part] == there[part], (run_id, part)
        assert points_of(empty, back["run_id"]) == points_of(world.home, run_id)
        made = {(row["slot"], row["digest"]) for row in there["outputs"]}
        assert {(row["slot"], row["digest"]) for row in back["outputs"] if row["slot"] != "artifacts"} == made
        assert all(repository.by_digest(empty, Digest.parse(digest)).verify() for _, digest in made)
        for moment in ("started_at", "ended_at"):
            assert abs((back[moment] - there[moment]).total_seconds()) <= 0.001
        # It is another tool's run: nothing is claimed that would let it be replayed.
        claimed = ("environment", "source", "seed", "commit", "recipe", "command", "asset")
        assert {back[name] for name in claimed} == {None} and back["run_kind"] == "imported"
    loaded = repository.by_digest(empty, world.made["dataset-experience"].digest).load()
    assert loaded.first == 7 and loaded.columns["reward"].tolist() == [0, 1, 2, 3]


def test_again_changes_nothing_and_a_dry_run_writes_nothing(in_mlflow: Path, empty: Home) -> None:
    before = files_of(empty)
    told = taken(empty, in_mlflow, dry_run=True).document()
    nowhere = formats.take_in(in_mlflow, "mlflow", home=None, dry_run=True).document()
    assert files_of(empty) == before
    came = taken(empty, in_mlflow).document()
    assert told == nowhere == {**came, "dry_run": True}
    between = files_of(empty)
    again = taken(empty, in_mlflow / "mlflow.db")
    assert (again.runs, again.records, again.objects) == ([], 0, 0) and files_of(empty) == between


def test_a_folder_that_was_moved_keeps_its_artifacts(
    world: World, in_mlflow: Path, empty: Home, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(in_mlflow, moved)
    with contextlib.closing(sqlite3.connect(moved / "mlflow.db")) as database:
        database.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, '/nowhere')", [str(in_mlflow)])
        database.commit()
    taken(empty, moved)
    assert repository.by_digest(empty, world.made["model-0"].digest).is_whole()


def test_a_product_that_was_changed_is_files_and_no_product(
    world: World, in_mlflow: Path, empty: Home, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(in_mlflow, moved)
    client = client_of(moved / "mlflow.db")
    run = runs_of(client)[world.trains[0]].info
    with contextlib.closing(sqlite3.connect(moved / "mlflow.db")) as database:
        database.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", [str(in_mlflow), str(moved)])
        database.commit()
    (file,) = (moved / "artifacts").rglob(f"{run.run_id}/artifacts/model/data/00000.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    taken(empty, moved)
    back = show_run(empty, run_id_of("mlflow", run.run_id))
    assert [row["slot"] for row in back["outputs"]] == ["artifacts", "notes"]
    assert back["warnings"] == ["model is not what was exported any more: its files are kept as files"]
    files = repository.by_digest(empty, Digest.parse(back["outputs"][0]["digest"])).load()
    assert files["model/data/00000.npy"] == bytes(data) and "model/MLmodel" in files


def fill(client: Any, folder: Path) -> dict[str, Any]:
    """Runs as a program of MLflow's makes them: a parent with a child, one that goes on, one that was deleted."""
    entities: Any = import_module("mlflow.entities")
    experiment = client.create_experiment("their project")
    ids = {}
    for number, name in enumerate(("parent", "child", "going", "deleted")):
        tags = {"mlflow.user": "erika", "team": "vision", "mlflow.note.content": "why it is"}
        if name == "child":
            tags["mlflow.parentRunId"] = ids["parent"]
        run = client.create_run(experiment, start_time=1_600_000_000_000 + number, run_name=name, tags=tags)
        ids[name] = run.info.run_id
    child = ids["child"]
    values = [1.0, math.nan, math.inf, -math.inf, -0.0, 1e-300]
    metrics = [
        entities.Metric("loss/é", value, 1_600_000_001_000 + step, step - 2) for step, value in enumerate(values)
    ]
    client.log_batch(child, metrics=metrics, params=[entities.Param("lr", "0.1"), entities.Param("empty", "")])
    data = entities.Dataset("flowers", "abc123", "local", "{}")
    client.log_inputs(child, [entities.DatasetInput(data, [])])
    (folder / "plots").mkdir()
    (folder / "plots" / "a b.txt").write_text("picture")
    client.log_artifacts(child, str(folder))
    for name, state in (("parent", "FINISHED"), ("child", "KILLED"), ("deleted", "FINISHED")):
        client.set_terminated(ids[name], state, end_time=1_600_000_002_000)
    client.delete_run(ids["deleted"])
    return ids


def check(home: Home, done: Any, ids: dict[str, Any], infinity: float) -> None:
    """Hold what came against what `fill` made."""
    assert sorted(done.runs) == sorted(run_id_of("mlflow", ids[name]) for name in ("parent", "child"))
    assert done.left_out == [{"run": ids["going"], "name": "going", "reason": "it is RUNNING there"}]
    assert "left out: going" in "\n".join(done.told())
    child = show_run(home, run_id_of("mlflow", ids["child"]))
    assert child["parent_run_id"] == run_id_of("mlflow", ids["parent"])
    assert (child["state"], child["experiment"], child["note"]) == ("INTERRUPTED", "their project", "why it is")
    assert child["params"] == {"lr": "0.1", "empty": ""} and round(child["seconds"], 3) == 1.999
    assert child["tags"] == ["dataset=flowers@abc123", "team=vision"]
    (origin,) = child["imported_from"]
    assert (origin["tool"], origin["foreign_id"]) == ("mlflow", ids["child"])
    assert origin["details"]["user"] == "erika" and origin["details"]["datasets"][0]["digest"] == "abc123"
    zero = repr(-0.0) if math.isinf(infinity) else "0.0"
    values = ["1.0", "nan", repr(infinity), repr(-infinity), zero, "1e-300"]
    assert [value for _, _, value in sorted(points_of(home, child["run_id"]), key=lambda row: row[1])] == values
    (output,) = child["outputs"]
    files = repository.by_digest(home, Digest.parse(output["digest"])).load()
    assert dict(files) == {"plots/a b.txt": b"picture"} and output["slot"] == "artifacts"


def test_runs_of_a_program_come_in_as_mlflow_has_them(theirs: tuple[Any, Path], empty: Home, tmp_path: Path) -> None:
    client, database = theirs
    (tmp_path / "files").mkdir()
    ids = fill(client, tmp_path / "files")
    before = database.read_bytes()
    # MLflow's databases hold no infinity, and SQLite has one zero.
    check(empty, taken(empty, database.parent), ids, MOST)
    assert database.read_bytes() == before
    # One that has ended meanwhile comes with the next import, and nothing else does.
    client.set_terminated(ids["going"], "FAILED", end_time=1_600_000_003_000)
    client.set_tag(ids["child"], "later", "tag")
    client.log_metric(ids["child"], "loss/é", 7.0, timestamp=1_600_000_009_000, step=9)
    more = taken(empty, database)
    assert more.runs == [run_id_of("mlflow", ids["going"])] and more.grown == [run_id_of("mlflow", ids["child"])]
    assert show_run(empty, more.grown[0])["metrics"][0]["points"] == 7
    assert "later=tag" in show_run(empty, more.grown[0])["tags"]


def _truncated(database: Path) -> None:
    data = database.read_bytes()
    database.write_bytes(data[: len(data) // 2])


def _overwritten(database: Path) -> None:
    data = bytearray(database.read_bytes())
    for place in range(4096 * 3, len(data), 4096):
        data[place : place + 64] = b"\xff" * 64
    database.write_bytes(data)


def _sql(text: str) -> Callable[[Path], None]:
    def change(database: Path) -> None:
        with contextlib.closing(sqlite3.connect(database)) as opened:
            opened.execute(text)
            opened.commit()

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_truncated, "damaged"),
        (_overwritten, "damaged"),
        (lambda database: database.write_bytes(b""), "nothing of MLflow's"),
        (_sql("DROP TABLE params"), "no database of MLflow"),
        (_sql("CREATE VIEW v AS SELECT 1"), "views"),
        (_sql("UPDATE runs SET artifact_uri = '/etc'"), "names /etc as its artifacts"),
        (_sql("UPDATE runs SET artifact_uri = 'file:///a/../' || run_uuid || '/artifacts'"), "as its artifacts"),
    ],
    ids=["cut", "overwritten", "empty", "table", "view", "elsewhere", "up"],
)
def test_what_is_wrong_refuses_the_whole(
    in_mlflow: Path, empty: Home, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(in_mlflow / "mlflow.db", database)
    spoil(database)
    before = files_of(empty)
    with pytest.raises(InvalidInput, match=said):
        taken(empty, database)
    assert files_of(empty) == before


def test_a_link_among_artifacts_refuses_the_whole(theirs: tuple[Any, Path], empty: Home, tmp_path: Path) -> None:
    client, database = theirs
    (tmp_path / "files").mkdir()
    ids = fill(client, tmp_path / "files")
    root = Path(client.get_run(ids["child"]).info.artifact_uri)
    (root / "plots" / "passwd").symlink_to("/etc/passwd")
    before = files_of(empty)
    with pytest.raises(InvalidInput, match="is a link"):
        taken(empty, database)
    assert files_of(empty) == before


def test_what_is_nothing_of_mlflows_is_one_line(empty: Home, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "folder", tmp_path / "text"):
        with pytest.raises(InvalidInput, match="nothing of MLflow's"):
            taken(empty, path)
    with pytest.raises(InvalidInput, match="is not there"):
        taken(empty, tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="serve it"):
        taken(empty, "postgresql://me:hunter2@host/db")
    with pytest.raises(MachineError, match=r"^http://127\.0\.0\.1:9 does not answer"):
        taken(empty, "http://me:hunter2@127.0.0.1:9")


def test_a_newer_database_is_named(in_mlflow: Path, empty: Home, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(in_mlflow / "mlflow.db", database)
    _sql("UPDATE alembic_version SET version_num = 'ffffffffffff'")(database)
    with pytest.raises(UnsupportedFormat, match="a newer MLflow wrote"):
        taken(empty, database)


OLDER = """
import sys
from alembic import command
from mlflow.store.db import utils
from mlflow.store.db.base_sql_model import Base
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
engine = utils.create_sqlalchemy_engine(sys.argv[1])
InitialBase.metadata.create_all(engine)
# The tables of MLflow 1.29, of 2022.
config = utils._get_alembic_config(sys.argv[1])
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, "cc1f77228345")
"""


def test_an_older_database_is_read_and_left_as_it_was(empty: Home, tmp_path: Path) -> None:
    database = tmp_path / "old.db"
    made = subprocess.run(
        [sys.executable, "-c", OLDER, f"sqlite:///{database}"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    run = "0123456789abcdef0123456789abcdef"
    with contextlib.closing(sqlite3.connect(database)) as opened:
        opened.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
            "VALUES (1, 'old', '/old', 'active')"
        )
        opened.execute(
            "INSERT INTO runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, "
            "experiment_id) VALUES (?, 'of old', 'erika', 'FINISHED', 1000, 2000, 'active', ?, 1)",
            [run, f"/old/{run}/artifacts"],
        )
        opened.execute("INSERT INTO params VALUES ('lr', '0.5', ?)", [run])
        columns = "key, value, timestamp, run_uuid, step, is_nan"
        for table in (f"metrics ({columns})", "latest_metrics (key, value, timestamp, run_uuid, step, is_nan)"):
            opened.execute(f"INSERT INTO {table} VALUES ('loss', 0.25, 1500, ?, 3, 0)", [run])
        opened.commit()
    before = database.read_bytes()
    done = taken(empty, database)
    shown = show_run(empty, done.runs[0])
    assert (shown["name"], shown["params"], shown["seconds"]) == ("of old", {"lr": "0.5"}, 1.0)
    assert points_of(empty, done.runs[0]) == [("loss", 3, "0.25")]
    assert database.read_bytes() == before and not (tmp_path / "mlruns").exists()


def test_to_a_server_and_back(world: World, in_mlflow: Path, empty: Home, tmp_path: Path) -> None:
    database = emptied(in_mlflow / "mlflow.db", tmp_path / "served.db")
    (tmp_path / "kept").mkdir()
    for address in served(database, tmp_path / "kept", tmp_path / "log"):
        done = formats.export(world.data, world.trains[0], to=address, format="mlflow", home=world.home)
        assert done.path == address and done.verified
        came = taken(empty, address)
    assert len(came.runs) == 2
    for run in came.runs:
        back = show_run(empty, run)
        there = show_run(world.home, back["imported_from"][0]["details"]["tags"]["repro.run_id"])
        assert (back["params"], back["config"]) == (there["params"], there["config"])
        made = {(row["slot"], row["digest"]) for row in there["outputs"]}
        assert made <= {(row["slot"], row["digest"]) for row in back["outputs"]}
        assert back["imported_from"][0]["place"] == address
