"""What a kind of artifact is: value to manifest and objects, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from repro_assets.identity.manifest import Manifest
from repro_assets.store.batch import Batch
from repro_assets.store.objects import LocalObjects


class Kind(Protocol):
    """One module of this folder."""

    def write(self, value: Any, batch: Batch) -> Manifest:
        """Put the parts of `value` and return the manifest, which is not stored yet.

        Raises
        ------
        InvalidValue
            If the kind cannot hold the value; the path to the part is named.
        """

    def read(self, manifest: Manifest, objects: LocalObjects) -> Any:
        """Return the value that was written."""

    def lay_out(self, manifest: Manifest, objects: LocalObjects, target: Path) -> int:
        """Write the value as file or folder `target`, in a form that other programs read; return the files made."""
