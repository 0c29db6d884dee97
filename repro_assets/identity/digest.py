"""Digests.

Laws: a digest is an algorithm and a hash, checked when it is made; ``Digest.parse(str(d)) == d``; two digests are
equal exactly if their strings are; content is hashed whole, never sampled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from repro_assets.errors import InvalidValue

ALGORITHM = "sha256"
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """SHA-256 of some bytes, written ``sha256:<64 hex>``.

    Parameters
    ----------
    hex : str
        64 lower-case hexadecimal digits.

    Raises
    ------
    InvalidValue
        If `hex` is anything else.
    """

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise InvalidValue(f"{self.hex!r} is not a SHA-256 hash", "64 lower-case hexadecimal digits")

    def __hash__(self) -> int:
        return hash(self.hex)

    def __str__(self) -> str:
        return f"{ALGORITHM}:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the one string form.

        Raises
        ------
        InvalidValue
            If the algorithm is another or the hash is malformed.
        """
        algorithm, separator, hexadecimal = text.partition(":")
        if not separator or algorithm != ALGORITHM:
            raise InvalidValue(f"{text!r} is not a digest", f"write it as {ALGORITHM}:<64 hex>")
        return cls(hexadecimal)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Digest:
        """Digest of bytes that are in memory."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_chunks(cls, chunks: Iterable[bytes | memoryview]) -> Digest:
        """Digest of the concatenation of `chunks`, in constant memory."""
        state = hashlib.sha256()
        for chunk in chunks:
            state.update(chunk)
        return cls(state.hexdigest())
