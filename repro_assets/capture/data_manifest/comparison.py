"""What differs between two manifests; the data are not looked at.

Laws: contents are compared by size and by all hashes that both manifests have, and no hash in common is refused; an
error entry of either is neither equal nor different, but listed as not judged; a removed file is renamed where an
added one has its size and hashes, each paired once, first those that keep their name in another folder, then in the
order of their paths. Differential manifests are compared as the whole ones that they stand for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from repro_assets.capture.data_manifest.document import read_manifest
from repro_assets.capture.data_manifest.listing import DataManifest, Item, same_content, shown
from repro_assets.capture.data_manifest.resolution import resolved
from repro_assets.capture.data_manifest.walking import ERROR, FILE
from repro_assets.errors import InvalidValue


@dataclass(slots=True)
class Difference:
    """Entries that differ, from the first manifest to the second; paths are relative, as a person reads them."""

    hash_algorithms: list[str]
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    modified: list[dict[str, Any]] = field(default_factory=list)
    renamed: list[dict[str, str]] = field(default_factory=list)
    permissions: list[dict[str, str]] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unchanged: int = 0

    @property
    def identical(self) -> bool:
        """Whether the contents are shown to be the same."""
        return not (self.added or self.removed or self.modified or self.renamed or self.not_judged or self.notes)

    def document(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {"identical": self.identical, **{name: getattr(self, name) for name in self.__slots__}}


def compare_manifests(one: str | Path, other: str | Path) -> Difference:
    """Compare two manifest files.

    Parameters
    ----------
    one, other : str or Path
        Their files.

    Raises
    ------
    InvalidInput, UnsupportedFormat
        If a file is no manifest that is read here.
    InvalidValue
        If the two have no hash algorithm in common.
    CorruptRecord
        If one of them, or a base, was changed after it was written.
    """
    manifests = []
    for path in (one, other):
        loaded = read_manifest(Path(path))
        loaded.require_intact()
        manifests.append(resolved(loaded))
    return difference(*manifests)


def difference(one: DataManifest, other: DataManifest) -> Difference:
    """Compare two whole manifests.

    Raises
    ------
    InvalidValue
        If they have no hash algorithm in common.
    """
    common = [name for name in one.algorithms if name in other.algorithms]
    if not common:
        raise InvalidValue(
            f"one manifest has {', '.join(one.algorithms)} and the other {', '.join(other.algorithms)}",
            "create one of them with a hash algorithm of the other",
        )
    found = Difference(common)
    for name, manifest in (("first", one), ("second", other)):
        if manifest.left_out:
            found.notes.append(f"the {name} manifest is truncated: {manifest.left_out} files are not in it")
    if (one.include, one.exclude) != (other.include, other.exclude):
        found.notes.append("the manifests were made with different patterns")
    before, after = dict(one.items), dict(other.items)
    for path in sorted(before.keys() | after.keys()):
        sides = [side[path] for side in (before, after) if path in side]
        if any(side.type == ERROR for side in sides):
            found.not_judged.append(shown(path))
            before.pop(path, None)
            after.pop(path, None)
    if one.single and other.single and before and after:
        after = dict(zip(before, after.values(), strict=True))
    for path in [path for path in before if path in after]:
        _compare(before.pop(path), after.pop(path), found)
    for removed, added in _renames(before, after):
        found.renamed.append({"from": shown(removed), "to": shown(added)})
        del before[removed], after[added]
    found.added, found.removed = [shown(path) for path in after], [shown(path) for path in before]
    return found


def _compare(one: Item, other: Item, found: Difference) -> None:
    if same_content(one, other):
        found.unchanged += 1
    else:
        found.modified.append(
            {
                "relative_path": shown(one.path),
                "type": one.type if one.type == other.type else f"{one.type} to {other.type}",
                "size_before": one.size,
                "size_after": other.size,
            }
        )
    if one.type == other.type == FILE and one.permissions != other.permissions:
        found.permissions.append(
            {"relative_path": shown(one.path), "before": one.permissions, "after": other.permissions}
        )


def _renames(removed: Mapping[str, Item], added: Mapping[str, Item]) -> list[tuple[str, str]]:
    by_content: dict[tuple[Any, ...], list[Item]] = {}
    common = _common_names([*removed.values(), *added.values()])
    for item in added.values():
        if item.type == FILE and common:
            by_content.setdefault(_content(item, common), []).append(item)
    pairs: list[tuple[str, str]] = []
    for keeps_name in (True, False):
        paired = {before for before, _ in pairs}
        for item in removed.values():
            candidates = by_content.get(_content(item, common), []) if item.type == FILE and common else []
            names = (other for other in candidates if not keeps_name or _name(other.path) == _name(item.path))
            other = next(names, None) if item.path not in paired else None
            if other is not None:
                candidates.remove(other)
                pairs.append((item.path, other.path))
    return sorted(pairs)


def _common_names(items: list[Item]) -> list[str]:
    files = [set(item.hashes) for item in items if item.type == FILE]
    return sorted(set.intersection(*files)) if files else []


def _content(item: Item, names: list[str]) -> tuple[Any, ...]:
    return item.size, *(item.hashes[name] for name in names)


def _name(path: str) -> str:
    return PurePosixPath(path).name
