"""The content of a data manifest, apart from how it is written.

Laws: a path stands once and is relative, without ``..``; two files have the same content exactly if their sizes and
all hashes that both have are equal, and at least one is; an error has the same content as nothing, not even itself.
Paths are as Python has file names: bytes that are not UTF-8 are lone surrogates.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from repro_assets.capture.data_manifest.walking import ERROR, FILE, FOLDER, LINK, OTHER


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a manifest.

    Parameters
    ----------
    path : str
        Relative to the folder.
    type : str
        ``file``, ``folder`` (an empty one), ``link``, ``other`` (a socket, FIFO or device) or ``error``.
    size : int
        Bytes of a file; None where nobody says.
    hashes : mapping
        Algorithm to hexadecimal digits; of a file.
    modified_time, permissions : str
        ISO 8601 in UTC, and octal mode bits; of a file.
    detail : str
        Target of a link; which type of ``other``; what went wrong.
    reason : str
        Of an error: ``unreadable`` or ``changed``.
    """

    path: str
    type: str
    size: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    modified_time: str = ""
    permissions: str = ""
    detail: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """The manifest that a differential one builds on: where it was, and its digest."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a differential manifest says about its base; `removed` are pairs of path and type."""

    added: tuple[str, ...]
    modified: tuple[str, ...]
    permissions: tuple[str, ...]
    removed: tuple[tuple[str, str], ...]
    unchanged: int


@dataclass(frozen=True, slots=True)
class DataManifest:
    """What was found under one path at one moment.

    Parameters
    ----------
    data_path : str
        Absolute path of the folder or file.
    single : bool
        Whether it is a file.
    algorithms : tuple of str
        Of the hashes.
    items : mapping
        By path; of a differential manifest only what was added or changed.
    include, exclude : tuple of str
        Patterns.
    max_files : int, optional
        The limit that was asked for.
    left_out : int
        Files beyond it.
    metadata : mapping
        What the person said about the data.
    not_counted : tuple of str
        Relative paths of manifests that lie in the folder they describe.
    generated_at : str
        ISO 8601 in UTC.
    seconds : float
        That walking and hashing took.
    base, changes
        Of a differential manifest, else None.
    """

    data_path: str
    single: bool
    algorithms: tuple[str, ...]
    items: Mapping[str, Item]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_files: int | None = None
    left_out: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    not_counted: tuple[str, ...] = ()
    generated_at: str = ""
    seconds: float = 0.0
    base: Base | None = None
    changes: Changes | None = None

    def of_type(self, type: str) -> list[Item]:
        """Entries of one type, in order."""
        return [item for item in self.items.values() if item.type == type]


def same_content(one: Item, other: Item) -> bool:
    """Tell whether two entries hold the same."""
    if one.type != other.type or one.type == ERROR:
        return False
    if one.type == FILE:
        common = one.hashes.keys() & other.hashes.keys()
        return (
            one.size == other.size and bool(common) and all(one.hashes[name] == other.hashes[name] for name in common)
        )
    return one.type == FOLDER or one.detail == other.detail


def case_clashes(paths: Iterable[str]) -> list[list[str]]:
    """Group paths that a file system which ignores case, or normalizes Unicode, takes for one."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(unicodedata.normalize("NFC", path).casefold(), []).append(path)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def shown(name: str) -> str:
    r"""Return a file name as text: each byte that is not UTF-8 as ``\xNN``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def human_size(count: int) -> str:
    """Return a number of bytes in binary units."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def counts(items: Iterable[Item]) -> dict[str, Any]:
    """Count entries by type, and the bytes of the files."""
    every = list(items)
    size = sum(item.size or 0 for item in every)
    return {
        "total_files": sum(item.type == FILE for item in every),
        "total_size_bytes": size,
        "total_size_human": human_size(size),
        "empty_folders": sum(item.type == FOLDER for item in every),
        "links": sum(item.type == LINK for item in every),
        "others": sum(item.type == OTHER for item in every),
        "errors": sum(item.type == ERROR for item in every),
    }
