"""What a full check has verified so far, so that one that was interrupted goes on.

Laws: an object counts as verified only once every byte of it was hashed; what was found bad never does. The file is a
cache: one that is missing, damaged or older than `PASS_SECONDS` makes the check hash again, and nothing else. It is
removed when the pass has ended.

``cache/fsck-full`` is a row of 40 bytes for each object: 32 of the digest, 8 of its XXH3-64.
"""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Self

import xxhash

from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home

PASS_SECONDS = 7 * 86_400.0
"""After this time a pass that was not ended begins anew: its first objects were verified too long ago."""
_ROW = 40
_EVERY_SECONDS = 1.0


class VerifiedPass:
    """One full pass over a store. A context manager: leaving it by an exception keeps what was verified.

    Parameters
    ----------
    home : Home
        The store.
    """

    def __init__(self, home: Home) -> None:
        self._file = home.cache / "fsck-full"
        self._known: set[bytes] = set()
        self._new: list[bytes] = []
        self._written = time.monotonic()

    def __enter__(self) -> Self:
        with contextlib.suppress(FileNotFoundError):
            if self._file.stat().st_mtime > time.time() - PASS_SECONDS:
                data = self._file.read_bytes()
                rows = (data[start : start + _ROW] for start in range(0, len(data) - _ROW + 1, _ROW))
                self._known = {row[:32] for row in rows if row[32:] == xxhash.xxh3_64_digest(row[:32])}
            else:
                self.begin_anew()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.begin_anew()
        else:
            self._write()

    def __contains__(self, digest: Digest) -> bool:
        return bytes.fromhex(digest.hex) in self._known

    def add(self, digest: Digest) -> None:
        """Remember an object whose bytes are right."""
        self._new.append(bytes.fromhex(digest.hex))
        if time.monotonic() - self._written > _EVERY_SECONDS:
            self._write()

    def begin_anew(self) -> None:
        """Forget what was verified."""
        self._known.clear()
        # On a disk that cannot be written the file stays, and is too old in a week.
        with contextlib.suppress(OSError):
            self._file.unlink()

    def _write(self) -> None:
        # A disk that is full or read-only costs an interrupted check its place, and nothing else.
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                # After a kill the last row may be torn; rows stand at multiples of their size.
                file.truncate(file.tell() // _ROW * _ROW)
                file.write(b"".join(row + xxhash.xxh3_64_digest(row) for row in self._new))
        self._new = []
        self._written = time.monotonic()
