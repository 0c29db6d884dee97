"""Dagster's own storage, inside the store.

Law: its tables are made by one process alone, because Dagster's processes that begin at the same moment in a new store
all find them missing, and all but one fail when they make them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib import resources

import dagster as dg

from repro_assets.errors import MachineError
from repro_assets.store import durable
from repro_assets.store.home import Home


class Unreadable(MachineError):
    """Dagster's storage cannot be read."""


SETTINGS = "dagster.yaml"
_MADE = "tables-made"


def prepare(home: Home) -> str:
    """Make the folder that DAGSTER_HOME must name, with its settings, and return it."""
    target = home.dagster / SETTINGS
    if not target.is_file():
        text = resources.files("repro_assets.orchestration").joinpath(SETTINGS).read_bytes()
        durable.write_file(target, [text], home.temporary, exclusive=True)
    return str(home.dagster)


def open_instance(home: Home) -> dg.DagsterInstance:
    """Open Dagster's storage of this store; it is the caller's to close (a context manager)."""
    folder = prepare(home)
    # Step processes of the multiprocess executor find the storage through the variable.
    os.environ["DAGSTER_HOME"] = folder
    if not (home.dagster / _MADE).is_file():
        _make_tables(home)
    return dg.DagsterInstance.from_config(folder)


@contextlib.contextmanager
def asked(home: Home) -> Iterator[dg.DagsterInstance]:
    """Open Dagster's storage of this store for questions.

    Raises
    ------
    Unreadable
        If it cannot be read, also in the body.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with open_instance(home) as instance:
            yield instance
    except SQLAlchemyError as error:
        said = str(error).splitlines()[0]
        raise Unreadable(
            f"Dagster's storage in {home.dagster} cannot be read: {said}",
            "check its owner, mode and mount options: SQLite reads only where it can write",
        ) from error


def _make_tables(home: Home) -> None:
    with durable.locked(home.dagster / f"{_MADE}.lock"):
        with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
            # Each is made when it is asked for.
            for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
                assert storage is not None
        durable.write_file(home.dagster / _MADE, [b""], home.temporary)
