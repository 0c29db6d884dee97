"""The files of a crate: artifacts as `Artifact.lay_out` lays them out, and what is written about runs.

Laws: a file is named by what it holds, in a folder that is named by its artifact's digest, so none replaces another; a
name that a path cannot have on some system is replaced, and the original is told. The SHA-256 of a file of a tree is
the one on record; of any other file it is taken from the bytes that were written. A zip holds the same bytes whenever
it is made.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repro_assets.artifacts.handle import Artifact
from repro_assets.mirrors.holding import Names

DIGITS = 12
_SUFFIXES = {"table": ".parquet", "json": ".json"}
_FOLDERS = ("tree", "tensors", "segments")
_LONGEST = 100
# The least that a zip can say; nothing in it says when it was made.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class LaidFile:
    """A file of a crate.

    Parameters
    ----------
    path : str
        Where it is in the crate.
    size : int
        Its bytes.
    sha256 : str
        Their digest, 64 digits.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LaidArtifact:
    """An artifact in a crate.

    Parameters
    ----------
    path : str
        Its file, or its folder, which ends with a slash.
    files : tuple of LaidFile
        All of its files.
    renamed : str or None
        What it is called, where its path is called otherwise.
    """

    path: str
    files: tuple[LaidFile, ...]
    renamed: str | None = None


class Folder:
    """A folder that becomes a crate.

    Parameters
    ----------
    root : Path
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names = Names(r"[^A-Za-z0-9._+=-]", _LONGEST, r"\.*|-.*")

    def held(self, name: str) -> str:
        """Return a name that a file can have."""
        return self._names.held(name)

    def lay_out(self, artifact: Artifact, under: str, name: str) -> LaidArtifact:
        """Lay an artifact out under ``under/<digits of its digest>``.

        Raises
        ------
        MissingObject, CorruptObject
            If bytes are gone or do not match.
        """
        held, suffix = self.held(name), _SUFFIXES.get(artifact.kind, "")
        path = f"{under}/{artifact.digest.hex[:DIGITS]}/{held}{'' if held.endswith(suffix) else suffix}"
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        artifact.lay_out(target)
        renamed = name if held != name else None
        if artifact.kind not in _FOLDERS:
            return LaidArtifact(path, (self._measured(path),), renamed)
        known = {}
        if artifact.kind == "tree":
            known = {entry.name: entry.objects[0].hex for entry in artifact.manifest.entries if entry.objects}
        files = [self._measured(f"{path}/{name}", known.get(name)) for name in sorted(_files_in(target))]
        return LaidArtifact(f"{path}/", tuple(files), renamed)

    def write(self, path: str, content: bytes) -> LaidFile:
        """Write a file."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return self._measured(path, hashlib.sha256(content).hexdigest())

    def _measured(self, path: str, known: str | None = None) -> LaidFile:
        target = self.root / path
        if known is None:
            with target.open("rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
        return LaidFile(path, target.stat().st_size, known)


def zipped(root: Path, to: Path) -> None:
    """Write the files of a folder as a zip; a link to a file as that file, any other link as a link."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, folders, files in os.walk(root):
            folders.sort()
            here = Path(folder)
            links = [name for name in folders if (here / name).is_symlink()]
            for name in sorted([*files, *links]):
                path = here / name
                info = zipfile.ZipInfo(PurePosixPath(path.relative_to(root)).as_posix(), _NO_TIME)
                info.compress_type = zipfile.ZIP_DEFLATED
                if path.is_file():
                    info.external_attr = (0o100755 if path.stat().st_mode & 0o100 else 0o100644) << 16
                    info.file_size = path.stat().st_size
                    with path.open("rb") as source, archive.open(info, "w") as target:
                        while block := source.read(1 << 20):
                            target.write(block)
                else:
                    info.external_attr = 0o120777 << 16
                    archive.writestr(info, os.fsencode(path.readlink()))
            if not files and not folders and here != root:
                name = PurePosixPath(here.relative_to(root)).as_posix()
                archive.writestr(zipfile.ZipInfo(f"{name}/", _NO_TIME), b"")


def _files_in(folder: Path) -> Iterator[str]:
    """Yield the relative paths of the files in a folder, and of links to files."""
    for here, _, files in os.walk(folder):
        for name in files:
            path = Path(here, name)
            if path.is_file():
                yield path.relative_to(folder).as_posix()
