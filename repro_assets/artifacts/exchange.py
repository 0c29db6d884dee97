"""What a push or pull did, said the same way by every part of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Exchange:
    """What a push or pull did.

    Parameters
    ----------
    remote : str
        The remote's address.
    objects, bytes : int
        Objects that travelled, and their stored bytes.
    names : int
        Versions that are new on the other side.
    segments : int
        Segments of the journal that grew there.
    skipped : int
        Objects that were there already.
    conflicts : list of dict
        ``name``, ``local`` and ``remote`` digest of each version that is two different artifacts.
    failed : list of dict
        ``digest`` or ``name``, ``reason`` and, for a digest, ``remedy`` of what could not travel.
    evicted : list of dict
        ``digest`` of each artifact that was evicted and whose bytes are on neither side, and the ``run`` that makes it
        again. Its manifest and its versions travel. No failure, because it was asked for.
    """

    remote: str
    objects: int = 0
    bytes: int = 0
    names: int = 0
    segments: int = 0
    skipped: int = 0
    conflicts: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    evicted: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing is in conflict and nothing failed."""
        return not self.conflicts and not self.failed

    def document(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return asdict(self)
