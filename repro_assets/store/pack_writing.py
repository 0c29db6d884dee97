"""Writing packs.

Laws: a pack is written once; it shows under its name only when it is whole and on the disk, after its index, which
needs no fsync. What is abandoned leaves nothing.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable

import xxhash

from repro_assets.errors import MachineError
from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.home import Home
from repro_assets.store.lanes import Lanes
from repro_assets.store.layout import HEADER_SIZE, Form, header
from repro_assets.store.pack_index import encode_index
from repro_assets.store.pack_scanning import MAGIC

PACK_BYTES = 128 << 20
"""A pack that has grown to this size is closed and the next one begun."""


class PackWriter:
    """Collects entries in a new pack. `close` publishes it; `abandon` leaves nothing."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.pack = uuid.uuid4().hex
        self.size = len(MAGIC)
        self._records: list[tuple[bytes, int, int]] = []
        self._descriptor: int | None
        self._descriptor, self._partial = durable.create_temporary(home.temporary)
        self._hashed = xxhash.xxh3_128()
        self._behind: Lanes | None = None
        self._waiting: list[bytes | memoryview] = [MAGIC]
        self._waiting_size = 0

    def add(self, digest: Digest, form: Form, stored: bytes | memoryview) -> None:
        """Append an entry."""
        self._records.append((bytes.fromhex(digest.hex), self.size, form.stored_size))
        self._waiting += [header(digest, form), stored]
        self._waiting_size += HEADER_SIZE + len(stored)
        self.size += HEADER_SIZE + len(stored)
        if self._waiting_size > 4 * durable.BLOCK:
            if self._behind is None:
                self._behind = Lanes(1)
            self._behind.submit(0, self._write, self._waiting)
            self._waiting, self._waiting_size = [], 0

    def close(self) -> None:
        """Put the pack on the disk and show it.

        Raises
        ------
        OSError
            If the system refuses; nothing of the pack shows then.
        """
        assert self._descriptor is not None
        try:
            if self._behind is not None:
                self._behind.finish()
            self._write(self._waiting)
            durable.sync_descriptor(self._descriptor)
            durable.ensure_folder(self.home.packs)
            index = encode_index(self.pack, self._records, self.size)
            with contextlib.suppress(MachineError):
                durable.replace_file(self.home.packs / f"{self.pack}.idx", [index], self.home.temporary)
            self._partial.rename(self.home.packs / f"{self.pack}.pack")
            durable.sync_folder(self.home.packs)
        finally:
            self.abandon()

    @property
    def check(self) -> bytes:
        """XXH3-128 of every byte of the pack, once it is closed."""
        return self._hashed.digest()

    def abandon(self) -> None:
        """Close the file and remove it if it does not show yet."""
        if self._descriptor is not None:
            if self._behind is not None:
                self._behind.abandon()
            os.close(self._descriptor)
            self._descriptor = None
            with contextlib.suppress(FileNotFoundError):
                self._partial.unlink()

    def _write(self, parts: list[bytes | memoryview]) -> None:
        assert self._descriptor is not None
        data = b"".join(parts)
        self._hashed.update(data)
        durable.write_all(self._descriptor, [data])


def encode_pack(pack: str, entries: Iterable[tuple[Digest, Form, bytes]]) -> tuple[bytes, bytes]:
    """Return a whole pack of these entries, and its index."""
    parts: list[bytes] = [MAGIC]
    records: list[tuple[bytes, int, int]] = []
    size = len(MAGIC)
    for digest, form, stored in entries:
        records.append((bytes.fromhex(digest.hex), size, form.stored_size))
        parts += [header(digest, form), stored]
        size += HEADER_SIZE + len(stored)
    return b"".join(parts), encode_index(pack, records, size)
