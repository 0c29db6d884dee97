"""Which code decides a recipe's bits.

Laws: a code version covers the first-party modules that the given modules import, directly or through others, at any
depth of their code, with the ``__init__`` of every package on the way, and the declared data files. Formatting,
comments and docstrings do not change it; any other change in those files does, and no change elsewhere. It stops at
`STOPS`: those modules change what is recorded, never what is computed. Modules are found and read as files:
none is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from repro_assets.capture.imports import ANALYSIS_VERSION, Analysis, Import, analyse
from repro_assets.capture.packages import used_distributions
from repro_assets.errors import InvalidInput, MachineError, UnknownName
from repro_assets.identity.canonical import digest_of
from repro_assets.store import sealed

STOPS = (
    "repro_assets.recording",
    "repro_assets.capture",
    "repro_assets.journal",
    "repro_assets.store",
    "repro_assets.catalog",
)
"""Packages of this project that change the record, not the bits."""

NOT_INSTALLED = "not installed"
"""Version of a distribution that is imported and not there; the name is then the import's."""

_ALWAYS = ("numpy", "torch")
"""Nearly every numerical library computes through these, also where the code itself does not name them."""


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """Version of the code that decides a recipe's bits.

    Parameters
    ----------
    value : str
        ``sha256:<64 hex>`` over `modules` and the data files.
    modules : dict
        Module name to the digest of its syntax tree (of its bytes, for a compiled module), in order of the names.
    foreign : frozenset of str
        What the modules import of others, dotted. Not part of `value`.
    """

    value: str
    modules: dict[str, str]
    foreign: frozenset[str]

    @property
    def distributions(self) -> dict[str, str]:
        """Third-party distributions that the modules import, and numpy and torch, to their versions, asked for now."""
        return _versions(self.foreign)


_analyses: dict[str, Analysis] = {}


def code_version(
    *modules: str,
    data_files: Sequence[str | os.PathLike[str]] = (),
    root: Path | None = None,
    cache: Path | None = None,
) -> CodeVersion:
    """Derive the version of the code that `modules` run.

    Parameters
    ----------
    *modules : str
        Dotted names. Their top-level packages are first-party.
    data_files : sequence of path
        Files that the code reads and that belong to it; relative ones are below `root`, or the current folder.
    root : path, optional
        Folder that holds the top-level packages, itself or in ``src``; by default they are found as Python finds them.
    cache : path, optional
        Folder in which analyses are kept by file digest, beside those in memory, as far as it can be written.

    Raises
    ------
    UnknownName
        If there is no such module.
    InvalidInput
        If a file does not read or is not Python.
    """
    if not modules:
        raise InvalidInput("no module was named", "name the module that holds the recipe")
    roots = None if root is None else [root, root / "src"]
    tree = _Tree({module.split(".")[0] for module in modules}, roots, cache)
    for module in modules:
        if not tree.follow(module):
            raise UnknownName(f"there is no module {module}", "name it as it would be imported")
    digests = dict(sorted(tree.digests.items()))
    data = {_data_name(file, root): _file_digest(file, root) for file in data_files}
    value = digest_of({"format": 1, "modules": digests, "data_files": data})
    return CodeVersion(str(value), digests, frozenset(tree.foreign))


def first_party_files(files: Sequence[Path], modules: Sequence[str], roots: Sequence[Path]) -> dict[str, Path]:
    """Return the Python files of a project that programs and modules of it run, by name, as a code version covers them.

    Parameters
    ----------
    files : sequence of path
        Programs; the name of each is its path.
    modules : sequence of str
        Dotted names.
    roots : sequence of path
        Folders that modules are imported from; what lies in none of them is not the project's.

    Raises
    ------
    InvalidInput
        If a file does not read or is not Python.
    """
    tops = {
        each.stem for root in roots if root.is_dir() for each in root.iterdir() if each.is_dir() or _is_python(each)
    }
    tree = _Tree(tops, roots, None)
    for module in modules:
        tree.follow(module)
    for file in files:
        tree.follow_file(file)
    found = {name: place for name in tree.digests if (place := tree.place(name)) is not None and _is_python(place)}
    return {**{str(file): file for file in files}, **found}


class _Tree:
    """First-party modules that were met, and the names of the others that they import."""

    def __init__(self, first_party: set[str], roots: Sequence[Path] | None, cache: Path | None) -> None:
        self.digests: dict[str, str] = {}
        self.foreign: set[str] = set()
        self._cache = cache
        self._folders = {name: _folders_of(name, roots) for name in first_party}
        self._places: dict[str, Path | None] = {}
        self._read: dict[Path, Analysis] = {}

    def follow(self, module: str) -> bool:
        """Take a module, its packages and all that they import; False if there is no such module."""
        if self._locate(module) is None:
            return False
        waiting = [module]
        while waiting:
            for name in _with_parents(waiting.pop()):
                # What was asked for by name is taken even where an import of it would not be followed.
                if name not in self.digests and (name in _with_parents(module) or not _is_stop(name)):
                    waiting += self._take(name)
        return True

    def follow_file(self, file: Path) -> None:
        """Take all that a program imports."""
        for each in self._analysis(file).imports:
            for target in self._targets(each, ""):
                self.follow(target)

    def place(self, name: str) -> Path | None:
        """Return the file of a module that was taken."""
        return self._locate(name)

    def _take(self, name: str) -> list[str]:
        """Digest one module; return the first-party modules that it imports."""
        place = self._locate(name)
        if place is None or place.is_dir():  # a namespace package has no code
            return []
        if place.suffix != ".py":
            self.digests[name] = hashlib.sha256(_read(place)).hexdigest()
            return []
        analysis = self._analysis(place)
        self.digests[name] = analysis.digest
        package = name if place.name == "__init__.py" else name.rpartition(".")[0]
        found = []
        for each in analysis.imports:
            for target in self._targets(each, package):
                if target.split(".")[0] in self._folders:
                    found.append(target)
                else:
                    self.foreign.add(target)
        return found

    def _targets(self, each: Import, package: str) -> list[str]:
        base = each.module
        if each.level:
            parts = package.split(".")
            kept = parts[: len(parts) - each.level + 1]
            base = ".".join([*kept, *([each.module] if each.module else [])])
        targets = [base] if base else []
        names = each.names
        if names == ("*",):
            place = self._locate(f"{base}.__init__")
            names = self._analysis(place).exported if place is not None else ()
        # A name may be a submodule or anything else: only the disk knows, and only of first-party packages.
        if base.split(".")[0] in self._folders:
            targets += [f"{base}.{name}" for name in names if self._locate(f"{base}.{name}") is not None]
            # Of a plain import nobody knows which names are used.
            targets += [module for name, module in self._lazy(base) if name in names or not each.names]
        elif base:
            targets += [f"{base}.{name}" for name in names if name != "*"]
        return targets

    def _lazy(self, module: str) -> tuple[tuple[str, str], ...]:
        place = self._locate(module)
        if place is None or place.suffix != ".py":
            return ()
        return self._analysis(place).lazy

    def _analysis(self, place: Path) -> Analysis:
        if place not in self._read:
            self._read[place] = _analysis(_read(place), place, self._cache)
        return self._read[place]

    def _locate(self, module: str) -> Path | None:
        if module not in self._places:
            self._places[module] = self._find(module)
        return self._places[module]

    def _find(self, module: str) -> Path | None:
        """File of a first-party module, or the folder of a namespace package."""
        top, *rest = module.split(".")
        for folder in self._folders.get(top, []):
            if folder.suffix == ".py":
                return folder if not rest else None
            place = folder.joinpath(*rest)
            if rest[-1:] != ["__init__"] and (place / "__init__.py").is_file():
                return place / "__init__.py"
            for suffix in (".py", *EXTENSION_SUFFIXES):
                file = place.with_name(place.name + suffix)
                if rest and file.is_file():
                    return file
            if place.is_dir():
                return place
        return None


def _is_python(file: Path) -> bool:
    return file.suffix == ".py"


def _is_stop(name: str) -> bool:
    return any(name == stop or name.startswith(stop + ".") for stop in STOPS)


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def _folders_of(top: str, roots: Sequence[Path] | None) -> list[Path]:
    """Folders of a top-level package, or the file of a top-level module."""
    if roots is not None:
        candidates = [place for root in roots for place in (root / top, root / f"{top}.py")]
        return [place for place in candidates if place.is_dir() or place.is_file()]
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:
        spec = None  # a module made by hand, such as `__main__`, has no specification and no file to be found by
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin is not None and spec.origin.endswith(".py") else []


def _analysis(data: bytes, place: Path, cache: Path | None) -> Analysis:
    key = hashlib.sha256(data).hexdigest()
    known = _analyses.get(key)
    if known is None and cache is not None:
        known = _cached(cache / f"{key}.json")
    if known is None:
        known = analyse(data, str(place))
        if cache is not None:
            # A store that cannot be written to is only slower.
            with contextlib.suppress(MachineError):
                sealed.keep(cache / f"{key}.json", {"version": ANALYSIS_VERSION, **asdict(known)})
    _analyses[key] = known
    return known


def _cached(file: Path) -> Analysis | None:
    if not file.is_file():
        return None
    try:
        read = sealed.unseal(file.read_bytes())
        if read["version"] != ANALYSIS_VERSION:
            return None
        imports = tuple(Import(each["level"], each["module"], tuple(each["names"])) for each in read["imports"])
        lazy = tuple((name, module) for name, module in read["lazy"])
        return Analysis(read["digest"], imports, tuple(read["exported"]), lazy)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # only time is lost: the file itself is analysed again


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{place} cannot be read: {error.strerror}") from error


def _data_name(file: str | os.PathLike[str], root: Path | None) -> str:
    base = (root or Path.cwd()).resolve()
    place = (base / file).resolve()
    # A file elsewhere counts by its name alone, so that the version does not depend on where that is.
    return place.relative_to(base).as_posix() if place.is_relative_to(base) else place.name


def _file_digest(file: str | os.PathLike[str], root: Path | None) -> str:
    return hashlib.sha256(_read((root or Path.cwd()) / file)).hexdigest()


def _versions(foreign: Iterable[str]) -> dict[str, str]:
    third_party = {name for name in foreign if name.split(".")[0] not in sys.stdlib_module_names}
    versions = used_distributions({*third_party, *_ALWAYS})
    for top in sorted({name.split(".")[0] for name in third_party}):
        if not used_distributions([top]):
            versions[top] = NOT_INSTALLED
    return dict(sorted(versions.items()))
