"""Failing or dying at the Nth system call of a piece of work, in a process of its own.

Laws: calls are counted over all threads, from 1; exactly one of them is made to fail; a case runs in a forked child of
a process that has every module loaded and has never touched the store of the case, so the child is as good as a new
process and costs a fork.

What the library for remotes does in one call is one call here. It fails with the library's own error, and an upload is
killed when half of its bytes are in the remote's folder. Its threads do not survive a fork, so the process that forks
must never have used a remote.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import obstore
from obstore.exceptions import GenericError

from repro_assets.errors import ReproError

_SYSTEM = ("open", "write", "pwrite", "fsync", "fdatasync", "rename", "replace", "link", "unlink", "mkdir", "rmdir")
_REMOTE = ("put", "get", "get_range", "list", "head")
CALLS: dict[str, tuple[Any, str]] = {
    **{name: (os, name) for name in (*_SYSTEM, "ftruncate", "utime")},
    "flock": (fcntl, "flock"),
    **{f"remote {name}": (obstore, name) for name in _REMOTE},
}
"""The functions that are counted, by the name that is shown; those that only read a local file are left alone."""

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
                if name == "remote put" and named.get("mode") != "create":
                    real(*arguments[:2], _half(arguments[2]), chunk_size=1)
                os.kill(os.getpid(), signal.SIGKILL)
            if self.mode == "after":
                real(*arguments, **named)
            number = errno.ENOSPC if self.mode == "full" else errno.EIO
            if name.startswith("remote "):
                raise GenericError(f"Generic LocalFileSystem error: {os.strerror(number)} (os error {number})")
            raise OSError(number, os.strerror(number))

        return call


def _half(data: Any) -> Iterator[bytes]:
    """Yield the first half of what is being sent, and die when that has arrived."""
    whole = data if isinstance(data, bytes) else b"".join(data)
    yield whole[: len(whole) // 2]
    os.kill(os.getpid(), signal.SIGKILL)


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
    for shown, (module, name) in CALLS.items():
        setattr(module, name, faults.wrapped(shown, getattr(module, name)))
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
