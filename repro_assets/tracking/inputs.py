"""What an experiment reads.

Laws: what is read is stored and recorded before it is handed on; under a replay it is what was read then, from the
store, whatever lies at the place now.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import kind_of
from repro_assets.artifacts.names import check_collection
from repro_assets.errors import InvalidInput, InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.recording import undeclared
from repro_assets.recording.raw_inputs import store_raw
from repro_assets.store.home import Home
from repro_assets.tracking.begun import Begun
from repro_assets.tracking.opened import opened
from repro_assets.tracking.pinned import top
from repro_assets.tracking.program import within

Value = TypeVar("Value")


class Inputs(Begun):
    """The ways in which an experiment reads; a part of `Experiment`."""

    def use_artifact(self, artifact: str | Artifact, slot: str | None = None) -> Artifact:
        """Record that the run reads an artifact, and return its handle.

        Parameters
        ----------
        artifact : str or Artifact
            A handle, or what names one: ``NAME``, ``NAME:v3``, ``NAME@alias``, a display name or a digest.
        slot : str, optional
            What the run calls it; the name of its collection if left out.

        Raises
        ------
        UnknownName, AmbiguousName
            If nothing is called that, or several are.
        """
        asked = slot or _slot_of(artifact)
        pinned = self._pinned(asked)
        if pinned is None:
            pinned = artifact if isinstance(artifact, Artifact) else find(self.reads_from, artifact)
        return self._use(asked, pinned)

    def use_path(self, path: str | Path) -> Path:
        """Record that the run reads a file or a folder, and return where to read it: there, or where a copy lies.

        Parameters
        ----------
        path : str or Path
            The file or folder. Its bytes are stored as a version of the collection ``raw-<its name>``.

        Returns
        -------
        Path
            `path`; under a replay a copy of what was read then.

        Raises
        ------
        InvalidInput
            If it is not there, or cannot be read.
        SourceChanged
            If it changes while it is read.
        """
        root = top()
        given = Path(path)
        slot = within(root, given if self.pins is None else self.pins.there(given))
        pinned = self._pinned(slot)
        if pinned is None:
            if not given.exists():
                raise InvalidInput(f"{given} is not there", "check the path")
            self._use(slot, store_raw(self.home, root, given.absolute()))
            opened.declare(given)
            return given
        assert self.pins is not None
        copy = self.pins.folder / "inputs" / pinned.digest.hex[:16] / (given.name or "input")
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            pinned.lay_out(copy)
        self._use(slot, pinned)
        opened.declare(copy)
        return copy

    def use_value(self, value: Value, name: str) -> Value:
        """Record that the run reads a value that it got from elsewhere, such as a database or the network.

        Parameters
        ----------
        value : object
            Tensors, arrays, a table, JSON or bytes.
        name : str
            What it is called; its versions are of this collection.

        Returns
        -------
        object
            `value`; under a replay what was read then.

        Raises
        ------
        InvalidValue
            If no kind of artifact holds it, or the name cannot be one.
        """
        check_collection(name)
        pinned = self._pinned(name)
        if pinned is not None:
            undeclared.declare_connections()
            stored: Value = self._use(name, pinned).load()
            return stored
        self._use(name, repository.claim(repository.put(self.home, value, name=name), name))
        undeclared.declare_connections()
        return value

    def track_dataset(self, data: Any, name: str) -> Artifact:
        """Record a data set that the run reads, as a version of ``dataset-<name>``, and return its handle.

        Parameters
        ----------
        data : object
            A table, tensors, arrays, JSON, bytes, or the path of a file or folder.
        name : str
            What it is called.

        Raises
        ------
        InvalidValue
            If no kind of artifact holds the data, or the name cannot be one.
        InvalidInput
            If a path is not there.
        """
        collection = check_collection(f"dataset-{name}")
        pinned = self._pinned(collection)
        if pinned is None:
            value = Path(data) if isinstance(data, str) else data
            if isinstance(value, Path) and not value.exists():
                raise InvalidInput(f"{value} is not there", "check the path")
            try:
                kind = kind_of(value)
            except InvalidValue as error:
                other = f"of other data keep use_value(fingerprint_data(data).document(), {collection!r})"
                raise InvalidValue(error.message, f"{error.remedy}; {other}") from error
            pinned = repository.claim(repository.put(self.home, value, kind, name=collection), collection)
        if isinstance(data, (str, Path)):
            opened.declare(Path(data))
        else:
            undeclared.declare_connections()
        return self._use(collection, pinned)

    def use_parents(self, parents: Sequence[str | Artifact]) -> None:
        """Record what something that is about to be kept was made from."""
        for parent in parents:
            self.use_artifact(parent)

    def _pinned(self, slot: str) -> Artifact | None:
        if self.pins is None:
            return None
        if slot not in self.pins.inputs:
            raise UnknownName(
                f"run {self.pins.run.run_id} read nothing that it called {slot!r}",
                f"it read: {', '.join(sorted(self.pins.inputs)) or 'nothing'}",
            )
        return repository.by_digest(self.reads_from, Digest.parse(self.pins.inputs[slot]), name=slot)

    def _use(self, slot: str, artifact: Artifact) -> Artifact:
        if self.inputs.get(slot) != artifact:
            self.run.use(slot, artifact, pinned=self.pins is not None)
            self.inputs[slot] = artifact
        return artifact


def find(home: Home, text: str) -> Artifact:
    """Return the artifact that `text` names; the catalog is asked only where the store's folders do not know.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing is called that, or several are.
    """
    stored = repository.by_name(home, text)
    if stored is not None:
        return stored
    if importlib.util.find_spec("duckdb") is None:
        raise UnknownName(f"no collection, version or digest is called {text!r}", "other names need duckdb and pyarrow")
    from repro_assets.catalog.naming import resolve_artifact

    return resolve_artifact(home, text)


def _slot_of(artifact: str | Artifact) -> str:
    if isinstance(artifact, Artifact):
        return artifact.collection or artifact.name or str(artifact.digest)
    return artifact.partition(":v")[0].partition("@")[0]
