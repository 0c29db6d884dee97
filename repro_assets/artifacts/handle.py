"""Handles: an artifact without its bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.artifacts.kinds import DECODERS, kind_named
from repro_assets.errors import CorruptObject, IntegrityError, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stored artifact; two handles are equal exactly if their digests are.

    Parameters
    ----------
    home : Home
        The store that holds it.
    digest : Digest
        Its identity.
    kind : str
        ``tensors``, ``table``, ``tree``, ``json``, ``bytes`` or ``segments``.
    collection, version : str and int, optional
        The version under which this handle was found or stored.
    name : str, optional
        A display name, for messages.
    run_id : str, optional
        The run that made it, where known.
    """

    home: Home = field(compare=False, repr=False)
    digest: Digest
    kind: str = field(compare=False)
    collection: str | None = field(default=None, compare=False)
    version: int | None = field(default=None, compare=False)
    name: str | None = field(default=None, compare=False)
    run_id: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.collection is not None and self.version is not None:
            return f"{self.collection}:v{self.version}"
        return self.name or str(self.digest)

    @property
    def manifest(self) -> Manifest:
        """The verified manifest."""
        with self._named():
            return Manifest.decode(self._objects().read(self.digest))

    def load(self) -> Any:
        """Return the value.

        Raises
        ------
        MissingObject, CorruptObject
            If bytes are gone or do not match; the artifact is named.
        """
        objects = self._objects()
        with self._named():
            return kind_named(self.kind).read(Manifest.decode(objects.read(self.digest)), objects)

    def lay_out(self, target: Path) -> int:
        """Write the artifact as file or folder `target` and return the number of files.

        Raises
        ------
        MissingObject, CorruptObject
            If bytes are gone or do not match; the artifact is named.
        OSError
            If `target` is there, as a folder, or cannot be written.
        """
        objects = self._objects()
        with self._named():
            return kind_named(self.kind).lay_out(Manifest.decode(objects.read(self.digest)), objects, target)

    def verify(self) -> int:
        """Hash every byte of it again, and return the number of objects.

        Raises
        ------
        MissingObject, CorruptObject
            If bytes are gone or do not match; the artifact is named.
        """
        objects = self._objects()
        with self._named():
            wanted = {self.digest, *Manifest.decode(objects.read(self.digest)).objects()}
            for digest in wanted:
                objects.verify(digest)
        return len(wanted)

    def is_whole(self, *, read: bool = False) -> bool:
        """Tell whether the manifest reads and every object is there.

        Parameters
        ----------
        read : bool
            Also read every object and check its bytes.
        """
        objects = self._objects()
        try:
            for digest in set(self.manifest.objects()):
                if read:
                    objects.read_stored(digest)
                elif not objects.has(digest):
                    return False
        except IntegrityError:
            return False
        return True

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (MissingObject, CorruptObject) as error:
            remedy = error.remedy if self.run_id is None else f"make it again with: repro replay {self.run_id}"
            raise type(error)(f"{self} cannot be read: {error.message}", remedy) from error

    def _objects(self) -> LocalObjects:
        return open_objects(self.home, DECODERS)
