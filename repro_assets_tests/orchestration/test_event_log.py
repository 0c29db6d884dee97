"""Dagster's event log keeps its connections: the files are Dagster's own, and nothing that was stored is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from repro_assets.orchestration.event_log import OPEN_DATABASES, EventLog
from repro_assets.orchestration.instance import open_instance
from repro_assets.store.home import make_store

MATERIALIZED = """
import os, signal, sys
from pathlib import Path
import dagster as dg
from repro_assets.orchestration.instance import open_instance
from repro_assets.store.home import open_store

instance = open_instance(open_store(Path(sys.argv[1])))
for number in range(3):
    instance.report_runless_asset_event(dg.AssetMaterialization("numbers", metadata={"number": number}))
print("stored", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    made = EventLog.from_config_value(None, {"home": str(tmp_path)})
    yield made
    made.dispose()


def touch(log: SqliteEventLogStorage, shard: str) -> int:
    with log.run_connection(shard) as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM event_logs").scalar_one())


def open_files(folder: Path) -> set[str]:
    there = [item.readlink() for item in Path("/proc/self/fd").iterdir() if item.is_symlink()]
    return {path.stem for path in there if path.is_relative_to(folder) and path.suffix == ".db"}


def test_the_store_uses_it_and_dagsters_own_reads_what_a_killed_process_stored(tmp_path: Path) -> None:
    home = make_store(tmp_path / "home")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MATERIALIZED, str(home.root)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "stored\n"), ended.stderr
    with open_instance(home) as instance:
        assert type(instance.event_log_storage) is EventLog
        mine = instance.fetch_materializations(dg.AssetKey("numbers"), limit=9).records
    plain = tmp_path / "plain" / "dagster.yaml"
    plain.parent.mkdir()
    plain.write_text(f"storage:\n  sqlite:\n    base_dir: {home.dagster}\n")
    with dg.DagsterInstance.from_config(str(plain.parent)) as instance:
        theirs = instance.fetch_materializations(dg.AssetKey("numbers"), limit=9).records
    assert len(mine) == 3
    assert [one.event_log_entry for one in mine] == [one.event_log_entry for one in theirs]


def test_a_database_stays_open_and_of_many_the_last_used(log: EventLog, tmp_path: Path) -> None:
    for number in range(OPEN_DATABASES + 4):
        assert touch(log, f"run{number:02}") == 0
        assert touch(log, "often") == 0
    kept = open_files(tmp_path)
    assert len(kept) == OPEN_DATABASES
    assert {"often", f"run{OPEN_DATABASES + 3:02}"} <= kept
    assert "run00" not in kept
    assert touch(log, "run00") == 0
    log.dispose()
    assert open_files(tmp_path) == set()
    assert touch(log, "run00") == 0, "it opens again"


def test_a_forked_child_opens_connections_of_its_own(log: EventLog) -> None:
    touch(log, "run")
    engine = log._engines["run"]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = len(log._engines)
            with log.run_connection("run") as connection:
                connection.exec_driver_sql("CREATE TABLE of_child (x)")
            os.write(writer, f"{before} {log._engines['run'] is engine}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 99) == b"0 False"
    assert log._engines["run"] is engine
    with log.run_connection("run") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM of_child").scalar_one() == 0


def test_a_failure_leaves_no_transaction_behind(log: EventLog) -> None:
    insert = "INSERT INTO event_logs (run_id, event) VALUES ('run', 'x')"
    with pytest.raises(ZeroDivisionError), log.run_connection("run") as connection:
        connection.exec_driver_sql(insert)
        raise ZeroDivisionError
    assert touch(log, "run") == 0
    other = SqliteEventLogStorage(log._base_dir)
    with other.run_connection("run") as connection:
        connection.exec_driver_sql(insert)
    assert touch(log, "run") == 1
