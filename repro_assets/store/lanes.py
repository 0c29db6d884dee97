"""Work on several cores at once, a few pieces ahead of whoever waits for it.

Laws: results come in the order of the work, and an error of any piece is raised where its result is taken; who leaves
cores to others (`leaving`) has no more threads than there are cores besides.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    import concurrent.futures

_T = TypeVar("_T")
_R = TypeVar("_R")


class _Share(threading.local):
    cores = os.cpu_count() or 1


_share = _Share()


@contextlib.contextmanager
def leaving(cores: int) -> Iterator[None]:
    """Leave `cores` to others in the work of this thread; at least one stays."""
    before = _share.cores
    _share.cores = max(1, before - cores)
    try:
        yield
    finally:
        _share.cores = before


class Workers:
    """A thread for each core that this thread does not leave to others, begun when there is work for two."""

    def __init__(self) -> None:
        self._cores = _share.cores
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """Call `function` on all cores, with few calls ahead of the consumer, and yield the results in order."""
        pending: deque[concurrent.futures.Future[_R]] = deque()
        items = iter(items)
        first = list(itertools.islice(items, 2))
        if len(first) < 2 or self._cores == 1:
            yield from map(function, itertools.chain(first, items))
            return
        if self._pool is None:
            self._pool = _threads(self._cores)
        for item in itertools.chain(first, items):
            pending.append(self._pool.submit(function, item))
            if len(pending) > 2 * self._cores:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def end(self) -> None:
        """Wait for what was begun, and begin nothing more of it."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


class Lanes:
    """Threads that each do their work in order, with at most a few blocks ahead."""

    def __init__(self, number: int) -> None:
        self._threads = [_threads(1) for _ in range(number)]
        self._pending: deque[concurrent.futures.Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def submit(self, lane: int, function: Callable[..., None], *arguments: Any) -> None:
        """Do a piece of work after all earlier ones of its lane."""
        self._pending.append(self._threads[lane].submit(function, *arguments))
        if len(self._pending) > 8:
            self._pending.popleft().result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def finish(self) -> None:
        """Wait until all is done, and raise the first error of what was submitted last."""
        for thread in self._threads:
            thread.shutdown(wait=True)
        while self._pending:
            self._pending.popleft().result()

    def abandon(self) -> None:
        """Wait for what was begun, and begin nothing more of it."""
        for thread in self._threads:
            thread.shutdown(wait=True, cancel_futures=True)


def _threads(number: int) -> concurrent.futures.ThreadPoolExecutor:
    # It imports the logging of Python's library, which a put of one small file does without.
    import concurrent.futures

    return concurrent.futures.ThreadPoolExecutor(number, thread_name_prefix="repro-store")
