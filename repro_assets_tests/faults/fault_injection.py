"""Failing or dying at the Nth system call of a piece of work, in a process of its own.

Laws: calls are counted over all threads, from 1; exactly one of them is made to fail; a case runs in a forked child of
a process that has every module loaded and has never touched the store of the case, so the child is as good as a new
process and costs a fork.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import importlib.util
import json
import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from repro_assets.errors import ReproError

CALLS: dict[str, Any] = {
    **dict.fromkeys(("open", "write", "pwrite", "fsync", "fdatasync", "rename", "replace", "link", "unlink"), os),
    **dict.fromkeys(("mkdir", "rmdir", "ftruncate", "utime"), os),
    "flock": fcntl,
}
"""The functions that are counted, and the modules that they are in; those that only read are left alone."""

MODES = ("full", "broken", "after", "killed")
"""ENOSPC before the call, EIO before it, EIO after it was done, SIGKILL before it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a piece of work ended.

    Parameters
    ----------
    killed : bool
        It was ended by SIGKILL.
    result : object
        What it returned, where it did.
    error, exit_code, trace : str, int and str
        The class of its error, its exit code (None for one that is not the project's own), and where it came from.
    calls : list of str
        The calls that were counted.
    """

    killed: bool
    result: Any = None
    error: str | None = None
    exit_code: int | None = None
    trace: str = ""
    calls: tuple[str, ...] = ()


class _Faults:
    def __init__(self, at: int, mode: str) -> None:
        self.at, self.mode = at, mode
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                self.calls.append(name)
                hit = len(self.calls) == self.at
            if not hit:
                return real(*arguments, **named)
            if self.mode == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.mode == "after":
                real(*arguments, **named)
            number = errno.ENOSPC if self.mode == "full" else errno.EIO
            raise OSError(number, os.strerror(number))

        return call


def available(module: str) -> Any:
    """Return a module of the project; None where this version has none of that name."""
    return importlib.import_module(module) if importlib.util.find_spec(module) is not None else None


def run_in_child(work: Callable[[], Any], at: int = 0, mode: str = "full") -> Outcome:
    """Do `work` in a forked child and return how it ended.

    Parameters
    ----------
    work : callable
        Returns something that JSON can write.
    at : int
        The call that fails; none does for 0.
    mode : str
        One of `MODES`.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work_and_leave(work, at, mode, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return Outcome(killed=True)
    document = json.loads(said)
    return Outcome(killed=False, **{**document, "calls": tuple(document["calls"])})


def _work_and_leave(work: Callable[[], Any], at: int, mode: str, descriptor: int) -> None:
    real_write = os.write
    faults = _Faults(at, mode)
    for name, module in CALLS.items():
        setattr(module, name, faults.wrapped(name, getattr(module, name)))
    answer: dict[str, Any] = {}
    try:
        answer["result"] = work()
    except BaseException as error:  # noqa: BLE001  (the parent judges it)
        answer["error"] = type(error).__name__
        answer["exit_code"] = error.exit_code if isinstance(error, ReproError) else None
        answer["trace"] = traceback.format_exc()
    finally:
        said = json.dumps({**answer, "calls": faults.calls}).encode()
        while said:
            said = said[real_write(descriptor, said) :]
        os._exit(0)
