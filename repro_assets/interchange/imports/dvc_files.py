"""The files in which DVC says what it tracks: ``.dvc``, ``dvc.lock``, and of ``dvc.yaml`` what these do not say.

Laws: an output lies inside the repository, and one that does not is refused; a dependency may lie elsewhere, and is
then only named. A hash is MD5 as DVC 3 takes it, or, where ``hash`` is missing, as DVC before 3 took it; what has no
MD5 (an object of a bucket that has its own) is only named.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from repro_assets.capture.secrets import redact_url
from repro_assets.errors import InvalidInput
from repro_assets.interchange.plain_yaml import Unreadable, read_yaml

LOCK = "dvc.lock"
PIPELINE = "dvc.yaml"
SUFFIX = ".dvc"
MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/|~|[A-Za-z]:[\\/]|\\")
_TEMPLATE = "${"
Content = tuple[str | None, bool, tuple[tuple[str, str], ...] | None]
_ORIGIN = ("repo", "db", "dataset")


@dataclass(frozen=True, slots=True)
class Item:
    """A dependency or an output.

    Parameters
    ----------
    path : str
        From the repository's folder; of what lies elsewhere, as it is written.
    md5 : str or None
        Its hash, a folder's with ``.dir``; None where there is none.
    legacy : bool
        Whether DVC before 3 took the hash.
    size : int or None
        Bytes, where they are known.
    files : tuple or None
        Path and hash of each file of a folder whose list stands in place.
    inside : bool
        Whether it lies in the repository.
    origin : dict
        Where a dependency came from, as DVC says it.
    """

    path: str
    md5: str | None
    legacy: bool = False
    size: int | None = None
    files: tuple[tuple[str, str], ...] | None = None
    inside: bool = True
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> Content:
        """What tells its bytes from those of others."""
        return self.md5, self.legacy, self.files

    def document(self) -> dict[str, Any]:
        """Return what is said of it in the details of a run."""
        return {"path": self.path, "md5": self.md5, **self.origin}


@dataclass(frozen=True, slots=True)
class Stage:
    """What one entry of DVC's files says.

    Parameters
    ----------
    name : str
        Of a stage; of data, its file.
    command : str, list of str or None
        None for data that was added.
    deps, outs : tuple of Item
        What it reads and writes.
    params : dict
        File to parameters.
    metrics : frozenset of str
        Those of its outputs that are metrics.
    description : str or None
        What a person wrote about it.
    unread : str or None
        Why its files are not known.
    """

    name: str
    command: Any
    deps: tuple[Item, ...] = ()
    outs: tuple[Item, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: frozenset[str] = frozenset()
    description: str | None = None
    unread: str | None = None


def is_dvc_file(path: str) -> bool:
    """Whether a path, from the repository's folder, is that of a file that says what DVC tracks."""
    *above, name = path.split("/")
    return ".dvc" not in above and ".git" not in above and (name == LOCK or (name.endswith(SUFFIX) and name != SUFFIX))


def read_data(data: bytes, path: str) -> list[Stage]:
    """Read a ``.dvc`` file: one entry.

    Raises
    ------
    InvalidInput
        If it does not read, or an output lies outside of the repository.
    """
    document = read_yaml(data, path)
    folder = _joined(posixpath.dirname(path), _text(document.get("wdir", "."), path, "wdir"), path)
    outs = tuple(_items(document.get("outs"), folder, path, is_output=True))
    metrics = frozenset(
        item.path
        for item, given in zip(outs, document.get("outs") or (), strict=True)
        if given.get("metric") not in (None, False)
    )
    return [
        Stage(
            path,
            _command(document.get("cmd"), path),
            tuple(_items(document.get("deps"), folder, path, is_output=False)),
            outs,
            metrics=metrics,
            description=_optional_text(document.get("desc")),
        )
    ]


def read_lock(data: bytes, path: str, pipeline: bytes | None) -> list[Stage]:
    """Read a ``dvc.lock``: an entry for each stage.

    Parameters
    ----------
    data : bytes
        Its content.
    path : str
        From the repository's folder.
    pipeline : bytes or None
        The content of the ``dvc.yaml`` beside it, which alone says in which folder a stage works and which of its
        outputs are metrics.

    Raises
    ------
    InvalidInput
        If one does not read, or an output lies outside of the repository.
    """
    document = read_yaml(data, path)
    above = posixpath.dirname(path)
    defined = _definitions(pipeline, posixpath.join(above, PIPELINE))
    # Before DVC 2 the stages were the document.
    stages = document.get("stages") if "schema" in document else document
    found = []
    for name, given in _dictionary(stages or {}, path).items():
        _text(name, path, "stage")
        entry = _dictionary(given, path)
        definition = defined.get(name) or defined.get(name.partition("@")[0], {})
        definition = _dictionary(definition.get("do", definition), path)
        place = _text(definition.get("wdir", "."), path, "wdir")
        stage = Stage(
            name,
            _command(entry.get("cmd"), path),
            params=_dictionary(entry.get("params") or {}, path),
            description=_optional_text(definition.get("desc")),
        )
        if _TEMPLATE in place:
            found.append(replace(stage, unread=f"its folder is the template {place!r}, so its files cannot be told"))
            continue
        folder = _joined(above, place, path)
        outs = tuple(_items(entry.get("outs"), folder, path, is_output=True))
        named = {_joined(folder, metric, path) for metric in _metrics(definition)}
        deps = tuple(_items(entry.get("deps"), folder, path, is_output=False))
        metrics = frozenset(item.path for item in outs if item.path in named)
        found.append(replace(stage, deps=deps, outs=outs, metrics=metrics))
    return found


def _definitions(pipeline: bytes | None, path: str) -> dict[str, Any]:
    stages = {} if pipeline is None else read_yaml(pipeline, path).get("stages") or {}
    return {name: _dictionary(given, path) for name, given in _dictionary(stages, path).items()}


def _metrics(definition: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths that a stage calls metrics; one with a template is known by DVC alone."""
    for item in definition.get("metrics") or ():
        for path in item if isinstance(item, dict) else (item,):
            if isinstance(path, str) and _TEMPLATE not in path and not _ELSEWHERE.match(path):
                yield path


def _items(given: Any, folder: str, path: str, *, is_output: bool) -> Iterator[Item]:
    if given is None:
        return
    if not isinstance(given, list):
        raise Unreadable(f"{path} has no list of files where one belongs", "mend it")
    for entry in given:
        yield _item(_dictionary(entry, path), folder, path, is_output=is_output)


def _item(entry: dict[str, Any], folder: str, path: str, *, is_output: bool) -> Item:
    origin = {name: entry[name] for name in _ORIGIN if name in entry}
    # A dependency on another project's file, a database or a data set of DVC's has no path of this repository.
    written = _text(entry.get("path", ""), path, "path") if origin else _text(entry.get("path"), path, "path")
    md5 = None if entry.get("md5") in (None, "") else str(entry["md5"]).lower()
    if md5 is not None and not MD5.fullmatch(md5):
        raise Unreadable(f"{path} has the MD5 {md5!r} of {written!r}", "mend it")
    size = entry.get("size")
    legacy = entry.get("hash") is None
    known = (md5, legacy, size if isinstance(size, int) and size >= 0 else None, _listed(entry.get("files"), path))
    away = written.partition("://")[0] if "://" in written else None
    if origin or away is not None or (not is_output and _ELSEWHERE.match(written)):
        return Item(redact_url(written), *known, inside=False, origin=_without_credentials(origin))
    if "\0" in written or _ELSEWHERE.match(written):
        raise InvalidInput(f"{path} tracks {written!r}, which is not inside the repository", "remove it from the file")
    try:
        found = _joined(folder, written, path)
    except InvalidInput:
        if is_output:
            raise
        return Item(written, *known, inside=False)
    if found == "." and is_output:
        raise InvalidInput(f"{path} tracks the repository itself", "remove it from the file")
    return Item(found, *known)


def _without_credentials(value: Any) -> Any:
    if isinstance(value, str):
        return redact_url(value)
    if isinstance(value, dict):
        return {str(name): _without_credentials(item) for name, item in value.items()}
    return [_without_credentials(item) for item in value] if isinstance(value, list) else value


def _listed(given: Any, path: str) -> tuple[tuple[str, str], ...] | None:
    if given is None:
        return None
    if not isinstance(given, list):
        raise Unreadable(f"{path} has no list of files where one belongs", "mend it")
    found = []
    for entry in given:
        name, md5 = _dictionary(entry, path).get("relpath"), entry.get("md5")
        if not isinstance(name, str) or not isinstance(md5, str) or not MD5.fullmatch(md5) or md5.endswith(".dir"):
            raise Unreadable(f"{path} names a file of a folder without its path and MD5", "mend it")
        found.append((name, md5))
    return tuple(found)


def _joined(folder: str, written: str, path: str) -> str:
    """Return a path from the repository's folder."""
    found = posixpath.normpath(posixpath.join(folder, written))
    if found.startswith(("/", "../")) or found == ".." or _ELSEWHERE.match(written):
        raise InvalidInput(f"{path} names {written!r}, which is not inside the repository", "remove it from the file")
    return found


def _command(given: Any, path: str) -> Any:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, list) and all(isinstance(line, str) for line in given):
        return given
    raise Unreadable(f"{path} has a command that is no text", "mend it")


def _text(given: Any, path: str, what: str) -> str:
    if not isinstance(given, str) or not is_unicode(given):
        raise Unreadable(f"{path} has the {what} {given!r}, which is no text", "mend it")
    return given


def is_unicode(text: str) -> bool:
    """Whether a text is one: the names of files, and escapes in YAML, can hold half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _optional_text(given: Any) -> str | None:
    return given if isinstance(given, str) else None


def _dictionary(given: Any, path: str) -> dict[str, Any]:
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise Unreadable(f"{path} has something else where names and values belong", "mend it")
    return given
