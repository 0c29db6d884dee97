"""Processes of this project's modules, begun where their imports have been made already.

Laws: it is a process of its own, in a session of its own, with the arguments, folder, variables and import path that it
would have had; nothing of this project is imported before it begins. What a process cannot learn after its start, such
as PYTHONHASHSEED, is that of `START`; who needs another starts a new interpreter.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro_assets.determinism.mode import Mode

START = Mode().environment()
LIBRARIES = (
    "torch", "pandas", "pyarrow.parquet", "duckdb", "git", "psutil", "dagster", "dagster._core.execution.api",
    "dagster._core.storage.sqlite_storage", "dagster._daemon.controller", "dagster._utils.test", "mako.exceptions",
    "matplotlib.figure", "matplotlib.backends.backend_agg",
)  # fmt: skip
_context = multiprocessing.get_context("forkserver")


class Executing:
    """``python -m MODULE ARGUMENTS``, with what `subprocess.Popen` offers of it; stderr goes to the log too, or not."""

    def __init__(
        self,
        module: str,
        arguments: list[str],
        folder: Path,
        environment: dict[str, str],
        log: Path,
        errors: Path | None = None,
    ) -> None:
        _begin_server()
        self._log = log
        given = (module, arguments, folder, environment, (log, errors or log), _import_path())
        self._process = _context.Process(target=_execute, args=given)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[bytes, None]:
        self.wait(timeout)
        return self._log.read_bytes(), None

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def popen(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: Any, **more: Any) -> Any:
    """Do what `subprocess.Popen` does; a module of this project is begun here if it may be."""
    ours = len(words) > 2 and list(words[:2]) == [sys.executable, "-m"] and words[2].startswith("repro_assets.")
    if not ours or not START.items() <= env.items():
        return subprocess.Popen(words, cwd=cwd, env=env, stdout=stdout, **more)
    descriptor = stdout if isinstance(stdout, int) else stdout.fileno()
    log = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    return Executing(words[2], list(words[3:]), cwd, dict(env), log)


STARTING = types.SimpleNamespace(**{**vars(subprocess), "Popen": popen})
"""The module subprocess, for what starts the processes of requests and replays."""


@functools.cache
def _begin_server() -> None:
    """Start the process that has the libraries and is forked; its variables are `START` and this process's others."""
    from multiprocessing import forkserver

    _context.set_forkserver_preload(list(LIBRARIES))
    before = dict(os.environ)
    os.environ.update(START)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


@functools.cache
def _import_path() -> list[str]:
    """Return a new interpreter's import path without its first entry and PYTHONPATH."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    asked = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.path[1:]))"]
    path: list[str] = json.loads(subprocess.run(asked, env=variables, capture_output=True, check=True).stdout)
    return path


def _execute(
    module: str,
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    streams: tuple[Path, Path],
    path: list[str],
) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *path]
    for name in [name for name in sys.modules if name.split(".")[0] in ("repro_assets", "executing")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    # A fork has its parent's streams.
    random.seed()
    sys.modules["numpy"].random.seed()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        _leave()


def _leave() -> None:
    """Do what an interpreter does at its end and a fork leaves out."""
    interpreter: Any = threading
    interpreter._shutdown()
    functions: Any = atexit
    functions._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
