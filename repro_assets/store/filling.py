"""Stored bytes straight into the memory where they are wanted, checked on their way.

Laws: nothing is held but one block and what it becomes; a block is checked and put in place while it is in the cache;
what was filled counts only if `fill` says so, because the check ends with the last byte.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import xxhash

from repro_assets.store import codecs
from repro_assets.store.layout import RAW, Form

_BLOCK = 1 << 20
_of_thread = threading.local()


def fill(descriptor: int, start: int, form: Form, out: memoryview) -> bool:
    """Fill `out` with an object that is stored ``raw`` or as ``planes``.

    Parameters
    ----------
    descriptor, start : int
        The open file, and where the stored bytes begin in it.
    form : Form
        How they are stored; its size is that of `out`.
    out : memoryview
        Where the object goes.

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
    take = _taking(descriptor, start, form.stored_size, seen)
    try:
        codecs.join_planes(take, out)
    except ValueError:
        while take(_BLOCK):
            pass
        if seen.digest() == form.check:
            raise
        return False
    return seen.digest() == form.check


def _taking(descriptor: int, start: int, stored_size: int, seen: xxhash.xxh3_128) -> Callable[[int], memoryview]:
    done = 0

    def take(size: int) -> memoryview:
        nonlocal done
        view = _spare(min(size, stored_size - done))
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
