"""Names, steps and parameters as another tool can hold them.

Laws: what a tool can hold arrives unchanged. A name that it cannot hold is replaced, by one that no other name gets,
and the pair is told so that the mirror writes it down. A point without a step gets the step after the newest one of its
name, 0 if there is none; that is how W&B and Lightning count, but for each name alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from repro_assets.recording.readings import Point
from repro_assets.wording import plain

NO_PATH = r"[^\w\-. :/]|(?:^|(?<=/))\.{1,2}(?=/|$)|^\.\.|^/|/(?=/|$)"
"""What MLflow takes in no name, because it takes a name for a path: no part may be empty, or a step up.

Letters are Unicode's, there as well.
"""
_LONGEST_PATH, _LONGEST_PART = 250, 200
_DIGITS = 8
# What a name that is made leaves free: for the digits, and for a prefix such as `name.`.
_SPARE = 20
_LEAST_STEP, _MOST_STEP = -(2**63), 2**63 - 1

Placed = tuple[str, int, float, int]
"""Name, step, value, and the time in nanoseconds since 1970."""


class Names:
    """Names as one tool holds them.

    Parameters
    ----------
    forbidden : str
        A pattern of what may not stand in a name; each match becomes an underscore.
    longest : int
        Characters that a name may have.
    reserved : str
        A pattern of whole names that the tool keeps for itself, or could not tell from a folder.
    """

    def __init__(self, forbidden: str, longest: int, reserved: str = r"(?!)") -> None:
        self._forbidden = re.compile(forbidden)
        self._longest = longest
        self._reserved = re.compile(reserved)
        self._known: dict[str, str] = {}
        self._untold: dict[str, str] = {}

    def held(self, name: str) -> str:
        """Return the name under which the tool holds this one."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._made(name)
            if found != name:
                self._untold[found] = name
        return found

    def changed(self) -> dict[str, str]:
        """Return the names that were replaced and not yet reported by `told`: the new one to the old one."""
        return dict(self._untold)

    def told(self, names: Mapping[str, str]) -> None:
        """Forget replaced names that are written down."""
        for name in names:
            self._untold.pop(name, None)

    def _made(self, name: str) -> str:
        data = name.encode("utf-8", "surrogatepass")
        clean = self._forbidden.sub("_", data.decode("utf-8", "replace"))
        if clean == name and 0 < len(name) <= self._longest and not self._reserved.fullmatch(name):
            return name
        return f"{clean[: self._longest - _SPARE]}_{hashlib.sha256(data).hexdigest()[:_DIGITS]}"


class Steps:
    """The newest step of each name."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def placed(self, points: Sequence[Point]) -> list[Placed]:
        """Return the points, each with a step; `taken` makes it count.

        Calling it again with the same points returns the same steps, so that a batch may be tried again.
        """
        newest = dict(self._newest)
        found = []
        for name, step, value, time in points:
            place = newest.get(name, -1) + 1 if step is None else step
            newest[name] = place
            found.append((name, place, value, time))
        return found

    def taken(self, points: Sequence[Placed]) -> None:
        """Count points that the tool has taken."""
        for name, step, _, _ in points:
            self._newest[name] = step


def path_of(name: str) -> str:
    """Return a relative path, which file systems and MLflow hold, for a name; a slash in it makes a folder."""
    held = Names(NO_PATH, _LONGEST_PATH).held(name)
    # A file system counts bytes, and not letters.
    if all(len(part.encode()) <= _LONGEST_PART for part in held.split("/")):
        return held
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def fits_64_bits(step: int) -> bool:
    """Tell whether a step is an integer as tools hold it."""
    return _LEAST_STEP <= step <= _MOST_STEP


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested dictionaries under names joined by dots."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def as_text(value: Any) -> str:
    """Return a parameter as text: a scalar as Python says it, anything else as JSON."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return holdable(str(value))
    return holdable(json.dumps(plain(value), ensure_ascii=False))


def as_json(value: Any) -> str:
    """Return a JSON-like value, indented; NaN and infinities are strings."""
    return holdable(json.dumps(plain(value), indent=2, ensure_ascii=False))


def holdable(text: str) -> str:
    """Return text that UTF-8 can hold: half a character that stands alone becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
