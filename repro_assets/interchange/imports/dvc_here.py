"""What a store has of a DVC repository since an earlier import, from this clone of it or from another one.

Laws: something is what DVC calls it only where a run of this very history was recorded with it, because then its bytes
were hashed under that name; all of it is in the store, or it is not here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from repro_assets.artifacts.kinds import DECODERS
from repro_assets.catalog import queries
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.interchange.imports.dvc_files import Content, Item
from repro_assets.interchange.imports.foreign import ForeignArtifact
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects

_RECORDED = """
SELECT run_id, slot, digest FROM run_outputs WHERE list_contains($runs, run_id)
UNION SELECT run_id, slot, digest FROM run_inputs WHERE list_contains($runs, run_id)
"""


class Here:
    """What is here of what a repository tracked.

    Parameters
    ----------
    home : Home or None
        The store; None has nothing.
    tracked : iterable
        Each run's id, with what it read and wrote there.
    """

    def __init__(self, home: Home | None, tracked: Iterable[tuple[str, Iterable[Item]]]) -> None:
        self._objects = None if home is None else LocalObjects(home, DECODERS)
        self._digests: dict[Content, Digest] = {}
        if home is None:
            return
        items = {(run, item.path): item.content for run, found in tracked for item in found if item.inside}
        for row in queries.rows(home, _RECORDED, {"runs": list({run for run, _ in items})}):
            content = items.get((row["run_id"], row["slot"]))
            if content is not None:
                self._digests[content] = Digest.parse(row["digest"])

    def artifact(self, item: Item) -> ForeignArtifact | None:
        """Return what an item is, read from the store; None where it is not there, or not all of it.

        Raises
        ------
        CorruptObject
            If its manifest is damaged.
        """
        digest = self._digests.get(item.content)
        if digest is None or self._objects is None or not self._objects.has(digest):
            return None
        manifest = Manifest.decode(self._objects.read(digest))
        needed = dict.fromkeys(manifest.objects())
        if self._objects.absent(needed):
            return None
        read = {part: functools.partial(self._objects.read, part) for part in needed}
        return ForeignArtifact(manifest, _sizes(manifest), read)


def _sizes(manifest: Manifest) -> dict[Digest, int]:
    """Return the bytes of each object: what comes of DVC are files, one object each."""
    return {entry.objects[0]: entry.size for entry in manifest.entries}
