"""Spans of Dagster's runs and steps.

Laws: all steps of a Dagster run are in one trace, in whichever processes they work: the one that the variables of the
process name, which those of `repro run` do; otherwise the one whose id is the run's own, as where the run was launched
from Dagster's page and no process of ours stands above the steps.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import dagster as dg

from repro_assets.determinism.process_variables import variables_set
from repro_assets.journal.run_records import RunTraced
from repro_assets.journal.segments import journal_at
from repro_assets.recording import tracing
from repro_assets.recording.tracers import in_trace
from repro_assets.store.home import Home


@contextlib.contextmanager
def of_run(home: Home, run: dg.DagsterRun) -> Iterator[None]:
    """Time a Dagster run that this process executes, record its trace, and have its step processes continue it."""
    with (
        joined(run.run_id),
        tracing.span(f"{run.job_name}-{run.run_id[:8]}", "run", run_id=run.run_id, home=home) as top,
    ):
        if top.trace_id is not None and top.span_id is not None:
            journal_at(home.journal).append(RunTraced(run.run_id, top.trace_id, top.span_id))
        with variables_set(tracing.process_environment()):
            yield


@contextlib.contextmanager
def of_asset(home: Home, run_id: str, parent: str, asset: str, partition: str | None) -> Iterator[None]:
    """Time one step of an asset, from before it is looked up to after it is stored.

    Parameters
    ----------
    home : Home
        The store.
    run_id : str
        Dagster's run.
    parent : str
        The parent run on record, which is another one in a replay.
    asset, partition : str
        What is materialized.
    """
    known = {} if partition is None else {"partition": partition}
    with joined(run_id), tracing.span(asset, "asset", run_id=parent, home=home, **known):
        yield


@contextlib.contextmanager
def joined(run_id: str) -> Iterator[None]:
    """Have spans without a parent belong to the trace of a Dagster run."""
    with in_trace(uuid.UUID(run_id).hex):
        yield
