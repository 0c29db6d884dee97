"""The packages of a recorded environment as files: what pip gets for this interpreter, without what they depend on.

Laws: a package is asked for exactly as it is recorded, and what could not be had is named with the reason; a package
that was installed from a folder is not asked for, because its source is the run's. The files are an artifact of the
kind ``tree``: a folder for ``pip install --no-index --find-links``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.artifacts.kinds import tree
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.replay.installing import Downloader
from repro_assets.store.durable import BLOCK
from repro_assets.store.objects import LocalObjects, concatenate

SECONDS = 3600.0
_FROM_A_FOLDER = "it was installed from a folder: its code is in the source tree of the run"


@dataclass(frozen=True, slots=True)
class Wheels:
    """Packages of one environment.

    Parameters
    ----------
    artifact : Digest or None
        The tree of the files; None where there are none.
    objects : dict
        Its manifest, and its files where they are.
    count : int
        How many files.
    missing : list of dict
        ``name``, ``version`` and ``reason`` of each package that could not be had, and what stands ``instead``.
    """

    artifact: Digest | None
    objects: dict[Digest, bytes | Path]
    count: int
    missing: list[dict[str, Any]] = field(default_factory=list)

    def document(self, environment: Digest) -> dict[str, Any]:
        """Return what a bundle says of them."""
        artifact = None if self.artifact is None else str(self.artifact)
        return {"environment": str(environment), "artifact": artifact, "missing": self.missing}


def download(objects: LocalObjects, environment: Digest, folder: Path) -> Wheels:
    """Download the packages of an environment into a new folder.

    Parameters
    ----------
    objects : LocalObjects
        Where its document is.
    environment : Digest
        The document.
    folder : Path
        Where the files go; they must stay while the answer is used.

    Raises
    ------
    MissingObject, CorruptObject
        If the document does not read.
    MachineError
        If the index of packages cannot be reached, or the disk is full.
    """
    folder.mkdir()
    manifest = Manifest.decode(objects.read(environment))
    packages = canonical.decode(concatenate(objects, manifest.entries[0].objects)).get("packages") or []
    missing = [asdict(lack) for lack in Downloader(folder, SECONDS).install(packages)]
    missing += [
        {"name": each["name"], "version": each.get("version"), "reason": _FROM_A_FOLDER, "instead": None}
        for each in packages
        if each.get("editable")
    ]
    files: dict[Digest, bytes | Path] = {}
    entries = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest = Digest.of_chunks(iter(lambda file=file: file.read(BLOCK), b""))  # type: ignore[misc]
        files[digest] = path
        entries.append(Entry(path.name, path.stat().st_size, (digest,), {"executable": False}))
    missing.sort(key=lambda lack: str(lack["name"]))
    if not entries:
        return Wheels(None, {}, 0, missing)
    tree_manifest = Manifest(tree.NAME, tuple(entries))
    files[tree_manifest.digest] = tree_manifest.encode()
    return Wheels(tree_manifest.digest, files, len(entries), missing)
