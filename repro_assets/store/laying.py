"""Writing objects as files of a person's own.

Laws: every byte is verified on its way, and a file that was not verified to its end is removed; files are copies, or
share blocks with the store where the file system copies on write (``FICLONE``), so that changing one changes nothing in
the store. They are not forced to the disk: they can be had again.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.lanes import Lanes, Workers
from repro_assets.store.objects import LocalObjects

_GROUP = 256


class LaidFile(NamedTuple):
    """A file to be made: its path, the objects whose bytes it holds one after the other, and its mode."""

    path: str
    objects: Sequence[Digest]
    executable: bool = False


def lay_out_files(objects: LocalObjects, files: Sequence[LaidFile]) -> None:
    """Write files that are not there, several at once.

    Raises
    ------
    MissingObject, CorruptObject
        If bytes are gone or do not match.
    OSError
        If a file cannot be written, or is there already.
    """
    if len(files) == 1:
        _write(objects, files[0], ahead=True)
        return
    groups = [files[start : start + _GROUP] for start in range(0, len(files), _GROUP)]
    workers = Workers()
    try:
        for _ in workers.map(functools.partial(_write_group, objects), groups):
            pass
    finally:
        workers.end()


def _write_group(objects: LocalObjects, files: Sequence[LaidFile]) -> None:
    alone = []
    single: dict[Digest, list[LaidFile]] = {}
    for file in files:
        if len(file.objects) == 1:
            single.setdefault(file.objects[0], []).append(file)
        else:
            alone.append(file)
    for digest, data in objects.read_packed(single):
        for file in single.pop(digest):
            with _made(file) as descriptor:
                durable.write_all(descriptor, [data])
    # What is in no pack, and what is damaged there.
    alone += [file for group in single.values() for file in group]
    for file in alone:
        _write(objects, file)


def _write(objects: LocalObjects, file: LaidFile, *, ahead: bool = False) -> None:
    with _made(file) as descriptor:
        for digest in file.objects:
            if len(file.objects) > 1 or not objects.clone_into(digest, descriptor):
                _copy(objects, digest, descriptor, ahead=ahead)


@contextlib.contextmanager
def _made(file: LaidFile) -> Iterator[int]:
    """Make a file and hold it open; it is removed where that ends by an error."""
    mode = 0o777 if file.executable else 0o666
    descriptor = os.open(file.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
    try:
        yield descriptor
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file.path)  # noqa: PTH108
        raise
    finally:
        os.close(descriptor)


def _copy(objects: LocalObjects, digest: Digest, descriptor: int, *, ahead: bool) -> None:
    blocks = objects.stream(digest)
    if not ahead:
        for block in blocks:
            durable.write_all(descriptor, [block])
        return
    # Reading and checking the next block takes as long as writing this one.
    with Lanes(1) as lanes:
        for block in blocks:
            lanes.submit(0, durable.write_all, descriptor, [block])
