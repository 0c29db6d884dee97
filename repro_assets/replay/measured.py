"""How far a product that was made again is from the one on record, from their digests.

Laws: two products of one kind whose bytes are both there are measured, whatever made them; where they cannot be, the
reason is said, and nothing counts as near. What is told of a product is bounded, and says how much more there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import raw_bytes, tree
from repro_assets.errors import IntegrityError, InvalidValue, UnknownName, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.replay.deviation import ERRORS, Deviation, Tolerance, deviations
from repro_assets.replay.file_values import value_of
from repro_assets.store.home import Home
from repro_assets.wording import plain

MOST = 1000
"""So many deviations of one product are told."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What differs between a product and the one made again.

    Parameters
    ----------
    found : list of Deviation
        Every tensor, column or member that differs, in the order of the original.
    unmeasured : str or None
        Why they could not be compared.
    """

    found: list[Deviation] = field(default_factory=list)
    unmeasured: str | None = None

    @property
    def within(self) -> bool:
        """Whether all that differs is within the tolerance."""
        return self.unmeasured is None and all(each.within for each in self.found)

    def document(self) -> dict[str, Any]:
        """Return ``deviations``, their number ``deviating``, the greatest errors of all of them, and ``unmeasured``."""
        return {
            "deviations": [each.document() for each in self.found[:MOST]],
            "deviating": len(self.found),
            **{name: self._greatest(name) for name in ERRORS},
            "unmeasured": self.unmeasured,
        }

    def _greatest(self, name: str) -> Any:
        """Return an error as JSON; None where nothing that differs is of floats."""
        return plain(max((error for each in self.found if (error := getattr(each, name)) is not None), default=None))


def measure(home: Home, name: str, original: str, replayed: str, tolerance: Tolerance | None = None) -> Measured:
    """Measure two artifacts of a store.

    Parameters
    ----------
    home : Home
        The store.
    name : str
        What the product is called; of a file the name says what it holds.
    original, replayed : str
        Their digests.
    tolerance : Tolerance, optional
        What counts as near; nothing does without one.
    """
    try:
        one, two = (repository.by_digest(home, Digest.parse(digest)) for digest in (original, replayed))
        if one.kind != two.kind:
            return Measured([Deviation("", "type", False, None, [one.kind, two.kind])])
        if one.kind == tree.NAME:
            return Measured(_of_trees(one, two, tolerance))
        before, after = one.load(), two.load()
        if one.kind == raw_bytes.NAME:
            before, after = value_of(name, before), value_of(name, after)
        return Measured(_of_values(before, after, tolerance))
    except (IntegrityError, InvalidValue, UnknownName, UnsupportedFormat) as error:
        return Measured(unmeasured=error.message)


def _of_values(before: Any, after: Any, tolerance: Tolerance | None) -> list[Deviation]:
    found = deviations(before, after, tolerance)
    # Other bytes may hold an equal value: a file with other spaces in it, a table with other facts beside it.
    return found or [Deviation("", "content", False, None, [None, None])]


def _of_trees(one: Artifact, two: Artifact, tolerance: Tolerance | None) -> list[Deviation]:
    """Compare the files that differ, each by what it holds."""
    entries = [{entry.name: entry for entry in side.manifest.entries} for side in (one, two)]
    files = [side.load() for side in (one, two)]
    found = []
    for path in sorted(entries[0].keys() | entries[1].keys()):
        sides = [each.get(path) for each in entries]
        if sides[0] == sides[1]:
            continue
        if None in sides:
            what, shown = ("added", [None, "file"]) if sides[0] is None else ("removed", ["file", None])
            found.append(Deviation(path, what, False, None, shown))
        elif path in files[0] and path in files[1] and files[0][path] != files[1][path]:
            before, after = (value_of(path, each[path]) for each in files)
            inner = _of_values(before, after, tolerance)
            found += [replace(each, path=f"{path}: {each.path}" if each.path else path) for each in inner]
        else:
            facts = [str(side.facts if side is not None else None) for side in sides]
            found.append(Deviation(path, "type", False, None, [*facts]))
    return found
