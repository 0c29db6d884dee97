"""Does the store hold what it should, and is every byte right?

Laws: the check takes the artifacts and who depends on them as arguments, because the store does not know the journal;
it never repairs silently; quick looks at every trailer, header and reference, full also hashes every byte again, on all
cores; every copy of an object is looked at, not only the one that a reader gets. What was set aside is reported as
corrupt as long as something needs it and no whole copy has been put again.

An index is no home of a fact: one that is missing, damaged or another pack's is made again from its pack and named.
A full check writes down what it has verified, so that one that was interrupted goes on where it was (`verified`).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from repro_assets.errors import CorruptObject, IntegrityError, MissingObject, RequestError
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store import durable, leases, sealed, sources
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE, TRAILER_SIZE, read_trailer
from repro_assets.store.objects import LocalObjects
from repro_assets.store.packs import Packs
from repro_assets.store.verified import VerifiedPass

_ASIDE = re.compile(r"([0-9a-f]{64})\..+")
_WORKERS = os.cpu_count() or 1


@dataclass(slots=True)
class Findings:
    """What a check found.

    Parameters
    ----------
    checked : int
        Objects that were looked at.
    resumed : int
        How many of them an earlier, interrupted check of this pass had verified.
    packs_checked : int
        Packs that were looked at.
    corrupt, missing : list of dict
        ``digest`` and what it ``affects``; corrupt ones also the ``reason``.
    packs : list of dict
        Damage of packs: ``pack``, ``offset`` and ``length`` of the stretch, the ``digests`` that an index puts there,
        and the ``reason``.
    files : list of dict
        ``file`` and ``reason`` of other files that do not read and are needed: leases.
    rebuilt : list of dict
        ``file`` and ``reason`` of what does not read and is not needed: indexes, which were made again, and caches,
        which the next use makes anew. No damage.
    quarantined : int
        Objects of which a damaged copy is in quarantine, healed ones included.
    unfinished : int
        Files that are being written, or were when a process died. No damage.
    """

    checked: int = 0
    resumed: int = 0
    packs_checked: int = 0
    corrupt: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    packs: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    rebuilt: list[dict[str, Any]] = field(default_factory=list)
    quarantined: int = 0
    unfinished: int = 0

    @property
    def ok(self) -> bool:
        """Nothing is corrupt, missing or damaged."""
        return not (self.corrupt or self.missing or self.packs or self.files)


def check(
    objects: LocalObjects,
    artifacts: Mapping[Digest, list[str]],
    *,
    optional: Collection[Digest] = (),
    full: bool = False,
    restart: bool = False,
    chains: Callable[[Digest], Iterable[Digest]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Findings:
    """Check the objects and every artifact.

    Parameters
    ----------
    objects : LocalObjects
        The store.
    artifacts : mapping
        The manifest digest of every artifact that must be whole, with the names of what depends on it.
    optional : collection of Digest
        Those of them that need not be whole where their manifest is gone.
    full : bool
        Hash every byte with SHA-256 (else: trailers, headers and references).
    restart : bool
        Verify also what an interrupted full check has verified already.
    chains : callable, optional
        Yields what an object is stored as a difference from; what is bad there affects whatever needs the object.
    progress : callable, optional
        Told the number of objects checked so far.
    """
    findings = Findings()
    seen: dict[Digest, str | None] = {}
    home = objects.home
    _check_indexes(objects.packs, findings)
    if full:
        verified = VerifiedPass(home)
        if restart:
            verified.begin_anew()
        with verified:
            _check_in_full(objects, verified, findings, seen, progress)
    else:
        _check_placements(objects, findings, seen, progress)
    _check_copies(objects, findings, full)
    # Looking for an object makes a damaged index again, so nothing is looked for before `_check_indexes`.
    needed = {digest: who for digest, who in artifacts.items() if digest not in optional or objects.has(digest)}
    _check_references(objects, needed, findings, _Needed(objects, seen, chains, full))
    _check_small_files(home, findings)
    findings.unfinished = len(_names(home.temporary)) + _without_pack(home.packs)
    return findings


def _check_small_files(home: Home, findings: Findings) -> None:
    """Find damage of leases, and of caches, which are sealed or have checksums of their own."""
    findings.files += [
        {"file": f"leases/{name}", "reason": "a row does not match its checksum"} for name in leases.damaged(home)
    ]
    caches = sorted(path for path in home.cache.rglob("*.json") if not sealed.is_sealed(path.read_bytes()))
    names = {f"sources/{name}" for name in sources.damaged_caches(home)}
    names |= {name for path in caches if not (name := str(path.relative_to(home.cache))).startswith("sources/")}
    findings.rebuilt += [
        {"file": f"cache/{name}", "reason": "it does not match its checksum, and is not used"} for name in sorted(names)
    ]


def _check_indexes(packs: Packs, findings: Findings) -> None:
    """Make every index again that is not the one of its pack."""
    for name in _names(packs.folder):
        pack, ending = name[:32], name[32:]
        if ending != ".pack":
            continue
        reason = packs.check_index(pack)
        if reason is not None:
            findings.rebuilt.append({"file": f"packs/{pack}.idx", "reason": reason})


def _check_placements(
    objects: LocalObjects,
    findings: Findings,
    seen: dict[Digest, str | None],
    progress: Callable[[int], None] | None,
) -> None:
    for digest in objects.digests():
        seen[digest] = _problem(objects.placement, digest)
        findings.checked += 1
        if progress is not None:
            progress(findings.checked)


def _check_in_full(
    objects: LocalObjects,
    verified: VerifiedPass,
    findings: Findings,
    seen: dict[Digest, str | None],
    progress: Callable[[int], None] | None,
) -> None:
    def look(digest: Digest) -> tuple[Digest, str | None, bool]:
        if digest in verified:
            # Only its bytes count as verified: it may have been moved or lost since.
            return digest, _problem(objects.placement, digest), True
        return digest, _problem(objects.verify, digest), False

    pending: deque[concurrent.futures.Future[tuple[Digest, str | None, bool]]] = deque()

    def take() -> None:
        digest, seen[digest], known = pending.popleft().result()
        if seen[digest] is None and not known:
            verified.add(digest)
        findings.resumed += known
        findings.checked += 1
        if progress is not None:
            progress(findings.checked)

    pool = concurrent.futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="repro-fsck")
    try:
        for digest in objects.digests():
            pending.append(pool.submit(look, digest))
            if len(pending) > 4 * _WORKERS:
                take()
        while pending:
            take()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _problem(look: Callable[[Digest], Any], digest: Digest) -> str | None:
    try:
        look(digest)
    except MissingObject:
        # A collection took it away since it was listed; if something needs it, that is found below.
        return None
    except (IntegrityError, RequestError) as error:
        # What cannot be checked here is named as well, and does not keep the rest from being checked.
        return str(error)
    return None


def _check_copies(objects: LocalObjects, findings: Findings, full: bool) -> None:
    """Find the damage of packs, and the copies that are damaged and that no reader gets while there is another."""
    packs = objects.packs
    packed: set[Digest] = set()
    for pack in packs.names():
        try:
            stretches = packs.damage(pack)
        except FileNotFoundError:
            # A collection took it away.
            continue
        findings.packs_checked += 1
        findings.packs += [
            {
                "pack": pack,
                "offset": stretch.start,
                "length": stretch.end - stretch.start,
                "digests": [str(digest) for digest in stretch.digests],
                "reason": "the stretch is no entry, or was cut short",
            }
            for stretch in stretches
        ]
        spare = []
        for digest, entry in packs.entries_of(pack):
            if full and packs.find(digest) != entry:
                spare.append((digest, entry))
            packed.add(digest)
        sound = packs.sound(pack, spare)
        for digest, entry in spare:
            if digest not in sound:
                packs.set_aside(digest, entry)
                findings.packs.append(
                    {
                        "pack": pack,
                        "offset": entry.offset,
                        "length": HEADER_SIZE + entry.stored_size,
                        "digests": [str(digest)],
                        "reason": "a second copy does not match; it was set aside",
                    }
                )
    if full:
        for digest in packed.intersection(objects.loose()):
            if not _is_whole(objects.path(digest), digest):
                durable.ensure_folder(objects.home.quarantine)
                objects.path(digest).rename(objects.home.quarantine / f"{digest.hex}.{uuid.uuid4().hex}")
                findings.files.append(
                    {"file": f"objects/{digest.hex[:2]}/{digest.hex[2:]}", "reason": "a second copy does not match"}
                )


def _is_whole(path: Path, digest: Digest) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TRAILER_SIZE))
        try:
            form = read_trailer(file.read(), digest, size)
        except CorruptObject:
            return False
        file.seek(0)
        seen, left = xxhash.xxh3_128(), form.stored_size
        while left:
            block = file.read(min(left, durable.BLOCK))
            seen.update(block)
            left -= len(block)
        return seen.digest() == form.check


class _Needed:
    """What artifacts need, and what is wrong with it."""

    def __init__(
        self,
        objects: LocalObjects,
        seen: dict[Digest, str | None],
        chains: Callable[[Digest], Iterable[Digest]] | None,
        full: bool,
    ) -> None:
        self.objects = objects
        self.bad = {digest: problem for digest, problem in seen.items() if problem is not None}
        self._seen = seen
        self._chains = chains
        self._look: Callable[[Digest], Any] = objects.verify if full else objects.placement

    def by(self, artifact: Digest) -> Iterator[Digest]:
        """Yield the objects of an artifact and what they are stored as a difference from, and it itself."""
        if self.is_whole(artifact):
            try:
                for digest in Manifest.decode(self.objects.read(artifact)).objects():
                    yield digest
                    yield from self._links(digest)
            except (IntegrityError, RequestError) as error:
                # Its trailer is right, so only this read found it; bytes that do not match are in quarantine now.
                self.bad[artifact] = str(error)
        yield artifact
        yield from self._links(artifact)

    def is_whole(self, digest: Digest) -> bool:
        """Tell whether an object is there and right; one in the trash was not looked at before."""
        if digest in self.bad or not self.objects.has(digest):
            return False
        if digest not in self._seen:
            problem = self._seen[digest] = _problem(self._look, digest)
            if problem is not None:
                self.bad[digest] = problem
        return digest not in self.bad

    def _links(self, digest: Digest) -> Iterator[Digest]:
        if self._chains is not None and self.is_whole(digest):
            # A base that is gone is yielded before what it needs itself cannot be found, so it is named.
            with contextlib.suppress(IntegrityError):
                yield from self._chains(digest)


def _check_references(
    objects: LocalObjects, artifacts: Mapping[Digest, list[str]], findings: Findings, needed: _Needed
) -> None:
    aside = {Digest(match[1]) for name in _names(objects.home.quarantine) if (match := _ASIDE.fullmatch(name))}
    affected: dict[Digest, set[str]] = {}
    gone: dict[Digest, set[str]] = {}
    for artifact, names in artifacts.items():
        for digest in needed.by(artifact):
            if not needed.is_whole(digest):
                (affected if digest in needed.bad else gone).setdefault(digest, set()).update(names)
    for digest in aside & gone.keys():
        needed.bad[digest] = f"the bytes that were stored under {digest} did not match; they are in quarantine"
        affected[digest] = gone.pop(digest)
    findings.quarantined = len(aside)
    findings.corrupt = [
        {"digest": str(digest), "affects": sorted(affected.get(digest, ())), "reason": reason}
        for digest, reason in needed.bad.items()
    ]
    findings.missing = [{"digest": str(digest), "affects": sorted(names)} for digest, names in gone.items()]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _without_pack(folder: Path) -> int:
    """Count the indexes that a killed process showed just before their pack."""
    names = set(_names(folder))
    return sum(1 for name in names if name.endswith(".idx") and f"{name[:-4]}.pack" not in names)
