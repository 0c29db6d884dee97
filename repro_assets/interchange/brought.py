"""What an import did, or would do, said the same way by every format."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from repro_assets.wording import counted, size


@dataclass(slots=True)
class Brought:
    """What an import did, or would do.

    Parameters
    ----------
    path : str
        The file, folder or address.
    verified : bool
        True: a source of which anything is wrong is an error.
    dry_run : bool
        True if nothing was written.
    runs : list of str
        Runs that are new here.
    records, objects, bytes : int
        Records and objects that are new here, and the objects' bytes: of a bundle as they are stored, of another
        tool's files as they are there.
    skipped : int
        Objects that were here already.
    versions : list of str
        Versions that are new here.
    conflicts : list of dict
        ``name``, ``local`` and ``remote`` digest of each version that is another artifact here.
    """

    path: str
    verified: bool = True
    dry_run: bool = False
    runs: list[str] = field(default_factory=list)
    records: int = 0
    objects: int = 0
    bytes: int = 0
    skipped: int = 0
    versions: list[str] = field(default_factory=list)
    conflicts: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No version is in conflict."""
        return not self.conflicts

    def document(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return asdict(self)

    def told(self) -> tuple[str, ...]:
        """Return the answer as lines for a person."""
        word = "would come" if self.dry_run else "came"
        runs, records = counted(len(self.runs), "run"), counted(self.records, "record")
        versions, objects = counted(len(self.versions), "version"), counted(self.objects, "object")
        there = f"{counted(self.skipped, 'object')} {'was' if self.skipped == 1 else 'were'} there already"
        new = f"{runs}, {records}, {versions} and {objects} ({size(self.bytes)}) {word}"
        return (f"{self.path} is verified: {new}; {there}",)
