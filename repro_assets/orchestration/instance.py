"""Dagster's own storage, inside the store."""

from __future__ import annotations

import os
from importlib import resources

import dagster as dg

from repro_assets.store import durable
from repro_assets.store.home import Home

SETTINGS = "dagster.yaml"


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
    return dg.DagsterInstance.from_config(folder)
