"""What ``repro run`` asks of the process that executes, and what that process answers.

The command line starts quickly and stays light: it starts the executing process with the variables that must be set
before Python and CUDA start, and waits.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from repro_assets.capture.project import project_root, source_folders
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.process_start import warning_filters
from repro_assets.errors import MachineError
from repro_assets.orchestration.code_locations import DEFAULT_MODULE
from repro_assets.recording import progress
from repro_assets.store.home import VARIABLE, Home

FORMAT = 1
DEFAULT_JOB = "reference"
CHILD = "repro_assets.orchestration.run_child"
# Dagster forwards a step's output through `tail`, which it ends with the step; under load the last lines were lost.
TAIL_SECONDS = ("DAGSTER_COMPUTE_LOG_TAIL_WAIT_AFTER_FINISH", "0.5")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A materialization.

    Parameters
    ----------
    selection : list of str
        Asset keys or their last parts, or selections in Dagster's syntax; empty for a job.
    job : str or None
        The job where nothing is selected; None for `DEFAULT_JOB`, or all assets where there is none.
    partition : str or None
        Partition key.
    settings : dict
        Config of the resource ``repro``.
    assets : dict
        Config of assets by key or last part: ``{"sft": {"steps": 10}}``.
    pins : dict
        Artifact for each upstream asset that is pinned.
    tags : dict
        Tags of Dagster's run.
    executor : str
        ``in_process`` or ``multiprocess``.
    resume : str or None
        What the training among the assets goes on from: a run, a checkpoint, ``RUN@TIME``, or ``auto``.
    with_missing : bool
        Also materialize what the selection is made from and nobody has materialized yet.
    module, attribute : str
        The definitions.
    """

    selection: list[str] = field(default_factory=list)
    job: str | None = None
    partition: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    executor: str = "in_process"
    resume: str | None = None
    with_missing: bool = False
    module: str = DEFAULT_MODULE
    attribute: str = "defs"
    format: int = FORMAT

    @classmethod
    def read(cls, path: Path) -> RunRequest:
        """Read a request."""
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """What became of it.

    Parameters
    ----------
    run_id : str or None
        Dagster's run; None if the request was refused.
    state : str
        COMPLETED, FAILED or INTERRUPTED.
    products : list of dict
        ``asset``, ``partition``, ``name``, ``digest``, ``run_id``, ``reused``.
    errors : list of dict
        ``step``, ``type``, ``message`` and ``exit_code`` of each failure.
    """

    run_id: str | None
    state: str
    products: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    format: int = FORMAT

    def write(self, path: Path) -> None:
        """Write the answer, under its name only when it is whole."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(dataclasses.asdict(self)))
        partial.rename(path)

    @classmethod
    def read(cls, path: Path) -> RunAnswer:
        """Read an answer."""
        return cls(**json.loads(path.read_text()))


def environment(home: Home, mode: Mode) -> dict[str, str]:
    """Return the variables of a process that executes recipes."""
    was = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        **mode.environment(),
        VARIABLE: str(home.root),
        "PYTHONWARNINGS": warning_filters(os.environ),
        TAIL_SECONDS[0]: os.environ.get(*TAIL_SECONDS),
        "DAGSTER_HOME": str(home.dagster),
        "PYTHONPATH": os.pathsep.join([*map(str, source_folders(project_root())), *filter(None, [was])]),
    }


def execute(
    home: Home,
    request: RunRequest,
    mode: Mode,
    log: IO[bytes] | None = None,
    watch: Callable[[Path], contextlib.AbstractContextManager[None]] | None = None,
) -> RunAnswer:
    """Start the executing process, wait for it, and return its answer.

    The child has a session of its own, so that Ctrl-C reaches it once, from here; this process waits for its last
    records. If this process dies, the child is told to end (on Linux).

    Parameters
    ----------
    home : Home
        The store.
    request : RunRequest
        What to execute.
    mode : Mode
        The mode whose variables the process is started with.
    log : file, optional
        Where the child's output goes; this process's stderr if left out.
    watch : callable, optional
        Gives the scope in which it is executed, for the file that then says how far it is (`recording.progress`).

    Raises
    ------
    MachineError
        If the process ended without an answer.
    KeyboardInterrupt
        If it ended so because it was interrupted.
    """
    interrupted = False
    with contextlib.ExitStack() as scopes:
        folder = Path(scopes.enter_context(tempfile.TemporaryDirectory(prefix="repro-run-")))
        asked, answered = folder / "request.json", folder / "answer.json"
        asked.write_text(json.dumps(dataclasses.asdict(request)))
        variables = environment(home, mode)
        if watch is not None:
            variables[progress.VARIABLE] = str(folder / "progress.json")
            scopes.enter_context(watch(folder / "progress.json"))
        process = subprocess.Popen(
            [sys.executable, "-m", CHILD, str(asked), str(answered)],
            cwd=project_root(),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log or sys.stderr.fileno(),
            stderr=log,
            start_new_session=True,
        )
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(signal.SIGINT)
        if not answered.is_file():
            if interrupted:
                raise KeyboardInterrupt
            how = f"signal {-code}" if code < 0 else f"code {code}"
            raise MachineError(f"the executing process ended with {how} and no answer", "see: repro runs list")
        return RunAnswer.read(answered)
