"""One recipe executed by several processes, which torchrun starts: the side of the process that owns the run.

Laws: the run is one, begun and ended here; the ranks add to it, the first one what is of the whole work, each one its
own figures and log lines under its rank; a rank begins with the settings that the run's record has, or not at all; what
a rank raised is raised here with its number, and one that died without a word is an error that says how it died; a
signal to this process is passed on, and the ranks stop together; nothing listens beyond loopback; when this process or
torchrun is gone, however it ended, so are the ranks within a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro_assets import errors
from repro_assets.artifacts import repository
from repro_assets.determinism.devices import BACKENDS, check_devices
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.probe import Enough
from repro_assets.determinism.process_start import variables_at_start, warning_filters
from repro_assets.determinism.settings import RECORDED_VARIABLES
from repro_assets.determinism.verification import name_of
from repro_assets.errors import CheckFailed, MachineError, PeerLost, ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.segments import journal_at
from repro_assets.recording import tracing
from repro_assets.recording.interruption import Interruption
from repro_assets.recording.rank_launcher import FAILURES
from repro_assets.recording.readings import Summary
from repro_assets.recording.run import Run
from repro_assets.store.home import VARIABLE, Home

LAUNCHER = "repro_assets.recording.rank_launcher"
FORMAT = 1
PLAN, SIGNAL = "plan.json", "signal"
DONE, INTERRUPTED, FAILED, ENOUGH = "done", "interrupted", "failed", "enough"
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_LOOK_SECONDS = 0.1


class RankFailed(CheckFailed):
    """A rank raised an error that is none of this project's own."""


def processes_of(config: Any) -> int:
    """Return how many processes execute a recipe with this config; 1 where it has no field `processes`."""
    return int(getattr(config, "processes", 1))


def settings_of(config: Any) -> dict[str, Any]:
    """Return the settings that several processes add to those of one; nothing for one process.

    Parameters
    ----------
    config : object
        A recipe's config. One with several `processes` also has `device` (``cpu`` or ``cuda``) and `bucket_megabytes`.
    """
    if processes_of(config) == 1:
        return {}
    return {
        "world_size": config.processes,
        "bucket_megabytes": config.bucket_megabytes,
        "backend": BACKENDS[config.device],
    }


def execute(
    run: Run,
    recipe: Callable[..., Any],
    config: Any,
    inputs: Mapping[str, str],
    *,
    values: Mapping[str, Any],
    inputs_home: Home,
    mode: Mode,
    what: str,
    monitor: float | None = None,
) -> Any:
    """Have a recipe executed by the processes that its config asks for, and return what it made.

    Parameters
    ----------
    run : Run
        The run, which this process began.
    recipe : callable
        ``recipe(run, config, **inputs)`` at the top of a module.
    config : object
        Its config, with several `processes`.
    inputs : mapping
        Digest of each input.
    values : mapping
        The config's fields as JSON.
    inputs_home : Home
        The store that has the inputs.
    mode : Mode
        Applied in each rank.
    what : str
        What a person is told is being executed.
    monitor : float, optional
        Seconds between two samples of what the machine does, which the first rank takes; None samples nothing.

    Raises
    ------
    InvalidValue
        If there are not enough GPUs.
    RankFailed
        If a rank raised an error that is none of this project's; one that is, is raised as what it is.
    MachineError
        If a rank, or torchrun itself, died without a word.
    """
    count = processes_of(config)
    check_devices(config.device, count)
    with tempfile.TemporaryDirectory(prefix="repro-ranks-") as name:
        folder = Path(name)
        plan = {
            "format": FORMAT,
            "recipe": name_of(recipe),
            "config": dict(values),
            "inputs": dict(inputs),
            "inputs_home": str(inputs_home.root),
            "home": str(run.home.root),
            "owner": journal_at(run.home.journal).segment,
            "run": dataclasses.asdict(run.started),
            "resumed_from": run.resumed_from,
            "mode": dataclasses.asdict(mode),
            "settings": run.started.settings,
            "ranks": settings_of(config),
            "what": what,
            "monitor": monitor,
        }
        (folder / PLAN).write_text(json.dumps(plan))
        with Interruption() as waiting:
            code = _launched(folder, count, mode, run.home, waiting)
            number = _stopped_by(run, folder, count, code)
            if number is not None:
                waiting.deliver(number)
                # Whoever handled the signal before may only have taken note of it, but the ranks have ended.
                raise SystemExit(128 + number)
        first = _answer(folder, 0)
        assert first is not None
        _add(run, first, count)
        return repository.by_digest(run.home, Digest.parse(first["product"])).load()


def _launched(folder: Path, count: int, mode: Mode, home: Home, waiting: Interruption) -> int:
    """Start torchrun, pass a signal on, and return its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", LAUNCHER, str(folder), str(count)],
        env=_variables(mode, home),
        stdin=subprocess.DEVNULL,
        # A signal to the terminal's group comes from here, once.
        start_new_session=True,
    )
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK_SECONDS)
            if waiting.number is not None and not (folder / SIGNAL).exists():
                partial = folder / f"{SIGNAL}.partial"
                partial.write_text(str(waiting.number))
                partial.rename(folder / SIGNAL)
    finally:
        if process.poll() is None:
            # The ranks see that it is gone, and end.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _variables(mode: Mode, home: Home) -> dict[str, str]:
    # What the record says of this process's start then holds of theirs; the mode sets the rest in each of them.
    start = variables_at_start()
    variables = dict(os.environ)
    for name in {*mode.environment(), *RECORDED_VARIABLES}:
        variables.pop(name, None)
        if name in start:
            variables[name] = start[name]
    # torchrun sets it where nobody has, and says so at length.
    variables.setdefault("OMP_NUM_THREADS", str(mode.threads))
    return {
        **variables,
        **tracing.process_environment(),
        VARIABLE: str(home.root),
        "PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in ("", *sys.path)),
        "PYTHONWARNINGS": warning_filters(os.environ),
        "GLOO_SOCKET_IFNAME": _LOOPBACK,
        "NCCL_SOCKET_IFNAME": _LOOPBACK,
        # Else torchrun opens a port to every network of the machine.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }


def answer_path(folder: Path, rank: int) -> Path:
    """Return where a rank writes how it ended."""
    return folder / f"rank-{rank}.json"


def _answer(folder: Path, rank: int) -> dict[str, Any] | None:
    path = answer_path(folder, rank)
    return dict(json.loads(path.read_text())) if path.is_file() else None


def _stopped_by(run: Run, folder: Path, count: int, code: int) -> int | None:
    """Return the signal at which the ranks stopped, or None where all are done.

    Raises
    ------
    ReproError
        If one has failed or died.
    Enough
        If all ended because nothing more was to be seen.
    """
    answers = {rank: found for rank in range(count) if (found := _answer(folder, rank)) is not None}
    if len(answers) == count and all(found["state"] == DONE for found in answers.values()):
        return None
    if len(answers) == count and all(found["state"] == ENOUGH for found in answers.values()):
        raise Enough(answers[0]["step"])
    remedy = f"go on from the last checkpoint: --resume {run.run_id}"
    # Where one has failed the others lose it, and say so; that is not what happened.
    causes = [
        (found["at"], rank)
        for rank, found in answers.items()
        if found["state"] == INTERRUPTED or (found["state"] == FAILED and found["error"]["type"] != PeerLost.__name__)
    ]
    if causes:
        rank = min(causes)[1]
        if answers[rank]["state"] == INTERRUPTED:
            return int(answers[rank]["signal"])
        raise _as_raised(f"rank {rank} of {count}", answers[rank]["error"])
    died = json.loads((folder / FAILURES).read_text()) if (folder / FAILURES).is_file() else []
    for rank, how in died:
        if rank not in answers:
            raise MachineError(f"rank {rank} of {count} {_death(how)}", remedy)
    lost = next((f": rank {rank}: {found['error']['message']}" for rank, found in answers.items()), "")
    raise MachineError(f"torchrun {_death(code)} before the {count} ranks were done{lost}", remedy)


def _as_raised(who: str, error: Mapping[str, str]) -> ReproError:
    known = getattr(errors, error["type"], None)
    if isinstance(known, type) and issubclass(known, ReproError):
        return known(f"{who}: {error['message']}", error["remedy"])
    return RankFailed(f"{who} raised {error['type']}: {error['message']}", error["remedy"])


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"


def seen_by(run: Run) -> dict[str, Any]:
    """Return what a rank's handle of the run knows and its owner's does not, as JSON."""
    return {
        "last_metrics": run.last_metrics,
        "curves": run.curves,
        "events": run.events,
        "checkpoints": run.checkpoints,
        "params": run.params,
        "seeds": run.seeds.used,
        "warnings": run.warnings[len(run.started.warnings) :],
        "readings": {name: dataclasses.asdict(summary) for name, summary in run.readings.items()},
    }


def _add(run: Run, seen: Mapping[str, Any], count: int) -> None:
    """Make the owner's handle know what the first rank's knew; all of it is on record already."""
    run.last_metrics.update(seen["last_metrics"])
    for name, points in seen["curves"].items():
        run.curves.setdefault(name, []).extend((step, value) for step, value in points)
    run.events += _pairs(seen["events"])
    run.checkpoints.update(seen["checkpoints"])
    run.params.update(seen["params"])
    run.seeds.used.update(seen["seeds"])
    for rank in range(count):
        run.seeds.derive(rank_consumer(rank))
    run.warnings += seen["warnings"]
    run.readings.update({name: Summary(**summary) for name, summary in seen["readings"].items()})


def rank_consumer(rank: int) -> str:
    """Return the consumer from whose seed those of a rank's global generators are derived."""
    return f"rank/{rank}"


def _pairs(events: Sequence[Sequence[Any]]) -> list[tuple[int, str]]:
    return [(int(step), str(event)) for step, event in events]
