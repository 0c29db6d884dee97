"""An experiment's mirrors: which there are, and what becomes of what they say.

Laws: a mirror is told what the run's own record holds, after it is on the disk; what a mirror cannot write is an event
``mirror`` of the run and a Python warning, and no error of the run.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

from repro_assets.errors import InvalidValue
from repro_assets.mirrors.choosing import mirror_named
from repro_assets.mirrors.mirror import Mirror, MirroredRun
from repro_assets.mirrors.mirroring import Mirroring
from repro_assets.recording.redaction import redact_message
from repro_assets.recording.run import Run
from repro_assets.store.offline import is_offline


class MirrorWarning(UserWarning):
    """A mirror lacks something that the run's own record has."""


def chosen(names: Sequence[str], *, offline: bool) -> list[Mirror]:
    """Return the mirrors that a person means; none of them has begun.

    Parameters
    ----------
    names : sequence of str
        What `mirror_named` takes.
    offline : bool
        Refuse those that need a network; the variable ``REPRO_OFFLINE`` does, too.

    Raises
    ------
    InvalidValue
        If a name is no mirror's, what it needs is not installed, or it needs a network and is not to have it.
    """
    if offline or is_offline():
        for name in names:
            place = name.partition(":")[2]
            if place == "online" or place.startswith(("http://", "https://", "databricks")):
                raise InvalidValue(
                    f"the mirror {name!r} needs a network, and the experiment is offline", "leave it out"
                )
    return [mirror_named(name) for name in names]


def mirror(run: Run, mirrors: Sequence[Mirror], notes: str | None) -> Mirroring:
    """Begin to tell mirrors of a run.

    Parameters
    ----------
    run : Run
        It has begun.
    mirrors : sequence of Mirror
        From `chosen`.
    notes : str, optional
        A note.
    """
    started = run.started
    told = MirroredRun(
        run.run_id, started.name, started.experiment, started.tags, None if notes is None else redact_message(notes),
        started.config, time.time_ns(),
    )  # fmt: skip
    mirroring = Mirroring(mirrors, told, lambda text: _say(run, text))
    run.told = mirroring.metrics
    return mirroring


def ended(run: Run, mirroring: Mirroring, state: str) -> None:
    """Tell mirrors that a run ends, wait for them a bounded time, and record what they lack."""
    run.flush()
    for text in mirroring.end(state):
        _say(run, text)


def _say(run: Run, text: str) -> None:
    if run.state is None:
        # With the end of the run it is on record among the run's warnings, too.
        run.warnings.append(text)
        run.log_event("mirror", run.newest_step or 0, said=text)
    warnings.warn(text, MirrorWarning, stacklevel=2)
