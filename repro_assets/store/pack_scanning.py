"""What a pack itself says it holds, where no index is to be trusted.

Law: an entry counts where its header is right and it ends within the pack; behind a damaged header the next one is
searched for, and what lies between is a gap.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.layout import ENTRY_MAGIC, HEADER_SIZE, Form, read_header

MAGIC = b"reproPK1"
"""What every pack begins with."""


def scan(path: Path) -> Iterator[tuple[Digest, int, Form]]:
    """Yield digest, place and form of every entry whose header is right, from the pack itself.

    Behind a damaged header the next one is searched for. Stored bytes are not looked at.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        place = len(MAGIC)
        while place + HEADER_SIZE <= size:
            file.seek(place)
            found = read_header(file.read(HEADER_SIZE))
            if found is None:
                place = _next_header(file.fileno(), place + 1, size)
                continue
            digest, form = found
            if place + HEADER_SIZE + form.stored_size <= size:
                yield digest, place, form
            place += HEADER_SIZE + form.stored_size


def gaps(path: Path, entries: Iterable[tuple[Digest, int, Form]] | None = None) -> list[tuple[int, int]]:
    """Return the stretches (from, to) of a pack that are no part of it: damage, or what was cut off.

    Parameters
    ----------
    path : Path
        The pack.
    entries : iterable, optional
        What `scan` found in it, where that is known.
    """
    found = []
    place, size = 0, path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            place = len(MAGIC)
    for _, offset, form in scan(path) if entries is None else entries:
        if offset > place:
            found.append((place, offset))
        place = offset + HEADER_SIZE + form.stored_size
    if place < size:
        found.append((place, size))
    return found


def _next_header(descriptor: int, place: int, size: int) -> int:
    while place < size:
        block = os.pread(descriptor, durable.BLOCK + len(ENTRY_MAGIC), place)
        at = block.find(ENTRY_MAGIC)
        if at >= 0:
            return place + at
        place += durable.BLOCK
    return size
