"""Dagster's storages are opened without its migrations, and are what Dagster itself makes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory

from repro_assets.orchestration.instance import SETTINGS, open_instance
from repro_assets.store.home import Home, make_store


def tables(folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """Tables, indexes, journal mode and stamp of each database."""
    found = {}
    for path in folder.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            found[path.relative_to(folder).as_posix()] = [
                *connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name"),
                *connection.execute("SELECT 'stamp', version_num FROM alembic_version"),
                *connection.execute("PRAGMA journal_mode"),
            ]
    return found


def logged(instance: dg.DagsterInstance) -> None:
    """Store an event of a run."""
    instance.event_log_storage.store_event(
        dg.EventLogEntry(
            error_info=None,
            level=20,
            user_message="logged",
            run_id="9c6b9a1c-0000-4000-8000-000000000000",
            timestamp=1.0,
            dagster_event=None,
        )
    )


@pytest.fixture
def migrations(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often Dagster's migrations have been looked for."""
    looks: list[object] = []
    load = ScriptDirectory._load_revisions
    monkeypatch.setattr(ScriptDirectory, "_load_revisions", lambda self: looks.append(self) or load(self))
    return lambda: len(looks)


def ask_all(instance: dg.DagsterInstance) -> None:
    """Make each storage open its databases."""
    assert instance.get_runs_count() == 0
    assert instance.all_instigator_state() == []
    assert instance.get_asset_keys() == []
    logged(instance)


def used(home: Home) -> None:
    with open_instance(home) as instance:
        ask_all(instance)


def test_the_databases_are_those_that_dagster_makes(tmp_path: Path) -> None:
    home = make_store(tmp_path / "home")
    used(home)
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / SETTINGS).write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(plain)) as instance:
        ask_all(instance)
    made = tables(home.dagster)
    assert len(made) == 4
    assert made == tables(plain)


def test_only_what_is_new_needs_the_migrations(tmp_path: Path, migrations: Callable[[], int]) -> None:
    home = make_store(tmp_path / "home")
    used(home)
    assert migrations() > 0
    before = migrations()
    used(home)
    assert migrations() == before


def test_a_database_without_its_stamp_is_made_whole(tmp_path: Path) -> None:
    home = make_store(tmp_path / "home")
    used(home)
    whole = tables(home.dagster)
    for name in whole:
        with sqlite3.connect(home.dagster / name) as connection:
            connection.execute("DELETE FROM alembic_version")
    used(home)
    assert tables(home.dagster).keys() == whole.keys()
    assert all(any(row[0] == "stamp" for row in rows) for rows in tables(home.dagster).values())
