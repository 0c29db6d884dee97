"""Dagster's SQLite storages of runs and schedules, opened without reading its migrations.

Dagster's own load all of its hundred migrations each time a process opens them, to learn whether tables are to be made.
That a database has been stamped says the same; one that is not goes Dagster's way. The files are the same.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any, ClassVar

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


class _InHome:
    """A storage whose only setting is `home`; its database is ``<home>/FOLDER/DATABASE.db``, as Dagster has it."""

    FOLDER: ClassVar[str]
    DATABASE: ClassVar[str]

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of its config."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Any:
        """Return the storage of an instance."""
        storage: Any = cls
        folder = Path(config_value["home"], cls.FOLDER)
        if has_tables(folder / f"{cls.DATABASE}.db"):
            return storage(create_db_conn_string(str(folder), cls.DATABASE), inst_data)
        return storage.from_local(str(folder), inst_data)


class RunStorage(_InHome, SqliteRunStorage):
    """Dagster's runs; named in ``dagster.yaml`` as ``run_storage``."""

    FOLDER, DATABASE = "history", "runs"


class ScheduleStorage(_InHome, SqliteScheduleStorage):
    """Dagster's schedules and sensors; named in ``dagster.yaml`` as ``schedule_storage``."""

    FOLDER, DATABASE = "schedules", "schedules"
