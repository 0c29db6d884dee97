"""Is everything that the journal names in the store, and right?

Laws: what depends on what is read from the journal itself, so the check needs no catalog; every line of the journal
and every claimed version is looked at; what is damaged is named together with the artifacts and runs that it affects;
nothing is repaired but what can be made again from the rest (`store.fsck`): an index from its pack, and the record of
a version from its claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.policy import read_policy
from repro_assets.artifacts.retention import Ledger, dependence
from repro_assets.errors import (
    CorruptObject,
    CorruptRecord,
    InvalidValue,
    MachineError,
    MissingObject,
    ReproError,
    UnsupportedFormat,
)
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records
from repro_assets.journal.merged import Form, MetricLine, forms, read_form
from repro_assets.journal.records import Record
from repro_assets.journal.segments import Damage, journal_at, list_segments
from repro_assets.store import fsck
from repro_assets.store.exclusive import read_plan
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.remote.configured import list_remotes

_ON_ITS_WAY_SECONDS = 60.0
"""A version that was claimed less long ago may be about to be recorded."""


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
    packs, files : list of dict
        Damaged stretches of packs, and other damaged files (`store.fsck.Findings`).
    rebuilt : list of dict
        Indexes that were made again (`store.fsck.Findings`), and claims that no record named and that have one now.
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
    merges: set[Digest] = set()
    for item in _read(home, merges, named, lines):
        if isinstance(item, Damage):
            lines.append({"segment": item.segment, "offset": item.offset, "reason": _in_one_line(item.reason)})
            continue
        if isinstance(item.payload, artifact_records.VersionClaimed):
            claimed.setdefault((item.payload.collection, item.payload.version), set()).add(item.payload.digest)
        try:
            ledger.take(item)
        except InvalidValue as error:
            lines.append({"segment": item.segment, "offset": None, "reason": f"record {item.id}: {error}"})
            continue
        for digest, name in dependence(item.payload):
            dependents = named.setdefault(Digest.parse(digest), [])
            if name is not None and name not in dependents:
                dependents.append(name)
    kept = {hold.digest for hold in ledger.holds()} | merges
    unrecorded: list[names.Version] = []
    claims = _check_claims(home, claimed, named, kept, unrecorded)
    # Without the default remote: what is checked is what lies here.
    objects = LocalObjects(home, DECODERS)
    # What nothing keeps may have been collected, and of what was evicted only the manifest is there.
    found = fsck.check(
        objects,
        {digest: who for digest, who in named.items() if ledger.eviction(digest) is None},
        optional=named.keys() - kept,
        full=full,
        restart=restart,
        chains=objects.needs,
        progress=progress,
    )
    settings = _check_settings(home)
    return Soundness(
        ok=found.ok and not (lines or claims or settings),
        checked=found.checked,
        full=full,
        corrupt=found.corrupt,
        missing=found.missing,
        journal=lines,
        claims=claims,
        unfinished=found.unfinished,
        packs=found.packs,
        files=found.files + settings,
        # A damaged line may be the record of any of them.
        rebuilt=found.rebuilt + ([] if lines else _record(home, unrecorded)),
        resumed=found.resumed,
        packs_checked=found.packs_checked,
        quarantined=found.quarantined,
    )


def _read(
    home: Home, merges: set[Digest], named: dict[Digest, list[str]], lines: list[dict[str, Any]]
) -> Iterator[Record | Damage]:
    """Yield all that can be read of the journal; take the objects of merges among those that something needs."""
    try:
        found = forms(home)
    except (CorruptRecord, UnsupportedFormat) as error:
        lines.append({"segment": "of a merge", "offset": None, "reason": _in_one_line(str(error))})
        found = {path.name: Form(path.name, path.stat().st_size) for path in list_segments(home.journal)}
    for form in found.values():
        if form.merge is not None:
            merges.add(form.merge.manifest)
            named.setdefault(form.merge.manifest, [f"{len(form.merge.parts)} merged segments of the journal"])
        try:
            for item, _ in read_form(home, form):
                if not isinstance(item, MetricLine):
                    yield item
        except (CorruptObject, MissingObject, CorruptRecord) as error:
            lines.append({"segment": form.name, "offset": None, "reason": _in_one_line(str(error))})


def _check_claims(
    home: Home,
    claimed: dict[tuple[str, int], set[str]],
    named: dict[Digest, list[str]],
    kept: set[Digest],
    unrecorded: list[names.Version],
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
            if recorded is None and path.stat().st_mtime < time.time() - _ON_ITS_WAY_SECONDS:
                unrecorded.append(version)
            kept.add(version.digest)
            dependents = named.setdefault(version.digest, [])
            if str(version) not in dependents:
                dependents.append(str(version))
    found += [
        {"claim": f"{collection}/{number}", "reason": "the journal records this version, but its file is gone"}
        for collection, number in sorted(claimed.keys() - seen)
    ]
    return found


def _check_settings(home: Home) -> list[dict[str, Any]]:
    """Read the small files that steer the store, by what reads them anyway."""
    found = []
    for name, read in (("remotes.json", list_remotes), ("retention.json", read_policy), ("repack.json", read_plan)):
        try:
            read(home)
        except (CorruptRecord, UnsupportedFormat) as error:
            found.append({"file": name, "reason": _in_one_line(str(error))})
    return found


def _record(home: Home, unrecorded: list[names.Version]) -> list[dict[str, Any]]:
    """Write the records that are missing, which are made from the claims alone."""
    if not unrecorded:
        return []
    reason = "no record named this version; it has one now"
    try:
        journal_at(home.journal).append(*map(repository.record_of, unrecorded))
    except MachineError as error:
        # A store that cannot be written is checked all the same.
        reason = f"no record names this version, and none can be written: {_in_one_line(error.message)}"
    return [{"file": f"names/{version.collection}/{version.number}", "reason": reason} for version in unrecorded]


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
