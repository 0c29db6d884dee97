"""Where the bytes are that DVC tracks: its cache, and those of its remotes that are folders.

Laws: every file is hashed whole, whatever its mode says, with MD5 for what DVC calls it and with SHA-256 for what it is
from then on; of several copies the first sound one counts, and where all are damaged the import is refused. Nothing is
read through a link: not an object, nor the folder that it lies in. What is in none of these places is named with the
remotes that could have it.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from repro_assets.artifacts.kinds import raw_bytes, tree
from repro_assets.capture.secrets import redact_url
from repro_assets.errors import CorruptRecord, InvalidInput
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.interchange.dvc_objects import LISTING, OBJECTS, listing_md5, object_path
from repro_assets.interchange.imports.dvc_files import MD5, Item
from repro_assets.interchange.imports.dvc_folder import MOST_READ, read_file
from repro_assets.interchange.imports.foreign import ForeignArtifact, Source
from repro_assets.store import durable
from repro_assets.store.sources import unreadable

MOST_LISTING = 512 << 20
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_LOOKED_AT = 512
_MOST_STRANGE = 0.30


class Absent(Exception):
    """What is tracked is nowhere where it was looked for; the argument says what is."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is what DVC calls it: its digest, its size and where it is."""

    digest: Digest
    size: int
    source: Source


class Hashes(NamedTuple):
    """What a file hashes to; DVC may call it any of `md5`."""

    digest: Digest
    size: int
    md5: tuple[str, ...]


@dataclass(slots=True)
class Storage:
    """A repository's cache and remotes.

    Parameters
    ----------
    places : list of Path
        Folders with objects, the cache first.
    away : list of str
        Remotes that are no folders, or none that are there; without credentials.
    """

    places: list[Path]
    away: list[str] = field(default_factory=list)
    _files: dict[tuple[str, bool], Found | None] = field(default_factory=dict)
    _listings: dict[str, tuple[tuple[str, str], ...] | None] = field(default_factory=dict)

    def artifact(self, item: Item) -> ForeignArtifact:
        """Return what is tracked as an artifact.

        Raises
        ------
        Absent
            If it, or a file of it, is in no place.
        InvalidInput
            If every copy of a file is damaged, a link is in its place, or a folder's list is not what DVC writes.
        """
        if item.md5 is None and item.files is None:
            raise Absent("DVC has no MD5 of it")
        if item.files is None and not str(item.md5).endswith(LISTING):
            return file_artifact(self._file(str(item.md5), item.legacy))
        files = item.files if item.files is not None else self._listed(str(item.md5))
        found, missing = {}, []
        for path, md5 in files:
            try:
                found[path] = self._file(md5, item.legacy)
            except Absent:
                missing.append(path)
        if missing:
            raise Absent(f"{len(missing)} of its {len(files)} files, such as {missing[0]!r}, are {self._nowhere()}")
        return tree_artifact(found, item.path, len(files))

    def _file(self, md5: str, legacy: bool) -> Found:
        if (md5, legacy) not in self._files:
            self._files[md5, legacy] = self._sound(md5, legacy)
        found = self._files[md5, legacy]
        if found is None:
            raise Absent(f"it is {self._nowhere()}")
        return found

    def _nowhere(self) -> str:
        more = f"; it may be in {', '.join(self.away)}: dvc pull" if self.away else ""
        return f"neither in the cache nor in a remote that is a folder{more}"

    def _candidates(self, md5: str, legacy: bool) -> Iterable[Path]:
        for place in self.places:
            if legacy:
                yield object_path(place, md5)
            yield object_path(place / OBJECTS, md5)

    def _sound(self, md5: str, legacy: bool) -> Found | None:
        damaged = []
        for path in self._candidates(md5, legacy):
            found = _hashed(path, legacy)
            if found is None:
                continue
            if md5 in found.md5:
                return Found(found.digest, found.size, path)
            damaged.append(path)
        if damaged:
            raise _damaged(damaged[0])
        return None

    def _listed(self, md5: str) -> tuple[tuple[str, str], ...]:
        if md5 not in self._listings:
            self._listings[md5] = self._read_listing(md5)
        found = self._listings[md5]
        if found is None:
            raise Absent(f"the list of its files is {self._nowhere()}")
        return found

    def _read_listing(self, md5: str) -> tuple[tuple[str, str], ...] | None:
        damaged = []
        # Lists have no line ends, so DVC before 3 took the same hash of them.
        for path in self._candidates(md5, legacy=True):
            descriptor = _opened(path)
            if descriptor is None:
                continue
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(MOST_LISTING + 1)
            if len(data) > MOST_LISTING:
                raise InvalidInput(f"{path} has more than {MOST_LISTING} bytes", "no folder has so long a list")
            if listing_md5(data) == md5:
                return _entries(data, path)
            damaged.append(path)
        if damaged:
            raise _damaged(damaged[0])
        return None


def storage_of(root: Path) -> Storage:
    """Return where a repository keeps its bytes, by its configuration, the local one included.

    Raises
    ------
    InvalidInput
        If that does not read.
    """
    folder = root / ".dvc"
    options: dict[str, dict[str, str]] = {}
    for name in ("config", "config.local"):
        path = folder / name
        content = read_file(root, f".dvc/{name}")
        if content is None and os.path.lexists(path):
            raise InvalidInput(f"{path} is no file, or has more than {MOST_READ} bytes", "put it right")
        parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), default_section="")
        try:
            parser.read_string((content or b"").decode())
        except (configparser.Error, ValueError) as error:
            raise InvalidInput(f"{path} is no configuration of DVC's: {error}", "mend it") from error
        for section in parser.sections():
            options.setdefault(section.strip("'"), {}).update(parser[section])
    places = [folder / Path(options.get("cache", {}).get("dir", "cache")).expanduser()]
    away = []
    for section, given in options.items():
        url = given.get("url", "")
        if not section.startswith("remote ") or not url:
            continue
        scheme, separator, _ = url.partition("://")
        if separator and scheme != "file":
            away.append(redact_url(url))
        else:
            places.append(folder / Path(url.removeprefix("file://")).expanduser())
    away += [os.path.normpath(place) for place in places[1:] if not place.is_dir()]
    return Storage([place for place in places if place.is_dir()], away)


def file_artifact(found: Found) -> ForeignArtifact:
    """Return a file as bytes."""
    manifest = Manifest(raw_bytes.NAME, (Entry("data", found.size, (found.digest,)),))
    return ForeignArtifact(manifest, {found.digest: found.size}, {found.digest: found.source})


def tree_artifact(files: dict[str, Found], path: str, count: int) -> ForeignArtifact:
    """Return files as a tree.

    Parameters
    ----------
    files : dict
        By their paths in it.
    path : str
        What it is called, for errors.
    count : int
        Files that its list names.

    Raises
    ------
    InvalidInput
        If a file's path leads out of it, lies below a file, is no Unicode text, or is there twice.
    """
    entries = [Entry(name, found.size, (found.digest,), {"executable": False}) for name, found in files.items()]
    manifest = Manifest(tree.NAME, tuple(sorted(entries, key=lambda entry: entry.name)))
    try:
        if len(files) != count:
            raise CorruptRecord("the tree has a path twice")
        tree.check_paths(manifest)
        for name in files:
            name.encode()
    except (CorruptRecord, UnicodeEncodeError) as error:
        raise InvalidInput(f"the folder {path} is not taken: {error}", "its list was not written by DVC") from error
    sizes = {found.digest: found.size for found in files.values()}
    return ForeignArtifact(manifest, sizes, {found.digest: found.source for found in files.values()})


def _damaged(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} is damaged: its bytes do not hash to its name", "remove it and bring it back: dvc pull, or dvc add"
    )


def _entries(data: bytes, path: Path) -> tuple[tuple[str, str], ...]:
    wrong = InvalidInput(f"{path} is no list of a folder's files", "it was not written by DVC")
    try:
        given = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise wrong from error
    found = []
    for entry in given if isinstance(given, list) else [None]:
        name, md5 = (entry.get("relpath"), entry.get("md5")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(md5, str) or not MD5.fullmatch(md5) or md5.endswith(LISTING):
            raise wrong
        found.append((name, md5))
    return tuple(found)


def _opened(path: Path) -> int | None:
    """Open a regular file, not through a link; None where there is none."""
    try:
        if stat.S_ISLNK(path.parent.lstat().st_mode):
            raise InvalidInput(f"{path.parent} is a link", "DVC makes none there: put the folder itself there")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise InvalidInput(f"{path} is a link", "DVC makes none there: put the file itself there") from error
        raise unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{path} is no file", "remove it")
    return descriptor


def _hashed(path: Path, legacy: bool) -> Hashes | None:
    """Return what a file hashes to; None where there is none."""
    descriptor = _opened(path)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return hashes_of(file, legacy)


def hashes_of(file: BinaryIO, legacy: bool) -> Hashes:
    """Return what a file hashes to; of a `legacy` one the MD5 also as DVC before 3 took it of texts, in both ways.

    There line ends of DOS are those of Unix: of the whole file where its beginning looks like text (DVC 2), or of each
    block that begins so (DVC 3, of what DVC 2 tracked).
    """
    digest = hashlib.sha256()
    states = [hashlib.md5(usedforsecurity=False) for _ in range(3 if legacy else 1)]
    size, text = 0, True
    # As long as the blocks in which DVC reads, because the line ends that they cut count.
    while block := file.read(durable.BLOCK):
        digest.update(block)
        states[0].update(block)
        if legacy:
            begins = _looks_like_text(block[:_LOOKED_AT])
            text = begins if size == 0 else text
            unix = block.replace(b"\r\n", b"\n") if begins or text else block
            states[1].update(unix if text else block)
            states[2].update(unix if begins else block)
        size += len(block)
    return Hashes(Digest(digest.hexdigest()), size, tuple(state.hexdigest() for state in states))


def _looks_like_text(beginning: bytes) -> bool:
    # https://github.com/iterative/dvc-data, istextfile: no zero byte, and at most three tenths of other bytes.
    if not beginning or b"\0" in beginning:
        return not beginning
    return len(beginning.translate(None, _TEXT)) / len(beginning) <= _MOST_STRANGE
