"""Dagster's SQLite storages of runs and schedules, opened without reading its migrations.

Dagster's own load all of its hundred migrations each time a process opens them, to learn whether tables are to be made.
That a database has been stamped says the same; one that is not goes Dagster's way. The files are the same.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any, Self

from dagster import StringSource
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._serdes import ConfigurableClassData

BUSY_SECONDS = 60


def has_tables(database: Path) -> bool:
    """Tell whether Dagster has made its tables in a database; its migrations' stamp is what it writes last."""
    if not database.is_file():
        return False
    with contextlib.closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
        try:
            return connection.execute("SELECT 1 FROM alembic_version").fetchone() is not None
        except sqlite3.OperationalError:
            # No such table, or no database that can be read: Dagster's own way tells them apart.
            return False


class RunStorage(SqliteRunStorage):
    """Dagster's runs in ``<home>/history``, where Dagster has them by default.

    Named in ``dagster.yaml`` as ``run_storage``, with `home` as its only setting.
    """

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of its config."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return the run storage of an instance."""
        folder = Path(config_value["home"], "history")
        if has_tables(folder / "runs.db"):
            return cls(create_db_conn_string(str(folder), "runs"), inst_data)
        return cls.from_local(str(folder), inst_data)


class ScheduleStorage(SqliteScheduleStorage):
    """Dagster's schedules and sensors in ``<home>/schedules``, where Dagster has them by default.

    Named in ``dagster.yaml`` as ``schedule_storage``, with `home` as its only setting.
    """

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of its config."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return the schedule storage of an instance."""
        folder = Path(config_value["home"], "schedules")
        if has_tables(folder / "schedules.db"):
            return cls(create_db_conn_string(str(folder), "schedules"), inst_data)
        made = cls.from_local(str(folder), inst_data)
        assert isinstance(made, cls)
        return made
