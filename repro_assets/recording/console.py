"""What a run wrote to stdout and stderr, as text of its record.

Laws: nothing is redirected: where a stream of the process leads to a file, as it does in every step of Dagster's and
where a shell was told so, the stretch that was written while the run lasted is the run's; a terminal and a pipe keep
nothing. Where the stretch lies is among the run's `host_facts` from its start, so a run that was killed, or is still
executing, is shown from the file, as long as that is the same one. At the end the text becomes a record, past the
secret scanner: of each stream the first `HEAD` and the last `TAIL` bytes, with a line that says how much was left out.

Limit: what other threads or runs of the process write meanwhile is in the stretch too.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from repro_assets.journal.run_records import ConsoleKept, RunStarted
from repro_assets.recording.redaction import redact_message
from repro_assets.store.home import Home

FACT = "console"
HEAD, TAIL = 16 << 10, 48 << 10
_MARGIN = 8 << 10
"""A credential that a cut goes through is recognized if it lies within so many bytes of it."""
_STREAMS = {"stdout": 1, "stderr": 2}
# Control sequences of terminals: those of ECMA-48, and the longer ones, such as titles and links, with their ends.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[ -/]*[0-~])")
_ended: dict[tuple[int, int], int] = {}
"""Where the last run's stretch ended, by device and inode."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stretch of a stream begins; `path` is relative to the store where it lies in it."""

    path: str
    device: int
    inode: int
    offset: int


def places(home: Home, *, late: bool = False, streams: Mapping[str, int] | None = None) -> dict[str, Place]:
    """Return where what is written from now on will be, by stream; streams that lead to one file are one.

    Parameters
    ----------
    home : Home
        The store.
    late : bool
        Whether the work has begun already; then it is from where the last run ended, else from the file's beginning.
    streams : mapping, optional
        Descriptor of each stream; those of this process if left out.
    """
    found: dict[str, Place] = {}
    seen = set()
    for name, descriptor in (streams or _STREAMS).items():
        _flush(name)
        opened = _file_of(descriptor)
        if opened is None:
            continue
        path, facts = opened
        file = facts.st_dev, facts.st_ino
        if file not in seen:
            seen.add(file)
            inside = path.relative_to(home.root) if path.is_relative_to(home.root) else path
            found[name] = Place(str(inside), *file, _ended.get(file, 0) if late else facts.st_size)
    return found


def announced(started: RunStarted, there: Mapping[str, Place]) -> RunStarted:
    """Return the start of a run with where its streams begin, where there are any."""
    if not there:
        return started
    described = {name: asdict(place) for name, place in there.items()}
    return replace(started, host_facts={**started.host_facts, FACT: described})


def kept(home: Home, run_id: str, found: Mapping[str, Place]) -> list[ConsoleKept]:
    """Return the records of what was written until now; a stream to which nothing was written has none."""
    records = []
    for name, place in found.items():
        _flush(name)
        try:
            written = read(home, place)
        except OSError as error:
            # A run's result is not lost over what it printed.
            records.append(ConsoleKept(run_id, name, f"[it could not be read: {error.strerror}]", 0, 0))
            continue
        if written is not None and written[1]:
            records.append(ConsoleKept(run_id, name, *written))
            _ended[place.device, place.inode] = place.offset + written[1]
    return records


def recorded_place(fact: Any) -> Place | None:
    """Return a place out of a run's `host_facts`; None for what is none."""
    try:
        return Place(str(fact["path"]), int(fact["device"]), int(fact["inode"]), int(fact["offset"]))
    except (KeyError, TypeError, ValueError):
        return None


def read(home: Home, place: Place) -> tuple[str, int, int] | None:
    """Read a stretch to the end of its file.

    Returns
    -------
    tuple or None
        Its text, how many bytes were written and how many of them are left out; None where the file is another one
        now, or gone.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    try:
        with (home.root / place.path).open("rb") as file:
            facts = os.fstat(file.fileno())
            if (facts.st_dev, facts.st_ino) != (place.device, place.inode) or facts.st_size < place.offset:
                return None
            size = facts.st_size - place.offset
            if size <= HEAD + TAIL + 2 * _MARGIN:
                file.seek(place.offset)
                whole = _text(file.read(size))
                return (whole, size, 0) if size <= HEAD + TAIL else _cut(whole, whole, size)
            file.seek(place.offset)
            first = _text(file.read(HEAD + _MARGIN))
            file.seek(place.offset + size - TAIL - _MARGIN)
            return _cut(first, _text(file.read(TAIL + _MARGIN)), size)
    except FileNotFoundError:
        return None


def readable(text: str) -> str:
    """Return what a program wrote as plain lines: without what only a terminal understands, and without tabs.

    Of a line that was written over itself, as a progress bar is, the last state is left.
    """
    lines = []
    for line in _SEQUENCE.sub("", text).split("\n"):
        states = [state for state in line.split("\r") if state]
        lines.append(states[-1].expandtabs() if states else "")
    return "\n".join(lines)


def _cut(first: str, last: str, size: int) -> tuple[str, int, int]:
    """Join the beginning of one text and the end of another, at ends of lines where there are such."""
    first, last = first[:HEAD], last[-TAIL:]
    first = first[: first.rfind("\n") + 1] or first
    last = last[last.find("\n") + 1 :] or last
    left_out = max(0, size - len(first.encode("utf-8", "surrogatepass")) - len(last.encode("utf-8", "surrogatepass")))
    return f"{first}\n[{left_out} bytes left out]\n{last}", size, left_out


def _text(data: bytes) -> str:
    return redact_message(data.decode("utf-8", "backslashreplace"))


def _flush(name: str) -> None:
    stream = getattr(sys, name)
    # A program may have closed it, or have none.
    with contextlib.suppress(AttributeError, ValueError):
        stream.flush()


def _file_of(descriptor: int) -> tuple[Path, os.stat_result] | None:
    """Return path and facts of the file that a descriptor leads to; None where it is no file, or one without a name."""
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None
        path = Path(_name_of(descriptor))
        named = path.stat()
    except OSError:
        # The stream is closed, or the file was removed while it is open.
        return None
    return (path, facts) if (named.st_dev, named.st_ino) == (facts.st_dev, facts.st_ino) else None


def _name_of(descriptor: int) -> str:
    if sys.platform == "darwin":
        import fcntl

        return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())
