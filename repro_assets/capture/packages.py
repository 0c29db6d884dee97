"""Which distributions are installed, and which of them provide given modules.

Laws: the list is complete and never cut; a distribution whose metadata does not read is listed with the reason; of two
distributions with one name the first on ``sys.path`` counts, because it is the one that Python imports, and the other
is listed as shadowed. What a folder on ``sys.path`` holds is remembered in this process until the folder changes, and
for other processes until any of its metadata does.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from repro_assets.capture.remembered import Remembered, Stamps, joint_stamp, key_of
from repro_assets.capture.secrets import redact_url

_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One installed distribution.

    Parameters
    ----------
    name : str
        Its own spelling of its name.
    version : str
        As its metadata says.
    editable : bool
        Installed from a source folder that can change under it.
    origin : str or None
        Address and commit for one that was not installed from an index, without credentials; never a local path.
    """

    name: str
    version: str
    editable: bool = False
    origin: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the package as a JSON object."""
        written: dict[str, Any] = {"name": self.name, "version": self.version}
        if self.editable:
            written["editable"] = True
        if self.origin is not None:
            written["origin"] = self.origin
        return written


@dataclass(frozen=True, slots=True)
class Packages:
    """Everything that is installed.

    Parameters
    ----------
    installed : tuple of Package
        In order of their normalised names.
    shadowed : tuple of Package
        Distributions that an earlier one of the same name hides, where the versions differ.
    unreadable : dict
        Metadata folder to the reason why it does not read.
    """

    installed: tuple[Package, ...]
    shadowed: tuple[Package, ...]
    unreadable: dict[str, str]


def normalised(name: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    return _SEPARATORS.sub("-", name).lower()


_FIRST_TWO = re.compile(r"^([^/,\r\n]+)(/?)([^/,\r\n]*)", re.MULTILINE)
"""The first two parts of each path in a list of installed files."""
_METADATA = ("", "/METADATA", "/PKG-INFO", "/direct_url.json")
"""What a distribution's name, version and origin are read from, in the folder of its metadata; or that file itself."""
_known: dict[tuple[str, str], tuple[object, Any]] = {}
"""What folders on ``sys.path`` hold, by the question and the folder, with the state in which they held it."""


def installed_packages(cache: Path | None = None) -> Packages:
    """List all distributions that this interpreter can import.

    Parameters
    ----------
    cache : path, optional
        A folder where the listing is remembered for other processes.
    """
    read: list[Package] = []
    unreadable: dict[str, str] = {}
    for documents, failed in _ask_folders("packages", cache, _packages_in):
        read += (Package(**document) for document in documents)
        unreadable.update(failed)
    first: dict[str, Package] = {}
    shadowed: list[Package] = []
    for package in read:
        key = normalised(package.name)
        known = first.get(key)
        if known is None:
            first[key] = package
        elif known.version != package.version:
            shadowed.append(package)
        elif package.editable and not known.editable:
            # An editable install is found twice when its source folder is on sys.path; only one half says so.
            first[key] = package
    return Packages(tuple(first[key] for key in sorted(first)), tuple(sorted(shadowed)), unreadable)


def used_distributions(modules: Iterable[str], cache: Path | None = None) -> dict[str, str]:
    """Distributions that provide `modules`.

    Parameters
    ----------
    modules : iterable of str
        Import names, dotted or not, such as ``sys.modules``. Names of the standard library, and names that no
        distribution provides, give nothing.
    cache : path, optional
        A folder where what each distribution provides is remembered for other processes.

    Returns
    -------
    dict
        Distribution name to version, in order of the names.
    """
    provided = _ask_folders("providers", cache, _names_in)
    first = {normalised(each.name): [each.name, each.version] for each in installed_packages(cache).installed}

    @functools.cache
    def providers(name: str) -> list[list[str]]:
        found = [known[number] for known, names in provided for number in names.get(name, ())]
        # One that an earlier distribution of the same name hides provides nothing.
        return [each for each in found if first[normalised(each[0])] == each]

    used: dict[str, str] = {}
    for module in modules:
        parts = module.split(".")
        if parts[0] in sys.stdlib_module_names:
            continue
        found = providers(parts[0])
        if len(found) > 1 and len(parts) > 1:
            # Several distributions share this namespace: the second name tells them apart where it can.
            found = providers(".".join(parts[:2])) or found
        used.update((name, version) for name, version in found)
    return dict(sorted(used.items()))


def _ask_folders(question: str, cache: Path | None, ask: Callable[[Iterable[Distribution]], Any]) -> list[Any]:
    """Ask what the distributions of each folder on ``sys.path`` are, in that order; only changed ones are read."""
    if any(hasattr(each, "find_distributions") and not _looks_in_folders(each) for each in sys.meta_path):
        return [ask(distributions())]  # what another finder finds has no files that are known here
    changed = [entry for entry in sys.path if _known.get((question, entry), (0,))[0] != _state(entry)]
    if changed:
        remembered = Remembered(cache, question, version=2)
        for entry in changed:
            state, key, files = _files_of(entry)
            answer = remembered.get(key, files)
            if answer is None:
                answer = ask(distributions(path=[entry]))
                remembered.put(key, files, answer)
            _known[question, entry] = state, answer
        remembered.save()
    return [_known[question, entry][1] for entry in sys.path]


def _looks_in_folders(finder: object) -> bool:
    """Tell whether a finder finds what lies in the folders on ``sys.path``, and nothing else."""
    # The package importlib-metadata puts its own in the place of Python's; some libraries bring a copy of it.
    kind = type(finder)
    is_backport = kind.__name__ == "MetadataPathFinder" and kind.__module__.endswith("importlib_metadata")
    return finder is PathFinder or is_backport


def _files_of(entry: str) -> tuple[object, str, Stamps]:
    """Return the state of a folder, a key for it, and the state of all its metadata as it was found in that state."""
    state = _state(entry)
    known = _known.get(("metadata", entry))
    if known is None or known[0] != state:
        known = _known["metadata", entry] = state, joint_stamp(_metadata_files(entry or "."))
    return state, key_of(entry or "."), known[1]


def _state(entry: str) -> object:
    try:
        state = os.stat(entry or ".")  # noqa: PTH116  (for every capture, and Path takes ten times as long)
    except OSError:
        return None  # no such folder: nothing can be imported from it
    return state.st_mtime_ns, state.st_ino, os.getcwd() if not entry else ""  # noqa: PTH109  (as above)


def _packages_in(found: Iterable[Distribution]) -> list[Any]:
    """Return the document of each distribution, and the reason of each that does not read."""
    documents, unreadable = [], {}
    for distribution in found:
        try:
            documents.append(_read(distribution).document())
        except (OSError, ValueError) as error:
            unreadable[_place(distribution)] = str(error)
    return [documents, unreadable]


def _names_in(found: Iterable[Distribution]) -> list[Any]:
    """Return name and version of each distribution that reads, and by import name which of them provide it."""
    read: list[list[str]] = []
    names: dict[str, list[int]] = {}
    for distribution in found:
        try:
            package, imported = _read(distribution), _import_names(distribution)
        except (OSError, ValueError):
            continue  # what it provides is unknown
        for name in sorted(imported):
            names.setdefault(name, []).append(len(read))
        read.append([package.name, package.version])
    return [read, names]


def _metadata_files(folder: str) -> list[str]:
    """Return a folder on ``sys.path`` and everything in it that a listing is read from."""
    paths = [folder, f"{folder}/EGG-INFO/PKG-INFO"]
    try:
        with os.scandir(folder) as found:
            names = sorted(each.name for each in found if each.name.endswith((".dist-info", ".egg-info", ".egg")))
    except OSError:
        return paths  # no folder: its own state says so
    for name in names:
        place = f"{folder}/{name}/EGG-INFO" if name.endswith(".egg") else f"{folder}/{name}"
        paths += [place + file for file in _METADATA]
    return paths


def _read(distribution: Distribution) -> Package:
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    if text is None:
        raise ValueError("it has no METADATA and no PKG-INFO")
    headers: dict[str, str] = {}
    # The e-mail parser behind `distribution.metadata` takes ten times as long, and two headers are needed.
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        if name in ("Name", "Version"):
            headers.setdefault(name, value.strip())
    missing = [name for name in ("Name", "Version") if not headers.get(name)]
    if missing:
        raise ValueError(f"its metadata has no {' and no '.join(missing)}")
    editable, origin = _direct(distribution.read_text("direct_url.json"))
    return Package(headers["Name"], headers["Version"], editable, origin)


def _direct(text: str | None) -> tuple[bool, str | None]:
    # https://packaging.python.org/en/latest/specifications/direct-url-data-structure/
    if text is None:
        return False, None
    try:
        direct = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"its direct_url.json is not JSON: {error}") from error
    if "dir_info" in direct:
        return bool(direct["dir_info"].get("editable")), None
    url = redact_url(str(direct.get("url", "")))
    if "vcs_info" in direct:
        return False, f"{direct['vcs_info'].get('vcs')}+{url}@{direct['vcs_info'].get('commit_id')}"
    return False, url if not url.startswith("file:") else None


def _place(distribution: Distribution) -> str:
    # The metadata folder's own name is the only name that is left; `_path` is where the standard library keeps it.
    return Path(str(getattr(distribution, "_path", distribution.locate_file("")))).name


def _import_names(distribution: Distribution) -> set[str]:
    names = set((distribution.read_text("top_level.txt") or "").split())
    # A path is quoted where it holds a comma; no module's is.
    paths = distribution.read_text("RECORD") or distribution.read_text("installed-files.txt") or ""
    # Large distributions have thousands of files and few names.
    for first, below, second in set(_FIRST_TWO.findall(paths)):
        if first in ("..", "") or first.endswith((".dist-info", ".egg-info", ".data")) or first == "__pycache__":
            continue
        if not below:
            if first.endswith((".py", ".so", ".pyd")):
                names.add(first.split(".")[0])
            continue
        if first.isidentifier():
            names.add(first)
            module = second.split(".")[0]
            if module.isidentifier() and module not in ("__init__", "__pycache__"):
                names.add(f"{first}.{module}")
    return names
