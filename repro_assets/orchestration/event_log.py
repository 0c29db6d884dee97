"""Dagster's SQLite event log with connections that stay open.

Dagster's own opens and closes a database twice for every event that it stores, and SQLAlchemy compiles its statements
anew each time; the last connection that closes also makes SQLite write its log back. For each database that it opens
first it loads its migrations, for a new one twice (`repro_assets.orchestration.storages`). The files are the same.

Laws: no connection is used on both sides of a fork; an event is in SQLite's write-ahead log when it was stored, so it
outlives its process, and a machine that loses its power loses the last of them: what must last is in the journal.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from dagster import StringSource
from dagster._core.storage.event_log import SqlEventLogStorageMetadata, SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.sql import get_alembic_config
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event, exc, text

from repro_assets.orchestration.storages import BUSY_SECONDS, has_tables

OPEN_DATABASES = 8
"""Of how many runs the databases stay open; a webserver looks at many."""


class EventLog(SqliteEventLogStorage):
    """Dagster's event log in ``<home>/history/runs``, where Dagster has it by default.

    Named in ``dagster.yaml`` as ``event_log_storage``, with `home` as its only setting.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._inherited: list[OrderedDict[str, Engine]] = []
        _logs.add(self)
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of its config."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return the event log of an instance."""
        return cls(str(Path(config_value["home"], "history", "runs")), inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.get(shard)
        if engine is None:
            # The lock is held while it is used, so one connection may serve all threads.
            engine = create_engine(
                self.conn_string_for_shard(shard),
                pool_size=1,
                connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            )
            event.listen(engine, "connect", _leave_syncing_to_checkpoints)
            self._engines[shard] = engine
            if len(self._engines) > OPEN_DATABASES:
                self._engines.popitem(last=False)[1].dispose()
        self._engines.move_to_end(shard)
        return engine

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        if engine.url.database is not None and has_tables(Path(engine.url.database)):
            return
        # Where another process makes them at this moment, Dagster waits for it.
        with suppress(exc.DatabaseError, sqlite3.DatabaseError), engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode=WAL"))
            SqlEventLogStorageMetadata.create_all(connection)
            MigrationContext.configure(connection).stamp(_migrations(), "head")
            connection.commit()
            return
        super()._initdb(engine, for_index_shard)

    def dispose(self) -> None:
        """Close the databases."""
        super().dispose()
        while self._engines:
            self._engines.popitem()[1].dispose()

    def _leave_to_parent(self) -> None:
        # Kept: closing them here would take the parent's locks from its files.
        self._inherited.append(self._engines)
        self._engines = OrderedDict()


@functools.cache
def _migrations() -> ScriptDirectory:
    return ScriptDirectory.from_config(get_alembic_config(sqlite_event_log.__file__))


def _leave_syncing_to_checkpoints(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


_logs: weakref.WeakSet[EventLog] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for log in _logs:
        log._leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)
