"""What a capture of a source tree holds: its files, what was left out and why, and the document about it.

Laws: a file is read again only in the state in which it was scanned; a path in a document is relative to the root.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from repro_assets.capture.loaded import changed_modules, loaded_files
from repro_assets.identity.digest import Digest
from repro_assets.store.sources import Stamp, read_stable


class LeftOut(NamedTuple):
    """A listed path that was not taken; a folder ends in ``/`` and stands for all below it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the source tree.

    Parameters
    ----------
    path : str
        Relative to the root, with ``/``.
    absolute : str
        Where it is.
    size : int
        Bytes; of a link, of its target's name.
    executable : bool
        Whether its owner may execute it.
    link_target : str or None
        For a symbolic link its target relative to the link's folder; it never leaves the root.
    stamp : Stamp
        Its state when it was scanned.
    digest : Digest or None
        Of its bytes, where they are known and the file need not be read again.
    """

    path: str
    absolute: str
    size: int
    executable: bool
    link_target: str | None
    stamp: Stamp
    digest: Digest | None = None

    def read(self) -> bytes:
        """Bytes of the file, which must be in the state in which it was scanned; of a link, its target's name.

        Raises
        ------
        SourceChanged
            If it is not.
        """
        if self.link_target is not None:
            return self.link_target.encode()
        return read_stable(self.absolute, self.stamp)

    def is_as_scanned(self) -> bool:
        """Tell whether it holds what it held when it was scanned."""
        try:
            if Stamp.of(os.stat(self.absolute)) == self.stamp:  # noqa: PTH116 (cheaper)
                return True
            return self.digest is not None and Digest.of(Path(self.absolute).read_bytes()) == self.digest
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class SourceCapture:
    """What was captured.

    Parameters
    ----------
    root : path
        The folder, resolved; it is in no document.
    document : dict
        JSON-able facts for the record: ``git`` (whether there is a usable repository), ``commit``, ``branch``,
        ``tags``, ``remote`` (origin, or else the first by name) and ``remotes``, without credentials, ``message``,
        ``dirty`` (a tracked path differs from the commit, or a file is neither tracked nor ignored; None without git),
        ``changed``, ``staged`` (those of them that the index holds), ``untracked``, ``deleted``, ``repositories``
        below, ``left_out``, ``diff_left_out``, ``unavailable``.
    files : tuple of SourceFile
        In order of their paths; empty at the basic level.
    left_out : tuple of LeftOut
        In order of their paths.
    diff : str
        Difference from the commit to the files, staged or not, untracked files among them, as ``git apply`` reads it;
        without the sections named in ``document["diff_left_out"]``.
    loaded : frozenset of str
        Names of the modules that were loaded by then.
    """

    root: Path
    document: dict[str, Any]
    files: tuple[SourceFile, ...]
    left_out: tuple[LeftOut, ...]
    diff: str
    loaded: frozenset[str] = frozenset()

    def edited_after_start(self) -> dict[str, str]:
        """Return what the function of this name says of the files."""
        return edited_after_start(self.files)

    def edited_since(self) -> dict[str, str]:
        """Return the modules that were loaded since, and whose file is not as it was scanned, as `edited_after_start`.

        Nobody knows whether a file was edited before or after the import.
        """
        files = {file.absolute: file for file in self.files if file.link_target is None}
        return {
            name: files[path].path
            for name, path in loaded_files(self.loaded).items()
            if path in files and not files[path].is_as_scanned()
        }


def edited_after_start(files: Iterable[SourceFile]) -> dict[str, str]:
    """Loaded first-party modules whose file changed after this process started: such a run is not comparable.

    Parameters
    ----------
    files : iterable of SourceFile
        What `capture_source` took.

    Returns
    -------
    dict
        Module name to the path of its file, relative to the source's root.
    """
    relative = {file.absolute: file for file in files if file.link_target is None}
    changed = changed_modules((absolute, file.stamp) for absolute, file in relative.items())
    return {name: relative[absolute].path for name, absolute in changed.items()}
