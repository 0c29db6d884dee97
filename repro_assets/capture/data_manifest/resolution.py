"""From a differential manifest to the whole one that it stands for.

Laws: each base is found where it was, or under its name beside the manifest that names it; it counts only if its
digest is the one that was named, so that no chain of bases can lead back into itself; a changed base is refused and
never used in part.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from repro_assets.capture.data_manifest.document import Loaded, read_manifest
from repro_assets.capture.data_manifest.listing import DataManifest, Item, shown
from repro_assets.capture.data_manifest.walking import absolute
from repro_assets.errors import CorruptRecord, InvalidInput


def resolved(loaded: Loaded) -> DataManifest:
    """Return the whole manifest: the entries of all bases, each as the last manifest that names it has it.

    Raises
    ------
    InvalidInput
        If a base is not there or no manifest.
    CorruptRecord
        If a base was changed, or is another than was named.
    """
    return resolved_with_files(loaded)[0]


def resolved_with_files(loaded: Loaded) -> tuple[DataManifest, list[Path]]:
    """Return the whole manifest, and the files that it was put together from."""
    chain = [loaded]
    while chain[-1].manifest.base is not None:
        chain.append(_base_of(chain[-1]))
    items: dict[str, Item] = {}
    for link in reversed(chain):
        manifest = link.manifest
        if manifest.single:
            items = dict(manifest.items) or items
            continue
        for path, _ in manifest.changes.removed if manifest.changes is not None else ():
            items.pop(path, None)
        items.update(manifest.items)
    whole = replace(
        loaded.manifest,
        items=dict(sorted(items.items(), key=lambda pair: os.fsencode(pair[0]))),
        base=None,
        changes=None,
    )
    return whole, [link.path for link in chain]


def _base_of(loaded: Loaded) -> Loaded:
    base = loaded.manifest.base
    if base is None:
        raise InvalidInput(f"{loaded.path} names no base", "it is a full manifest")
    recorded = Path(base.path)
    places = dict.fromkeys((recorded, Path(absolute(loaded.path)).parent / recorded.name))
    found = [place for place in places if os.path.lexists(place)]
    if not found:
        raise InvalidInput(
            f"{shown(str(recorded))}, the base of {loaded.path}, is not there",
            f"put it there, or beside {loaded.path.name}",
        )
    for place in found:
        candidate = read_manifest(place)
        if candidate.digest == base.digest:
            return candidate
    raise CorruptRecord(
        f"{shown(str(found[0]))} is not the base of {loaded.path}: its digest is not {base.digest}",
        "get the manifest that it was made on",
    )
