"""What a batch puts, on its way: read, hashed and brought into the form in which it is stored.

Laws: what is prepared at once fits into `WINDOW` bytes; a file is read at one moment, or the reading is an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import xxhash

from repro_assets.identity.digest import Digest
from repro_assets.store import codecs
from repro_assets.store.layout import Form
from repro_assets.store.sources import Stamp, read_stamped, unreadable

WINDOW = 64 << 20
"""Bytes that may wait in memory."""
# A lease is taken for each group, and the groups that are read ahead must fit into the window.
_GROUP_FILES = 1024
_GROUP_BYTES = min(8 << 20, WINDOW // (2 * (os.cpu_count() or 1) + 2))


class Part(NamedTuple):
    """Bytes to be put, the size of the numbers in them (1 where they are none), and of the rows that these form."""

    data: bytes | memoryview
    itemsize: int = 1
    row: int = 0


class SourceFile(NamedTuple):
    """A file to be put: where it is, and its stamp if it was looked at just now."""

    path: str
    stamp: Stamp | None = None


class Known(NamedTuple):
    """Bytes whose digest is known, and what reads them where the store lacks them."""

    digest: Digest
    read: Callable[[], bytes]


@dataclass(slots=True)
class Staged:
    """An object on its way: in memory, or in a temporary file that is on the disk."""

    digest: Digest
    form: Form
    stored: bytes | memoryview | None = None
    partial: Path | None = None


class ReadFile(NamedTuple):
    """A file that was read: its number, what is to be stored, its stamp, and when reading began."""

    number: int
    staged: Staged
    stamp: Stamp
    begun: int


def windows(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield parts in stretches of at most `WINDOW` bytes."""
    window: list[Part] = []
    size = 0
    for part in parts:
        if window and size + len(part.data) > WINDOW:
            yield window
            window, size = [], 0
        window.append(part)
        size += len(part.data)
    if window:
        yield window


def groups(files: Iterable[tuple[int, str, int]]) -> Iterator[list[tuple[int, str]]]:
    """Yield the number and path of files (number, path, size) in groups that are worth a call each."""
    group: list[tuple[int, str]] = []
    total = 0
    for number, path, size in files:
        if group and (len(group) >= _GROUP_FILES or total + size > _GROUP_BYTES):
            yield group
            group, total = [], 0
        group.append((number, path))
        total += size
    if group:
        yield group


def read_group(group: list[tuple[int, str]]) -> list[ReadFile]:
    """Read files, each as it is at one moment, and prepare what they hold.

    Raises
    ------
    InvalidInput, SourceChanged
        If one cannot be read, or changes meanwhile.
    """
    found = []
    for number, path in group:
        begun = time.time_ns()
        try:
            data, stamp = read_stamped(path)
        except OSError as error:
            raise unreadable(path, error) from error
        found.append(ReadFile(number, prepared(Digest.of(data), Part(data)), stamp, begun))
    return found


def digest_of(part: Part) -> Digest:
    """Hash a part."""
    return Digest.of(part.data)


def prepared(digest: Digest, part: Part) -> Staged:
    """Bring a part into the form in which it is stored."""
    codec, stored = codecs.encode(part.data, part.itemsize, part.row)
    return Staged(digest, form_of(codec, len(part.data), stored), stored)


def form_of(codec: str, size: int, stored: bytes | memoryview) -> Form:
    """Describe a stored form."""
    return Form(codec, size, len(stored), xxhash.xxh3_128_digest(stored))
