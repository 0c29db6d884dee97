"""The folder of a report.

Laws: a file shows under its name whole or not at all; a file that would not change is left alone; nothing that this
program did not write is overwritten or removed: a folder with anything in it is taken only if it has the marker of a
report, and only files that the marker lists are removed once a report no longer has them; until the first file is
written nothing is made, so a report that is refused leaves nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path, PurePosixPath

from repro_assets.errors import InvalidInput, NotWritable, ReusedElsewhere, UnsupportedFormat, from_os_error
from repro_assets.store import durable
from repro_assets.store.home import Home

MARKER = "repro-report.json"
FORMAT = 1
_TEMPORARY = ".writing"
_NOTE = "report"


class Folder:
    """A folder that a report is written into.

    Parameters
    ----------
    root : Path
        The folder; made with the first file where it is missing.

    Raises
    ------
    ReusedElsewhere
        If it is a file, or holds something and is no report.
    InvalidInput, UnsupportedFormat
        If its marker does not read, or a newer version wrote it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.bytes = 0
        self._earlier = _listed(self.root)
        self._written: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._begun = False

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the report, if its content is another than before.

        Parameters
        ----------
        name : str
            Path within the folder, with ``/``.
        content : bytes
            All of it.

        Raises
        ------
        MachineError
            If the system refuses.
        """
        self.bytes += len(content)
        digest = hashlib.sha256(content).hexdigest()
        self._written[name] = digest
        path = self.root / name
        if self._digests.get(name) == digest and path.is_file():
            return
        if not self._begun:
            self._begin()
        durable.replace_file(path, [content], self.root / _TEMPORARY)
        self._digests[name] = digest

    def finish(self) -> list[str]:
        """List what was written in the marker, remove what an earlier report left, and return the names.

        A report can be written again after it.

        Raises
        ------
        MachineError
            If the system refuses.
        """
        names = sorted(self._written)
        try:
            for name in self._earlier - set(names):
                (self.root / name).unlink(missing_ok=True)
                self._digests.pop(name, None)
            if (self.root / _TEMPORARY).is_dir():
                (self.root / _TEMPORARY).rmdir()
        except OSError as error:
            raise from_os_error(error, self.root) from error
        self._mark(set(names))
        self._earlier, self._written, self.bytes = set(names), {}, 0
        return names

    def give_up(self) -> None:
        """Take away what is left of writing, after an error; the files that show stay for the next report."""
        with contextlib.suppress(OSError):
            (self.root / _TEMPORARY).rmdir()

    def _begin(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for rest in (self.root / _TEMPORARY).glob("*"):
                rest.unlink()
        except OSError as error:
            raise from_os_error(error, self.root) from error
        # Before any file, so that one that is killed is known as a report.
        self._mark(self._earlier)
        self._begun = True

    def _mark(self, names: set[str]) -> None:
        content = json.dumps({"format": FORMAT, "files": sorted(names)}, indent=0).encode()
        durable.replace_file(self.root / MARKER, [content], self.root / _TEMPORARY)


def remember(home: Home, root: Path) -> None:
    """Note where the newest report of a store is."""
    # Only what writes to the store asks for it, so one that cannot be written needs no note.
    with contextlib.suppress(NotWritable):
        durable.replace_file(home.cache / _NOTE, [os.fsencode(root)], home.temporary)


def newest(home: Home) -> Path | None:
    """Return the first page of the newest report of a store, if it is still there."""
    try:
        root = Path(os.fsdecode((home.cache / _NOTE).read_bytes()))
    except FileNotFoundError:
        return None
    page = root / "index.html"
    return page if (root / MARKER).is_file() and page.is_file() else None


def _listed(root: Path) -> set[str]:
    """Return the files that an earlier report says it wrote; none where the folder is new or empty."""
    if not root.exists():
        return set()
    if not root.is_dir():
        raise ReusedElsewhere(f"{root} is no folder", "give a new folder with --output")
    if not (root / MARKER).is_file():
        if any(root.iterdir()):
            raise ReusedElsewhere(f"{root} holds something and is no report", "give a new folder with --output")
        return set()
    try:
        document = json.loads((root / MARKER).read_bytes())
        written, names = int(document["format"]), {str(name) for name in document["files"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{root / MARKER} does not read: {error}", "give a new folder with --output") from error
    if written > FORMAT:
        raise UnsupportedFormat(f"{root} was written in format {written} of reports, this version knows {FORMAT}")
    for name in names:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise InvalidInput(f"{root / MARKER} names {name!r}, which is not in it", "give a new folder with --output")
    return names
