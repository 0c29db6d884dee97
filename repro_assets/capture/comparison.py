"""What differs between two captured environments.

Laws: versions are compared as versions (PEP 440: ``1.0`` is ``1.0.0``, and 12.1 is more than 9.0), everything else by
its value, each difference under the path of the setting in the document. What only one of the documents speaks about,
because the other was captured at a lower level, by an earlier version, or in vain, is no difference: it is named as not
compared, with the reason; nor is the level one. Equal documents have no difference, and a difference in one place is
one entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from repro_assets.capture.packages import normalised
from repro_assets.errors import InvalidInput

_VERSIONS = re.compile(r"python\.version|torch\.(version|cuda|hip)|.*\b(driver|cuda_driver|cudnn|nccl)")
_SETS = {"hardware.cpu.flags"}
_ABOUT_THE_CAPTURE = {"packages", "level", "unavailable"}
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One package or setting that differs.

    Parameters
    ----------
    part : str
        ``package`` or ``setting``.
    name : str
        The package's name as PEP 503 spells it, or the setting's path, such as ``variables.OMP_NUM_THREADS``.
    a, b : object
        Both values; None where there is none.
    how : str or None
        Of two versions ``upgrade``, ``downgrade`` or ``other build``; of a package of one version ``editable`` or
        ``origin``, where that differs.
    """

    part: str
    name: str
    a: Any
    b: Any
    how: str | None = None

    def __str__(self) -> str:
        if self.a is None or self.b is None:
            return f"{self.name} {self.b if self.a is None else self.a}"
        return f"{self.name} {self.a} -> {self.b}"


@dataclass(frozen=True, slots=True)
class EnvironmentDiff:
    """Everything that differs from one environment to another.

    Parameters
    ----------
    added, removed, changed : tuple of Difference
        What only the second has, what only the first has, and what both have differently; packages first, by name.
    not_compared : dict
        Path to the reason.
    """

    added: tuple[Difference, ...]
    removed: tuple[Difference, ...]
    changed: tuple[Difference, ...]
    not_compared: dict[str, str]

    @property
    def equal(self) -> bool:
        """Whether nothing differs among what was compared."""
        return not (self.added or self.removed or self.changed)

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "equal": self.equal,
            **{name: [asdict(each) for each in getattr(self, name)] for name in ("added", "removed", "changed")},
            "not_compared": self.not_compared,
        }

    def lines(self) -> list[str]:
        """Return one line for each difference, such as ``numpy 2.1 -> 2.2``."""
        return [
            *map(str, self.changed),
            *(f"{each} added" for each in self.added),
            *(f"{each} removed" for each in self.removed),
        ]


def diff_environments(a: Mapping[str, Any], b: Mapping[str, Any]) -> EnvironmentDiff:
    """Compare two documents of `repro_assets.capture.environment.capture_environment`.

    Parameters
    ----------
    a, b : mapping
        The documents; one that lacks members, as an earlier version or a lower level wrote it, is compared in the rest.

    Raises
    ------
    InvalidInput
        If one of them is no such document.
    """
    packages_a, packages_b = _packages(a, "the first"), _packages(b, "the second")
    not_compared: dict[str, str] = {}
    found = {"added": [], "removed": [], "changed": []}  # type: dict[str, list[Difference]]
    if packages_a is None or packages_b is None:
        not_compared["packages"] = _why_not("packages", a, b)
    else:
        for name in sorted({*packages_a, *packages_b}):
            _compare_package(name, packages_a.get(name), packages_b.get(name), found)
    for member in sorted({*a, *b} - _ABOUT_THE_CAPTURE):
        if not (_speaks_of(member, a) and _speaks_of(member, b)):
            not_compared[member] = _why_not(member, a, b)
            continue
        settings_a, settings_b = (dict(_settings(member, each.get(member))) for each in (a, b))
        for path in sorted({*settings_a, *settings_b}):
            if not (_in_vain(path, settings_a, a) or _in_vain(path, settings_b, b)):
                _compare_setting(path, settings_a.get(path, _ABSENT), settings_b.get(path, _ABSENT), found)
    for which, one, other in (("the first", a, b), ("the second", b, a)):
        for path, reason in _unavailable(one).items():
            if path not in _unavailable(other):
                not_compared.setdefault(path, f"{which} could not be captured: {reason}")
    return EnvironmentDiff(tuple(found["added"]), tuple(found["removed"]), tuple(found["changed"]), not_compared)


def version_change(a: str, b: str) -> str | None:
    """Return how version `b` differs from `a`: ``upgrade``, ``downgrade``, ``other build``; None if it is the same.

    A version that PEP 440 does not know is compared as text, and ``changed`` where that differs.
    """
    from packaging.version import InvalidVersion, Version

    try:
        first, second = Version(a), Version(b)
    except InvalidVersion:
        return None if a == b else "changed"
    if first == second:
        return None
    if first.public == second.public:
        return "other build"
    return "upgrade" if second > first else "downgrade"


def _packages(document: Mapping[str, Any], which: str) -> dict[str, Mapping[str, Any]] | None:
    """Return the packages by normalised name; None where the document has none."""
    if not isinstance(document, Mapping) or not ({"packages", "python"} & set(document)):
        raise InvalidInput(f"{which} is no captured environment: it has neither packages nor python")
    packages = document.get("packages")
    if not packages and not _speaks_of("packages", document):
        return None
    if not isinstance(packages, list) or not all(
        isinstance(each, Mapping) and isinstance(each.get("name"), str) for each in packages
    ):
        raise InvalidInput(f"{which} is no captured environment: its packages are no list of objects with a name")
    return {normalised(each["name"]): each for each in packages}


def _speaks_of(member: str, document: Mapping[str, Any]) -> bool:
    return member in document and (bool(document[member]) or member not in _unavailable(document))


def _unavailable(document: Mapping[str, Any]) -> Mapping[str, str]:
    return document.get("unavailable") or {}


def _in_vain(path: str, settings: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Tell whether a setting is not there because it, or what it is part of, could not be had."""
    if settings.get(path) is not None:
        return False
    # The sensors of the hardware name what they could not read without the member that it belongs to.
    names = (path, path.removeprefix("hardware."))
    return any(
        name == part or name.startswith((f"{part}.", f"{part}[")) for part in _unavailable(document) for name in names
    )


def _why_not(member: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    for which, document in (("the first", a), ("the second", b)):
        if _speaks_of(member, document):
            continue
        reason = _unavailable(document).get(member)
        if reason is not None:
            return f"{which} could not be captured: {reason}"
        level = document.get("level")
        return f"{which} does not have it" + (f" (captured at level {level})" if level else "")
    raise AssertionError("both speak of it")


def _compare_package(
    name: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, found: dict[str, list[Difference]]
) -> None:
    if a is None or b is None:
        only = a or b or {}
        values = (None, only.get("version")) if a is None else (only.get("version"), None)
        found["added" if a is None else "removed"].append(Difference("package", name, *values))
        return
    versions = str(a.get("version")), str(b.get("version"))
    how = version_change(*versions)
    if how is not None:
        found["changed"].append(
            Difference("package", name, versions[0], versions[1], None if how == "changed" else how)
        )
    for field, default in (("editable", False), ("origin", None)):
        before, after = a.get(field, default), b.get(field, default)
        if before != after:
            found["changed"].append(Difference("package", name, before, after, field))


def _compare_setting(path: str, a: Any, b: Any, found: dict[str, list[Difference]]) -> None:
    if a is _ABSENT or b is _ABSENT:
        only = b if a is _ABSENT else a
        if only is None:
            return  # absent, and said to be absent
        values = (None, only) if a is _ABSENT else (only, None)
        found["added" if a is _ABSENT else "removed"].append(Difference("setting", path, *values))
    elif isinstance(a, str) and isinstance(b, str) and _VERSIONS.fullmatch(path):
        how = version_change(a, b)
        if how is not None:
            found["changed"].append(Difference("setting", path, a, b, None if how == "changed" else how))
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        kind = "added" if a is None else "removed" if b is None else "changed"
        found[kind].append(Difference("setting", path, a, b))


def _settings(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path and value of every scalar in a part of a document."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _settings(f"{path}.{name}", item)
    elif isinstance(value, list) and path in _SETS:
        for item in value:
            yield f"{path}.{item}", item
    elif isinstance(value, list):
        names = [item.get("name") if isinstance(item, Mapping) and "index" not in item else None for item in value]
        named = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
        for position, item in enumerate(value):
            yield from _settings(f"{path}[{names[position] if named else position}]", item)
    else:
        yield path, value
