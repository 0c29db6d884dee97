"""Feeding mirrors while a run goes on.

Laws: what the run calls returns at once. Each mirror has a bounded queue and a daemon thread of its own, so a slow one
stops neither the run nor another mirror. What cannot be written now is tried again, in order, with a growing pause. A
full queue takes nothing more, and counts it; what no trying would write, such as an artifact whose bytes are gone, is
counted and left out; the run is warned once for each sort of trouble, and once more at the end
with what each mirror lacks. Ending is bounded in time: it tries once more, and gives up at its limit or where that try
fails; a tool that says how long it may take to begin, such as a database that makes its tables, gets that first. A
forked child feeds none of its parent's mirrors.

Limits: the thread shares Python's interpreter with the run, so what a tool computes in Python takes time from it
(importing it, most of all). Points that were in hand when a tool stopped answering may have arrived though they are
counted as lacking.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.secrets import redact_url
from repro_assets.errors import IntegrityError, RequestError
from repro_assets.mirrors.mirror import Mirror, MirroredRun
from repro_assets.recording.readings import Point
from repro_assets.recording.redaction import redact_message

QUEUE_POINTS = 200_000
BATCH_POINTS = 5_000
GATHER_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 60.0
END_SECONDS = 15.0
# More than the halves between a full batch and one point of it: after so many in a row, it is not a point.
MOST_REFUSALS = 20


class Mirroring:
    """The mirrors of one run.

    Parameters
    ----------
    mirrors : sequence of Mirror
        Where the run goes; none of them has been started.
    run : MirroredRun
        The run.
    warn : callable
        Takes a sentence for the run's record; called by the threads.
    queue_points : int
        Points, parameters and artifacts that may wait for each mirror.
    """

    def __init__(
        self,
        mirrors: Sequence[Mirror],
        run: MirroredRun,
        warn: Callable[[str], None],
        queue_points: int = QUEUE_POINTS,
    ) -> None:
        self._process = os.getpid()
        self._feeds = [_Feed(mirror, run, warn, queue_points) for mirror in mirrors]

    def params(self, params: Mapping[str, Any]) -> None:
        """Pass parameters on."""
        if os.getpid() == self._process and params:
            kept = dict(params)
            for feed in self._feeds:
                feed.put(_Item("parameters", len(kept), lambda mirror: mirror.params(kept)))

    def metrics(self, points: Sequence[Point]) -> None:
        """Pass points on."""
        if os.getpid() == self._process and points:
            for feed in self._feeds:
                feed.put_points(points)

    def artifact(self, name: str, artifact: Artifact) -> None:
        """Pass an artifact on."""
        if os.getpid() == self._process:
            for feed in self._feeds:
                feed.put(_Item("artifacts", 1, lambda mirror: mirror.artifact(name, artifact)))

    def end(self, state: str, timeout_s: float = END_SECONDS) -> list[str]:
        """Write what waits and how the run ended, in so many seconds at most.

        A mirror that has not begun yet and has ``start_seconds`` has so many more for that.

        Returns
        -------
        list of str
            What each mirror lacks, one line each; empty where all is there. A second call returns the same.
        """
        if os.getpid() != self._process:
            return []
        limit = time.monotonic() + timeout_s
        for feed in self._feeds:
            feed.begin_to_end(state)
        return [line for feed in self._feeds if (line := feed.ended(limit)) is not None]


@dataclass(slots=True)
class _Item:
    """Something to be written: what it is, how much of that, and the call; or points."""

    what: str
    count: int
    write: Callable[[Mirror], None] | None
    points: list[Point] | None = None
    tried: bool = False


class _Feed:
    """The queue and the thread of one mirror."""

    def __init__(self, mirror: Mirror, run: MirroredRun, warn: Callable[[str], None], most: int) -> None:
        self._mirror, self._warn, self._most = mirror, warn, most
        self._items: deque[_Item] = deque([_Item("run", 0, lambda mirror: mirror.start(run))])
        self._waiting = 0
        self._given = 0
        self._lacking: dict[str, int] = {}
        self._reason = ""
        self._said: set[str] = set()
        self._unrecorded: list[str] = []
        self._overflowed = False
        self._unusable = False
        self._state: str | None = None
        self._in_hand: _Item | None = None
        self._refusals = 0
        self._ended = False
        self._given_up = False
        self._line: str | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"repro-mirror-{mirror.name}", daemon=True)
        self._thread.start()

    def put(self, item: _Item) -> None:
        with self._lock:
            if self._closed(item.what, item.count) or self._full(item.what, item.count, item.count):
                return
            self._items.append(item)
            self._waiting += item.count

    def put_points(self, points: Sequence[Point]) -> None:
        with self._lock:
            self._given += len(points)
            if self._closed("points", len(points)):
                return
            room = max(self._most - self._waiting, 0)
            if len(points) > room:
                self._full("points", len(points), len(points) - room)
                points = points[:room]
            self._waiting += len(points)
            last = self._items[-1] if self._items else None
            if (
                last is not None
                and last.points is not None
                and not last.tried
                and len(last.points) + len(points) <= BATCH_POINTS
            ):
                last.points.extend(points)
                last.count = len(last.points)
                return
            for first in range(0, len(points), BATCH_POINTS):
                part = list(points[first : first + BATCH_POINTS])
                self._items.append(_Item("points", len(part), None, part))

    def begin_to_end(self, state: str) -> None:
        with self._lock:
            if self._state is None:
                self._state = state
        self._wake.set()

    def ended(self, limit: float) -> str | None:
        """Wait for the thread until `limit`, and return what the mirror lacks."""
        start_seconds: float = getattr(self._mirror, "start_seconds", 0.0)
        if start_seconds and not self._begun.is_set():
            before = time.monotonic()
            self._begun.wait(start_seconds)
            limit += time.monotonic() - before
        self._thread.join(max(limit - time.monotonic(), 0.0))
        with self._lock:
            if self._thread.is_alive() and not self._given_up:
                self._give_up("it does not answer in the time that the end of the run has for it")
            return self._line

    def _closed(self, what: str, count: int) -> bool:
        if self._state is None and not self._unusable:
            return False
        self._lack(what, count, "it came after the end" if self._state is not None else self._reason)
        return True

    def _full(self, what: str, count: int, over: int) -> bool:
        if self._waiting + count <= self._most:
            return False
        self._overflowed = True
        self._lack(what, over, f"{self._most} points waited for it already")
        return True

    def _lack(self, what: str, count: int, reason: str) -> None:
        self._lacking[what] = self._lacking.get(what, 0) + count
        self._reason = self._reason or reason

    def _work(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            item = self._next()
            if item is None:
                return
            last_try = self._state is not None
            try:
                if item.write is not None:
                    item.write(self._mirror)
                else:
                    self._mirror.metrics(item.points or [])
                self._begun.set()
            except Exception as error:  # noqa: BLE001 - whatever a tool raises must not reach the run
                self._begun.set()
                if _is_final(error):
                    self._refused(item, error)
                    continue
                text = _shown(error)
                self._say("away", f"the mirror {self._mirror.name} takes nothing now, and is tried again: {text}")
                with self._lock:
                    if self._given_up:
                        return
                    # As long as it is away, this is why it lacks what it lacks.
                    self._reason = text
                    item.tried = True
                    self._items.appendleft(item)
                    self._in_hand = None
                    if last_try:
                        self._give_up(text)
                        return
                self._wake.wait(pause)
                pause = min(pause * 2, MOST_PAUSE_SECONDS)
            else:
                pause, self._refusals = FIRST_PAUSE_SECONDS, 0
                with self._lock:
                    self._waiting -= item.count
                    self._in_hand = None
                    if not self._lacking:
                        self._reason = ""
                    if item.what == "end" and not self._given_up:
                        self._line = self._told()
                        return

    def _next(self) -> _Item | None:
        """Take what is next; None where the mirror has ended or was given up."""
        while True:
            if self._overflowed:
                most = f"{self._most} points wait for it, and more are not taken"
                self._say("full", f"the mirror {self._mirror.name} does not keep up: {most}")
            with self._lock:
                if self._given_up:
                    return None
                state = self._state
                if not self._items and state is not None:
                    if self._unusable or self._ended:
                        self._line = self._told()
                        return None
                    self._ended = True
                    self._items.append(_Item("end", 0, functools.partial(_end, state)))
                if self._items:
                    self._in_hand = self._items.popleft()
                    return self._in_hand
            self._wake.wait(GATHER_SECONDS)

    def _refused(self, item: _Item, error: Exception) -> None:
        points = item.points or []
        self._refusals += 1
        with self._lock:
            self._in_hand = None
            if self._given_up:
                return
            if len(points) > 1 and self._refusals <= MOST_REFUSALS:
                # Which of them it is that the tool refuses, it does not say.
                half = len(points) // 2
                for part in (points[half:], points[:half]):
                    self._items.appendleft(_Item("points", len(part), None, part, tried=True))
                return
            self._waiting -= item.count
            text = _shown(error)
            if item.what == "run":
                self._unusable = True
                for waiting in self._items:
                    self._lack(waiting.what, waiting.count, text)
                self._items.clear()
                self._waiting = 0
                self._reason = text
            self._lack(item.what, max(item.count, 1), text)
        self._say("refused", f"the mirror {self._mirror.name} refuses {item.what} of this run: {text}")

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        for item in [*([self._in_hand] if self._in_hand is not None else []), *self._items]:
            if item.what != "end":
                self._lack(item.what, max(item.count, 1), reason)
        self._lack("end", 1, reason)
        self._line = self._told()

    def _told(self) -> str | None:
        said = []
        if self._lacking:
            said.append(f"lacks {', '.join(map(self._lacks, self._lacking))}: {self._reason}")
        said += [f"has {text}" for text in self._unrecorded]
        return f"the mirror {self._mirror.name} {'; '.join(said)}" if said else None

    def _lacks(self, what: str) -> str:
        if what in ("run", "end"):
            return "the run itself" if what == "run" else "how the run ended"
        count = self._lacking[what]
        return f"{count} of {self._given} points" if what == "points" else f"{count} {what}"

    def _say(self, sort: str, text: str) -> None:
        if sort in self._said:
            return
        self._said.add(sort)
        try:
            self._warn(text)
        except Exception as error:  # noqa: BLE001 - a record that takes no warning is for the run itself to notice
            with self._lock:
                self._unrecorded.append(f"a warning that the run's record did not take ({_shown(error)}): {text}")


def _end(state: str, mirror: Mirror) -> None:
    mirror.end(state)


def _is_final(error: Exception) -> bool:
    """Tell whether trying again is of no use: the tool says so, or what is to be written is at fault."""
    if isinstance(error, (OSError, json.JSONDecodeError)):
        # An answer that is no JSON comes from something that stands where the tool should be.
        return False
    return isinstance(error, (RequestError, IntegrityError, TypeError, ValueError))


def _shown(error: BaseException) -> str:
    """Return an error as one line without credentials."""
    text = " ".join(str(error).split()) or type(error).__name__
    return redact_message(" ".join(redact_url(word) if "://" in word else word for word in text.split(" ")))
