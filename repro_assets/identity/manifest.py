"""Manifests: canonical JSON that lists the parts of an artifact.

Laws: an artifact's digest is the digest of its manifest's canonical encoding; a manifest holds names, types, shapes
and digests, and no time, run, path outside the artifact, host or compression; equal content gives an equal manifest
on every machine. ``Manifest.decode(m.encode()) == m``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from repro_assets.errors import CorruptRecord, InvalidValue, UnsupportedFormat
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest

_T = TypeVar("_T")

FORMAT = 1
KINDS = ("tensors", "table", "tree", "json", "bytes", "segments", "journal")


@dataclass(frozen=True, slots=True)
class Entry:
    """One named part of an artifact.

    Parameters
    ----------
    name : str
        Unique within the manifest: a tensor's path, a file's POSIX path, or the part's role.
    size : int
        Bytes of the part, uncompressed.
    objects : tuple of Digest
        The part's bytes are these objects, one after the other.
    facts : dict
        What else identifies the part: ``dtype`` and ``shape`` of a tensor, ``executable`` of a file, …
    """

    name: str
    size: int
    objects: tuple[Digest, ...]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of one artifact, and what holds for it as a whole.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    entries : tuple of Entry
        In the order that the kind defines.
    facts : dict
        What the kind needs beside the parts: the nesting of tensors, the columns of a table, …
    """

    kind: str
    entries: tuple[Entry, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all parts, uncompressed."""
        return sum(entry.size for entry in self.entries)

    @property
    def digest(self) -> Digest:
        """The artifact's identity."""
        return Digest.of(self.encode())

    def objects(self) -> Iterator[Digest]:
        """Every object that the artifact needs, the manifest's own excluded; repeated where parts share one."""
        for entry in self.entries:
            yield from entry.objects

    def encode(self) -> bytes:
        """Canonical JSON."""
        return canonical.encode(
            {
                "format": FORMAT,
                "kind": self.kind,
                "facts": self.facts,
                "entries": [
                    {
                        "name": entry.name,
                        "size": entry.size,
                        "objects": [str(digest) for digest in entry.objects],
                        "facts": entry.facts,
                    }
                    for entry in self.entries
                ],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read a manifest.

        Raises
        ------
        CorruptRecord
            If `data` is not a manifest.
        UnsupportedFormat
            If a newer version wrote it.
        """
        raw = canonical.decode(data)
        if not isinstance(raw, dict) or not isinstance(raw.get("format"), int):
            raise CorruptRecord("these bytes are not a manifest")
        if raw["format"] > FORMAT:
            raise UnsupportedFormat(f"manifest format {raw['format']} is newer than {FORMAT}", "upgrade repro-assets")
        try:
            return cls(
                kind=_typed(raw["kind"], str),
                facts=_typed(raw["facts"], dict),
                entries=tuple(
                    Entry(
                        name=_typed(item["name"], str),
                        size=_counted(item["size"]),
                        objects=tuple(Digest.parse(_typed(text, str)) for text in item["objects"]),
                        facts=_typed(item["facts"], dict),
                    )
                    for item in raw["entries"]
                ),
            )
        except (KeyError, TypeError, InvalidValue) as error:
            raise CorruptRecord(f"these bytes are not a manifest: {error}") from error


def _typed(value: Any, kind: type[_T]) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _counted(value: Any) -> int:
    if _typed(value, int) < 0:
        raise TypeError(f"{value!r} is no size")
    return int(value)
