"""The trash: what a collection has taken out of its place and not deleted yet.

Laws: what lies here is still read, under its digest; whatever moves, in or out, moves by rename, so that it is in one
place or in the other; a thing's time in the trash counts from its move. `collection` decides what moves.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.objects import LocalObjects
from repro_assets.store.packs import Packs

_LOOSE = re.compile(r"[0-9a-f]{64}")


class Trash:
    """The trash of a store.

    Parameters
    ----------
    objects : LocalObjects
        The objects of that store.
    """

    def __init__(self, objects: LocalObjects) -> None:
        self.objects, self.home = objects, objects.home

    def contents(self) -> Iterator[tuple[set[Digest], list[Path]]]:
        """Yield what lies here: the objects, and the files to be unlinked, in their order."""
        trashed = Packs(self.home, self.home.trash)
        held: dict[str, set[Digest]] = {name: set() for name in trashed.names()}
        for digest, entry in trashed.entries():
            held[entry.pack].add(digest)
        for name, digests in held.items():
            yield digests, [Path(trashed.path(name)), self.home.trash / f"{name}.idx"]
        for path in sorted(self.home.trash.iterdir()) if self.home.trash.is_dir() else []:
            if _LOOSE.fullmatch(path.name):
                yield {Digest(path.name)}, [path]

    def take(self, path: Path, name: str) -> bool:
        """Move a file here; False if it is gone."""
        # Its time in the trash counts from here. It is set first: after a crash in between, the object is only young.
        try:
            os.utime(path)
            path.rename(self.home.trash / name)
        except FileNotFoundError:
            return False
        return True

    def take_pack(self, pack: str) -> bool:
        """Move a pack and its index here; False if the pack is gone."""
        # The pack before its index: whoever looks in between makes the index again, in the right folder.
        moved = self.take(self.home.packs / f"{pack}.pack", f"{pack}.pack")
        self.take(self.home.packs / f"{pack}.idx", f"{pack}.idx")
        return moved

    def restore(self, alive: Collection[Digest]) -> int:
        """Move back what is named and lies here alone, and return how many objects that were."""
        alive = frozenset(alive)
        restored = 0
        changed: set[Path] = set()
        in_place: set[Digest] | None = None
        for digests, files in list(self.contents()):
            named = alive.intersection(digests)
            if not named:
                continue
            if in_place is None:
                in_place = set(self.objects.digests())
            if named <= in_place:
                continue
            if files[0].suffix:
                # The index first, as it is shown when a pack is written.
                for path in reversed(files):
                    with contextlib.suppress(FileNotFoundError):
                        durable.ensure_folder(self.home.packs)
                        path.rename(self.home.packs / path.name)
                changed.add(self.home.packs)
            else:
                (digest,) = digests
                target = self.objects.path(digest)
                durable.ensure_folder(target.parent)
                files[0].rename(target)
                changed.add(target.parent)
            in_place |= digests
            restored += len(named)
        for folder in changed:
            durable.sync_folder(folder)
        return restored


def modified(path: Path) -> float:
    """Return when a file was changed last; never, where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
