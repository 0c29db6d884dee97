"""Other trackers that are told of an asset's run while its recipe works.

Laws: mirrors are no setting of the work: they change no bit, are no part of the key of reuse, and are told nothing of a
replay, nor of work that is reused, which makes no run. What is wrong with their names is said before the first asset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import DagsterExecutionInterruptedError

from repro_assets.errors import InvalidValue
from repro_assets.orchestration import pins
from repro_assets.recording.ranks import processes_of
from repro_assets.recording.run import COMPLETED, FAILED, INTERRUPTED, Run
from repro_assets.tracking import mirrored

_STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit, DagsterExecutionInterruptedError)


def check(names: Sequence[str]) -> None:
    """Refuse mirrors that are none, or that cannot work here.

    Raises
    ------
    InvalidValue
        As `repro_assets.tracking.mirrored.chosen`.
    """
    if pins.active() is None:
        mirrored.chosen(names, offline=False)


@contextmanager
def told(run: Run, names: Sequence[str], config: Any) -> Iterator[None]:
    """Tell mirrors what the run records in the body, what it has made, and how the body ended.

    Parameters
    ----------
    run : Run
        It has begun, and ends after the body.
    names : sequence of str
        What `repro_assets.mirrors.choosing.mirror_named` takes.
    config : object
        The recipe's config.

    Raises
    ------
    InvalidValue
        As `check`, or if several processes execute the recipe, of which each records its own figures.
    """
    if not names or pins.active() is not None:
        yield
        return
    if processes_of(config) > 1:
        raise InvalidValue(
            f"the figures of {processes_of(config)} processes reach no mirror", "leave out --mirror, or --nproc"
        )
    mirroring = mirrored.mirror(run, mirrored.chosen(names, offline=False), None)
    state = FAILED
    try:
        yield
        state = COMPLETED
    except _STOPS:
        state = INTERRUPTED
        raise
    finally:
        mirroring.params({name: value for name, value in run.params.items() if name not in run.started.config})
        for slot, product in run.outputs.items():
            mirroring.artifact(slot, product)
        mirrored.ended(run, mirroring, state)
