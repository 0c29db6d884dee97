"""Whether the bytes of what is exported are there.

Law: what is gone is named, and what is damaged ends the export.
"""

from __future__ import annotations

from collections.abc import Iterable

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home


def gone(artifacts: Iterable[Artifact]) -> tuple[str, ...]:
    """Hash every byte of artifacts again, and return a line for each of which some are gone.

    Raises
    ------
    CorruptObject
        If bytes are there and do not match.
    """
    found = []
    for artifact in artifacts:
        try:
            artifact.verify()
        except MissingObject:
            found.append(_line(str(artifact)))
    return tuple(found)


def gone_digests(home: Home, named: Iterable[tuple[Digest, str]]) -> tuple[str, ...]:
    """Do what `gone` does, for digests with the names that they have for a person."""
    found: list[str] = []
    for digest, name in named:
        try:
            artifact = repository.by_digest(home, digest, name=name)
        except UnknownName:
            found.append(_line(name))
        else:
            found += gone([artifact])
    return tuple(found)


def _line(name: str) -> str:
    return f"bytes of {name} are gone from the store"
