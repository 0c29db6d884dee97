"""Is everything that the journal names in the store, and right?

Laws: what depends on what is read from the journal itself, so the check needs no catalog; every line of the journal
and every claimed version is looked at; what is damaged is named together with the artifacts and runs that it affects;
nothing is repaired but what can be made again from the rest (`store.fsck`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from repro_assets.artifacts import names
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.retention import Ledger, dependence
from repro_assets.errors import InvalidValue, ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records
from repro_assets.journal.segments import Damage, list_segments, read_segment
from repro_assets.store import fsck
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects


@dataclass(frozen=True, slots=True)
class Soundness:
    """What the check found.

    Parameters
    ----------
    ok : bool
        True if nothing below is damaged or missing.
    checked : int
        Objects that were looked at.
    full : bool
        Whether every byte was hashed again.
    corrupt, missing : list of dict
        ``digest`` and what it ``affects``; corrupt ones also the ``reason``.
    journal : list of dict
        ``segment``, ``offset`` and ``reason`` of each line that is no record.
    claims : list of dict
        ``claim`` and ``reason`` of each version whose file is damaged, gone, or another than the recorded one.
    unfinished : int
        Files that are being written, or were when a process died; no damage.
    packs, files, rebuilt : list of dict
        Damaged stretches of packs, other damaged files, and indexes that were made again (`store.fsck.Findings`).
    resumed, packs_checked, quarantined : int
        As in `store.fsck.Findings`.
    """

    ok: bool
    checked: int
    full: bool
    corrupt: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0
    packs: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    rebuilt: list[dict[str, Any]] = field(default_factory=list)
    resumed: int = 0
    packs_checked: int = 0
    quarantined: int = 0

    def document(self) -> dict[str, Any]:
        """Return the findings as a JSON object."""
        return asdict(self)


def check_store(
    home: Home, *, full: bool = False, restart: bool = False, progress: Callable[[int], None] | None = None
) -> Soundness:
    """Check objects, artifacts, journal and versions of a store.

    Parameters
    ----------
    home : Home
        The store.
    full : bool
        Hash every byte with SHA-256; otherwise trailers, headers, manifests and references are looked at.
    restart : bool
        Verify also what an interrupted full check has verified already.
    progress : callable, optional
        Told the number of objects checked so far.

    Raises
    ------
    OSError
        If a folder of the store cannot be read.
    """
    named: dict[Digest, list[str]] = {}
    lines: list[dict[str, Any]] = []
    claimed: dict[tuple[str, int], set[str]] = {}
    ledger = Ledger()
    for segment in list_segments(home.journal):
        for item, _ in read_segment(segment):
            if isinstance(item, Damage):
                lines.append({"segment": item.segment, "offset": item.offset, "reason": _in_one_line(item.reason)})
                continue
            if isinstance(item.payload, artifact_records.VersionClaimed):
                claimed.setdefault((item.payload.collection, item.payload.version), set()).add(item.payload.digest)
            try:
                ledger.take(item)
            except InvalidValue as error:
                lines.append({"segment": segment.name, "offset": None, "reason": f"record {item.id}: {error}"})
                continue
            for digest, name in dependence(item.payload):
                dependents = named.setdefault(Digest.parse(digest), [])
                if name is not None and name not in dependents:
                    dependents.append(name)
    kept = {hold.digest for hold in ledger.holds()}
    claims = _check_claims(home, claimed, named, kept)
    objects = open_objects(home, DECODERS)
    # What nothing keeps may have been collected, and of what was evicted only the manifest is there.
    whole = {
        digest: who
        for digest, who in named.items()
        if ledger.eviction(digest) is None and (digest in kept or objects.has(digest))
    }
    found = fsck.check(objects, whole, full=full, restart=restart, chains=objects.needs, progress=progress)
    return Soundness(
        ok=found.ok and not lines and not claims,
        checked=found.checked,
        full=full,
        corrupt=found.corrupt,
        missing=found.missing,
        journal=lines,
        claims=claims,
        unfinished=found.unfinished,
        packs=found.packs,
        files=found.files,
        rebuilt=found.rebuilt,
        resumed=found.resumed,
        packs_checked=found.packs_checked,
        quarantined=found.quarantined,
    )


def _check_claims(
    home: Home, claimed: dict[tuple[str, int], set[str]], named: dict[Digest, list[str]], kept: set[Digest]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    seen: set[tuple[str, int]] = set()
    for collection in names.collections(home):
        for path in sorted((home.names / collection).iterdir()):
            if names.is_mark(path):
                continue
            claim = f"{collection}/{path.name}"
            try:
                version = names.read_version(path)
            except (ReproError, OSError) as error:
                found.append({"claim": claim, "reason": _in_one_line(str(error))})
                if path.name.isdecimal():
                    seen.add((collection, int(path.name)))
                continue
            seen.add((collection, version.number))
            # Two stores that claimed one number before they met have two records of it, and each keeps its own.
            recorded = claimed.get((collection, version.number))
            if recorded is not None and str(version.digest) not in recorded:
                found.append(
                    {
                        "claim": claim,
                        "reason": f"it names {version.digest}, the journal {' and '.join(sorted(recorded))}",
                    }
                )
            if version.deleted:
                continue
            # A kill between claim and record leaves a version that is valid and that no record names.
            kept.add(version.digest)
            dependents = named.setdefault(version.digest, [])
            if str(version) not in dependents:
                dependents.append(str(version))
    found += [
        {"claim": f"{collection}/{number}", "reason": "the journal records this version, but its file is gone"}
        for collection, number in sorted(claimed.keys() - seen)
    ]
    return found


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
