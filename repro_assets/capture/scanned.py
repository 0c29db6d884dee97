"""Remembering what was found in source files.

Laws: a remembered finding or digest counts only under an unchanged stamp (size, mtime, ctime, inode), and only if the
file had rested for a second before it was scanned, because two writes within one tick of the file system's clock leave
one stamp.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from repro_assets.capture.secrets import RULES_VERSION, Finding, find_secrets
from repro_assets.identity.digest import Digest
from repro_assets.store import sealed
from repro_assets.store.sources import Stamp, read_stable

_REST_NS = 1_000_000_000
_FORMAT = 2


class Scanned(NamedTuple):
    """What is known of a file's content."""

    findings: tuple[Finding, ...]
    digest: Digest


class ScanCache:
    """Findings of the secret scanner and digests, by path and stamp.

    Parameters
    ----------
    folder : path, optional
        Where `save` keeps them; without it they live as long as this object. A file there that does not read, or that
        other rules wrote, is not used: everything is scanned again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = None if folder is None else folder / "secret-scan.json"
        self._entries: dict[str, tuple[Stamp, Scanned]] = {}
        self._changed = False
        if self._file is not None and self._file.is_file():
            self._load(self._file)

    def look(self, path: str, shown: str, stamp: Stamp) -> tuple[Scanned, bool]:
        """Findings in the file at `path`, scanned only where its stamp is not the remembered one.

        Parameters
        ----------
        path : str
            Absolute path.
        shown : str
            Path relative to the source's root; its name decides how the content is read.
        stamp : Stamp
            The file's state now.

        Returns
        -------
        Scanned
            What is in it.
        bool
            Whether that will be remembered, so that the file need not be read again.

        Raises
        ------
        SourceChanged, OSError
            As `read_stable`.
        """
        known = self._entries.get(path)
        if known is not None and known[0] == stamp:
            return known[1], True
        data = read_stable(path, stamp)
        found = Scanned(tuple(find_secrets(data, shown)), Digest.of(data))
        rested = time.time_ns() - max(stamp.ctime_ns, stamp.mtime_ns) > _REST_NS
        if rested:
            self._entries[path] = (stamp, found)
            self._changed = True
        return found, rested

    def save(self) -> None:
        """Write to the folder what was learnt since the last time.

        Raises
        ------
        DiskFull, NotWritable, MachineError
            If the file cannot be written.
        """
        if self._file is None or not self._changed:
            return
        written = {
            "rules": [_FORMAT, RULES_VERSION],
            "entries": {
                path: [list(stamp), [[each.kind, each.line] for each in found.findings], found.digest.hex]
                for path, (stamp, found) in self._entries.items()
            },
        }
        sealed.keep(self._file, written)
        self._changed = False

    def _load(self, file: Path) -> None:
        try:
            read = sealed.unseal(file.read_bytes())
            if read["rules"] == [_FORMAT, RULES_VERSION]:
                self._entries = {
                    path: (
                        Stamp(*stamp),
                        Scanned(tuple(Finding(kind, int(line)) for kind, line in found), Digest(digest)),
                    )
                    for path, (stamp, found, digest) in read["entries"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._entries = {}  # only time is lost: the files themselves are scanned again
