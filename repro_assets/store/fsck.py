"""Does the store hold what it should, and is every byte right?

Laws: the check takes the artifacts and who depends on them as arguments, because the store does not know the journal;
it never repairs silently; quick looks at every trailer and every reference, full also hashes every byte again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from repro_assets.errors import IntegrityError, RequestError
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store.objects import LocalObjects


@dataclass(slots=True)
class Findings:
    """What a check found. `corrupt` and `missing` name each digest with what it affects."""

    checked: int = 0
    corrupt: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0

    @property
    def ok(self) -> bool:
        """Nothing is corrupt and nothing is missing."""
        return not self.corrupt and not self.missing


def check(
    objects: LocalObjects,
    artifacts: Mapping[Digest, list[str]],
    *,
    full: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Findings:
    """Check the objects and every artifact.

    Parameters
    ----------
    objects : LocalObjects
        The store.
    artifacts : mapping
        The manifest digest of every artifact that must be whole, with the names of what depends on it.
    full : bool
        Hash every byte with SHA-256 (else: trailers and references).
    progress : callable, optional
        Told the number of objects checked so far.
    """
    findings = Findings()
    bad: dict[Digest, str] = {}
    for digest in objects.digests():
        try:
            if full:
                objects.verify(digest)
            else:
                objects.placement(digest)
        except (IntegrityError, RequestError) as error:
            # What cannot be checked here is named as well, and does not keep the rest from being checked.
            bad[digest] = str(error)
        findings.checked += 1
        if progress is not None:
            progress(findings.checked)
    affected: dict[Digest, list[str]] = {}
    gone: dict[Digest, list[str]] = {}
    for artifact, names in artifacts.items():
        for digest in _needs(objects, artifact, bad):
            if digest in bad:
                affected.setdefault(digest, []).extend(names)
            elif not objects.has(digest):
                gone.setdefault(digest, []).extend(names)
    findings.corrupt = [
        {"digest": str(digest), "affects": sorted(set(affected.get(digest, []))), "reason": bad[digest]}
        for digest in bad
    ]
    findings.missing = [{"digest": str(digest), "affects": sorted(set(names))} for digest, names in gone.items()]
    if objects.home.temporary.is_dir():
        findings.unfinished = sum(1 for _ in objects.home.temporary.iterdir())
    return findings


def _needs(objects: LocalObjects, artifact: Digest, bad: dict[Digest, str]) -> Iterable[Digest]:
    if artifact not in bad and objects.has(artifact):
        try:
            yield from Manifest.decode(objects.read(artifact)).objects()
        except (IntegrityError, RequestError) as error:
            # Its trailer is right, so only this read found it; bytes that do not match are in quarantine now.
            bad[artifact] = str(error)
    yield artifact
