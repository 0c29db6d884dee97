"""Stored bytes straight into the memory where they are wanted, checked on their way.

Laws: nothing is held but one block and what it becomes, or a few where others help; every byte that is put in place is
the one that was checked, and not read again for it; what was filled counts only if `fill` says so, because the check
ends with the last byte.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future

import xxhash

from repro_assets.store.layout import RAW, Form
from repro_assets.store.planes import join_planes

_BLOCK = 1 << 20
# Blocks that wait for helpers: enough that none of them is idle while one is read here, and little to hold.
_AHEAD = 4
_of_thread = threading.local()


def fill(descriptor: int, start: int, form: Form, out: memoryview, helpers: Executor | None = None) -> bool:
    """Fill `out` with an object that is stored ``raw`` or as ``planes``.

    Parameters
    ----------
    descriptor, start : int
        The open file, and where the stored bytes begin in it.
    form : Form
        How they are stored; its size is that of `out`.
    out : memoryview
        Where the object goes.
    helpers : Executor, optional
        Threads that put blocks in place while this one reads and checks the next. This one may not be among them.

    Returns
    -------
    bool
        False exactly if the stored bytes are not those that were written.

    Raises
    ------
    ValueError
        If they are, and yet are no such object.
    """
    seen = xxhash.xxh3_128()
    if form.codec == RAW and form.stored_size != len(out):
        raise ValueError(f"{form.stored_size} bytes where {len(out)} are expected")
    if form.codec == RAW:
        done = 0
        while done < len(out):
            size = os.preadv(descriptor, [out[done : done + _BLOCK]], start + done)
            if not size:
                return False
            seen.update(out[done : done + size])
            done += size
        return seen.digest() == form.check
    take = _taking(descriptor, start, form.stored_size, seen, _spare if helpers is None else _fresh)
    try:
        if helpers is None:
            join_planes(take, out)
        else:
            spread = _Spread(helpers)
            try:
                join_planes(take, out, spread=spread)
            finally:
                spread.wait()
    except ValueError:
        while take(_BLOCK):
            pass
        if seen.digest() == form.check:
            raise
        return False
    return seen.digest() == form.check


class _Spread:
    """Gives work to helpers, and does it here where they have enough."""

    def __init__(self, helpers: Executor) -> None:
        self._helpers = helpers
        self._pending: deque[Future[None]] = deque()

    def __call__(self, work: Callable[[], None]) -> None:
        while self._pending and self._pending[0].done():
            self._pending.popleft().result()
        if len(self._pending) < _AHEAD:
            self._pending.append(self._helpers.submit(work))
        else:
            work()

    def wait(self) -> None:
        """Return when all is done, or raise what the first one that failed raised."""
        errors = [error for error in [future.exception() for future in self._pending] if error is not None]
        if errors:
            raise errors[0]


def _taking(
    descriptor: int, start: int, stored_size: int, seen: xxhash.xxh3_128, memory: Callable[[int], memoryview]
) -> Callable[[int], memoryview]:
    done = 0

    def take(size: int) -> memoryview:
        nonlocal done
        view = memory(min(size, stored_size - done))
        got = 0
        while got < len(view) and (more := os.preadv(descriptor, [view[got:]], start + done)):
            got += more
            done += more
        seen.update(view[:got])
        return view[:got]

    return take


def _spare(size: int) -> memoryview:
    """Return memory of this thread."""
    spare: bytearray | None = getattr(_of_thread, "spare", None)
    if spare is None or len(spare) < size:
        spare = _of_thread.spare = bytearray(max(size, _BLOCK))
    return memoryview(spare)[:size]


def _fresh(size: int) -> memoryview:
    """Return memory that nobody else has."""
    import numpy

    return memoryview(numpy.empty(size, numpy.uint8).data)
