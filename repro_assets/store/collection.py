"""Collection: finding what nothing names any more, moving it to the trash, and deleting it from there.

Laws: nothing that a root or a lease names is ever deleted, whatever else happens at the same time, because

- leases are read before roots, so what a process let go of after it was recorded is seen as a root;
- what is dead moves to the trash first, and only then leases and roots are read again; a put takes its lease before it
  looks, so it either found the object in place and its lease is seen now, or it finds it in the trash alone, which it
  counts as not there and writes again;
- what is named at that second look moves back, and the trash is emptied only of what was not named at a look that came
  after it lay there;
- a manifest, lease or root that does not read stops everything before anything is moved.

Without `delete` nothing is touched. One collector works at a time. It needs nothing but renames and unlinks, so that it
works on a full disk; the packs that are partly dead are written again where there is room, and left alone where not.

Known limit: a reader that resolves a dead object in the trash, and names it in a record after the last look, loses.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from repro_assets.errors import IntegrityError, MachineError, MissingObject, ReproError, from_os_error
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store.exclusive import alone
from repro_assets.store.layout import HEADER_SIZE, read_header
from repro_assets.store.leases import leased, living, sweep
from repro_assets.store.objects import LocalObjects
from repro_assets.store.pack_writing import PackWriter
from repro_assets.store.trash import Trash, modified

GRACE_SECONDS = 24 * 3600.0
REWRITE_FROM = 0.25
"""A pack is written again when at least this share of its bytes is dead."""
_ABANDONED_SECONDS = 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Roots:
    """What must stay.

    Parameters
    ----------
    artifacts : collection of Digest
        Manifests; all that they name stays as well.
    alone : collection of Digest
        Objects that stay without what they name: the manifests of evicted artifacts.
    """

    artifacts: Collection[Digest]
    alone: Collection[Digest] = ()


ReadRoots = Callable[[], Roots | Iterable[Digest]]
Needs = Callable[[Digest], Iterable[Digest]]


@dataclass(slots=True)
class Collected:
    """What a collection found and did.

    Parameters
    ----------
    dry_run : bool
        True if nothing was touched.
    objects, bytes : int
        What nothing names and is older than the grace, what lies in the trash included, and the bytes of its files
        that can be had.
    freed_objects, freed_bytes : int
        What was deleted.
    written_bytes : int
        Size of the packs that were written again, which is to be taken off what was freed.
    moved : int
        Objects that lie in the trash because of this collection.
    restored : int
        Objects that were moved back, because they were named again.
    young_objects, young_bytes : int
        What nothing names but is younger than the grace.
    kept_packs : list of dict
        ``pack`` and ``reason`` of each that should have been written again and could not be.
    """

    dry_run: bool
    objects: int = 0
    bytes: int = 0
    freed_objects: int = 0
    freed_bytes: int = 0
    written_bytes: int = 0
    moved: int = 0
    restored: int = 0
    young_objects: int = 0
    young_bytes: int = 0
    kept_packs: list[dict[str, str]] = field(default_factory=list)


def collect(
    objects: LocalObjects,
    roots: ReadRoots,
    *,
    delete: bool = False,
    grace: float = GRACE_SECONDS,
    now: bool = False,
    only: Collection[Digest] | None = None,
    needs: Needs | None = None,
) -> Collected:
    """Find what nothing names, and with `delete` move it to the trash and empty that.

    Parameters
    ----------
    objects : LocalObjects
        The store.
    roots : callable
        Reads what must stay, anew at each call.
    delete : bool
        Do it; otherwise only tell.
    grace : float
        Seconds for which an object stays in place, and then in the trash.
    now : bool
        Without any grace; the trash is emptied at once.
    only : collection of Digest, optional
        Leave everything else alone.
    needs : callable, optional
        The objects without which the stored form of an object cannot be read; those that it is stored as a difference
        from, if left out.

    Raises
    ------
    IntegrityError
        If a root, manifest or lease does not read; nothing was moved then.
    ReusedElsewhere
        If another process collects or repacks.
    MachineError
        If a file cannot be moved or deleted.
    """
    grace = 0.0 if now else grace
    collector = _Collector(objects, roots, grace, only, needs or _bases_in(objects), Collected(dry_run=not delete))
    if not delete:
        collector.survey(collector.alive())
        return collector.done
    try:
        with alone(objects.home):
            collector.delete()
    except OSError as error:
        raise from_os_error(error, error.filename or objects.home.trash) from error
    return collector.done


@dataclass(slots=True)
class _Pack:
    """A pack, what is dead in it, and how many of its bytes live."""

    name: str
    size: int
    dead: list[Digest]
    live: int


@dataclass(slots=True)
class _Candidates:
    loose: list[tuple[Digest, Path, int]] = field(default_factory=list)
    whole: list[_Pack] = field(default_factory=list)
    partly: list[_Pack] = field(default_factory=list)


class _Collector:
    def __init__(
        self,
        objects: LocalObjects,
        roots: ReadRoots,
        grace: float,
        only: Collection[Digest] | None,
        needs: Needs,
        done: Collected,
    ) -> None:
        self.objects, self.home, self.roots = objects, objects.home, roots
        self.trash = Trash(objects)
        self.grace, self.needs, self.done = grace, needs, done
        self.only = None if only is None else frozenset(only)
        self._parts: dict[Digest, tuple[Digest, ...]] = {}

    def alive(self) -> set[Digest]:
        """Read leases, then roots, and return all that they name."""
        alive = leased(self.home, self.grace)
        found = self.roots()
        if not isinstance(found, Roots):
            found = Roots(tuple(found))
        for artifact in found.artifacts:
            alive.add(artifact)
            alive.update(self._named(artifact))
        alive.update(found.alone)
        pending = list(alive)
        while pending:
            fresh = [digest for digest in self.needs(pending.pop()) if digest not in alive]
            alive.update(fresh)
            pending += fresh
        return alive

    def survey(self, alive: set[Digest]) -> _Candidates:
        """Find what is dead in place and in the trash, and count it."""
        found = self._candidates(alive)
        for _, _, size in found.loose:
            self._count(1, size)
        for pack in found.whole:
            self._count(len(pack.dead), pack.size + _size(self.home.packs / f"{pack.name}.idx"))
        for pack in found.partly:
            self._count(len(pack.dead), pack.size - pack.live)
        if self.only is None:
            for digests, files in self.trash.contents():
                if not alive.intersection(digests):
                    self._count(len(digests), sum(_size(path) for path in files))
        return found

    def delete(self) -> None:
        while True:
            found = self.survey(self.alive())
            full = self._move(found)
            alive = self.alive()
            self.done.restored += self.trash.restore(alive)
            freed = self._empty(alive)
            if full is None:
                break
            if not freed:
                raise full
            # The disk was too full even for the names in the trash: what was freed makes room for the others.
            self.done.objects = self.done.bytes = self.done.young_objects = self.done.young_bytes = 0
        sweep(self.home, self.grace)
        self._remove_leftovers()

    def _named(self, artifact: Digest) -> tuple[Digest, ...]:
        if artifact not in self._parts:
            try:
                self._parts[artifact] = tuple(Manifest.decode(self.objects.read(artifact)).objects())
            except MachineError:
                raise
            except ReproError as error:
                raise IntegrityError(
                    f"collection stopped, nothing was removed: the manifest {artifact} cannot be read: {error.message}",
                    "see: repro store fsck",
                ) from error
        return self._parts[artifact]

    def _is_wanted(self, digest: Digest) -> bool:
        return self.only is None or digest in self.only

    def _count(self, number: int, size: int) -> None:
        self.done.objects += number
        self.done.bytes += size

    def _candidates(self, alive: set[Digest]) -> _Candidates:
        found, border = _Candidates(), time.time() - self.grace
        for digest in self.objects.loose():
            if digest in alive or not self._is_wanted(digest):
                continue
            path = self.objects.path(digest)
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                if facts.st_mtime > border:
                    self.done.young_objects += 1
                    self.done.young_bytes += facts.st_size
                else:
                    found.loose.append((digest, path, facts.st_size))
        packs: dict[str, _Pack] = {name: _Pack(name, 0, [], 0) for name in self.objects.packs.names()}
        for digest, entry in self.objects.packs.entries():
            pack = packs.get(entry.pack)
            if pack is None:
                continue
            if digest in alive or not self._is_wanted(digest):
                pack.live += HEADER_SIZE + entry.stored_size
            else:
                pack.dead.append(digest)
        for pack in packs.values():
            with contextlib.suppress(FileNotFoundError):
                facts = Path(self.objects.packs.path(pack.name)).stat()
                pack.size = facts.st_size
                share = 1 - pack.live / pack.size if pack.size else 1.0
                if not pack.dead or (pack.live and share < REWRITE_FROM and self.only is None):
                    continue
                if facts.st_mtime > border:
                    self.done.young_objects += len(pack.dead)
                    self.done.young_bytes += pack.size - pack.live
                else:
                    (found.partly if pack.live else found.whole).append(pack)
        return found

    def _move(self, found: _Candidates) -> OSError | None:
        """Move what is dead to the trash; return what stopped it, where the disk is too full even for that."""
        try:
            for digest, path, _ in found.loose:
                if self.trash.take(path, digest.hex):
                    self.done.moved += 1
            for pack in found.whole:
                self._move_pack(pack)
            for pack in found.partly:
                if self._written_again(pack):
                    self._move_pack(pack)
        except OSError as error:
            if error.errno in _FULL:
                return error
            raise
        return None

    def _move_pack(self, pack: _Pack) -> None:
        if self.trash.take_pack(pack.name):
            self.done.moved += len(pack.dead)

    def _written_again(self, pack: _Pack) -> bool:
        """Write what lives in a pack to a new one; False, with the reason noted, if that cannot be."""
        dead = frozenset(pack.dead)
        places = sorted(
            (entry.offset, digest)
            for digest, entry in self.objects.packs.entries()
            if entry.pack == pack.name and digest not in dead
        )
        writer: PackWriter | None = None
        try:
            writer = PackWriter(self.home)
            with open(self.objects.packs.path(pack.name), "rb") as file:  # noqa: PTH123
                for offset, digest in places:
                    file.seek(offset)
                    head = read_header(file.read(HEADER_SIZE))
                    stored = file.read(head[1].stored_size) if head is not None else b""
                    sound = head is not None and head[0] == digest
                    if head is None or not sound or xxhash.xxh3_128_digest(stored) != head[1].check:
                        self.done.kept_packs.append({"pack": pack.name, "reason": f"{digest} in it is damaged"})
                        return False
                    writer.add(digest, head[1], stored)
            writer.close()
            self.done.written_bytes += writer.size
        except OSError as error:
            self.done.kept_packs.append({"pack": pack.name, "reason": error.strerror or str(error)})
            return False
        finally:
            if writer is not None:
                writer.abandon()
        return True

    def _empty(self, alive: set[Digest]) -> bool:
        """Delete what has lain in the trash for long enough; return whether anything was."""
        border = time.time() - self.grace
        old = [item for item in self.trash.contents() if modified(item[1][0]) <= border]
        if old and self.grace:
            # Those that have lain here may have been named since the look that let them lie.
            alive = self.alive()
            self.done.restored += self.trash.restore(alive)
        in_place = set(self.objects.digests()) if old else set()
        freed = False
        for digests, files in old:
            if not alive.intersection(digests) <= in_place:
                continue
            if self.only is not None and not digests <= self.only | in_place:
                continue
            size = 0
            for path in files:
                with contextlib.suppress(FileNotFoundError):
                    size += path.stat().st_size
                    path.unlink()
                    freed = True
            self.done.freed_objects += len(digests - alive)
            self.done.freed_bytes += size
        return freed

    def _remove_leftovers(self) -> None:
        """Remove what killed processes left: files that were being written, indexes whose pack never came."""
        border = time.time() - (_ABANDONED_SECONDS if not living(self.home) else max(self.grace, GRACE_SECONDS))
        leftovers = list(self.home.temporary.iterdir()) if self.home.temporary.is_dir() else []
        if self.home.packs.is_dir():
            leftovers += [path for path in self.home.packs.glob("*.idx") if not path.with_suffix(".pack").exists()]
        for path in leftovers:
            if path.is_file() and modified(path) <= border:
                with contextlib.suppress(FileNotFoundError):
                    size = path.stat().st_size
                    path.unlink()
                    self.done.freed_bytes += size


def _bases_in(objects: LocalObjects) -> Needs:
    def needs(digest: Digest) -> Iterator[Digest]:
        # What is not there needs nothing; that it is not there is the check's affair.
        with contextlib.suppress(MissingObject):
            yield from objects.needs(digest)

    return needs


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
