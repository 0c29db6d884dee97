"""The entities of a crate, with the library of those who own the format.

Laws: ids are made of what a thing is, quoted, so equal exports are equal and no name becomes another id; every value is
text, a number or another entity, as flat JSON-LD has it; a member without a value is left out. Terms that RO-Crate has
not stand in the crate's own context, so nobody must fetch another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from repro_assets.interchange.exports.crate_files import LaidArtifact, LaidFile
from repro_assets.mirrors.holding import as_text, holdable
from repro_assets.wording import plain

if TYPE_CHECKING:
    from pathlib import Path

    from rocrate.model import Entity

VERSION = "1.1"
PROFILES = {
    "process": ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    "workflow": ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    "provenance": ("https://w3id.org/ro/wfrun/provenance/0.5", "Provenance Run Crate", "0.5"),
    "workflow-ro-crate": ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
}
"""The newest of the profiles that are made for RO-Crate 1.1 (0.6 is for 1.3)."""
_TERMS = {
    "sha256": "http://schema.org/sha256",
    "environment": "https://w3id.org/ro/terms/workflow-run#environment",
}
_TYPES = {bool: "Boolean", int: "Integer", float: "Float", str: "Text"}


class Crate:
    """A crate that is being made.

    Parameters
    ----------
    folder : Path
        Where its files are.
    """

    def __init__(self, folder: Path) -> None:
        from rocrate.rocrate import ROCrate

        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_terms.update(_TERMS)
        self._folder = folder

    def add(self, place: str, kind: str | list[str], **members: Any) -> Entity:
        """Add an entity that is no file, once: of a second one with its id the members are ignored."""
        from rocrate.model.contextentity import ContextEntity

        known = self.crate.get(place)
        if known is not None:
            return known
        return self.crate.add(ContextEntity(self.crate, place, {"@type": kind, **_members(members)}))

    def add_file(self, file: LaidFile, kinds: Iterable[str] = (), **members: Any) -> Entity:
        """Add a file that lies in the folder."""
        types = ["File", *kinds]
        given = {"contentSize": str(file.size), "sha256": file.sha256, **_members(members)}
        given["@type"] = types if len(types) > 1 else "File"
        return self.crate.add_file(self._folder / file.path, file.path, properties=given)

    def add_artifact(self, laid: LaidArtifact, **members: Any) -> Entity:
        """Add an artifact that lies in the folder: a file, or a folder with all of its files."""
        members = {"alternateName": laid.renamed, **members}
        if not laid.path.endswith("/"):
            return self.add_file(laid.files[0], **members)
        made = self.crate.add_dataset(dest_path=laid.path, properties=_members(members))
        parts = [self.add_file(file, name=file.path.removeprefix(laid.path)) for file in laid.files]
        if parts:
            made["hasPart"] = parts
        return made

    def add_profiles(self, names: Iterable[str]) -> None:
        """Say to which profiles the crate conforms."""
        entities = []
        for name in names:
            identifier, called, version = PROFILES[name]
            entities.append(self.add(identifier, "CreativeWork", name=called, version=version))
            if name == "workflow-ro-crate":
                known = self.crate.metadata["conformsTo"]
                self.crate.metadata["conformsTo"] = [
                    {"@id": known if isinstance(known, str) else known.id},
                    {"@id": identifier},
                ]
        self.crate.root_dataset["conformsTo"] = entities

    def write(self) -> None:
        """Write the metadata beside the files, which are there already."""
        self.crate.write(self._folder)


def identifier(*parts: object) -> str:
    """Return the id of something that has no file, from what it is."""
    quoted = (quote(str(part).encode("utf-8", "surrogatepass"), safe="") for part in parts if part is not None)
    return f"#{'/'.join(quoted)}"


def reference(iri: str) -> dict[str, str]:
    """Return a reference to something that is described elsewhere."""
    return {"@id": iri}


def value_of(value: Any) -> tuple[Any, str]:
    """Return a parameter's value as a crate holds it, and the schema.org type of its kind."""
    kind = _TYPES.get(type(value))
    if kind is None:
        return as_text(value) if value is not None else "null", "Text"
    shown = plain(value)
    return (holdable(shown) if isinstance(shown, str) else shown), kind


def _members(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _held(value) for name, value in members.items() if value is not None and value != []}


def _held(value: Any) -> Any:
    if isinstance(value, list):
        return [_held(item) for item in value]
    return holdable(value) if isinstance(value, str) else value
