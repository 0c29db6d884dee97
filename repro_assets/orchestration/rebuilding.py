"""Making evicted bytes again, by replaying the runs that made them.

Laws: inputs that were evicted themselves are rebuilt first; the bytes count as rebuilt only when every object of the
artifact is there again, whatever the replay's verdict says.
"""

from __future__ import annotations

from typing import IO

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.retention import read_ledger
from repro_assets.errors import CheckFailed, MissingObject
from repro_assets.identity.digest import Digest
from repro_assets.orchestration.replaying import replay_and_show


def rebuild(artifact: Artifact, *, timeout: float | None = None, log: IO[bytes] | None = None) -> list[str]:
    """Put the bytes of an evicted artifact into the store again; return the runs that were replayed, in order.

    Nothing happens where they are there.

    Raises
    ------
    MissingObject
        If bytes are gone that were never evicted.
    CheckFailed
        If a replay did not make the same bytes again.
    ReproError
        If a run cannot be replayed.
    """
    home, ledger = artifact.home, read_ledger(artifact.home)
    inputs: dict[str, list[Digest]] = {}
    for read in ledger.inputs:
        inputs.setdefault(read.run_id, []).append(Digest.parse(read.digest))
    replayed: list[str] = []
    pending: list[tuple[Artifact, bool]] = [(artifact, False)]
    while pending:
        wanted, ready = pending.pop()
        if wanted.is_whole():
            continue
        eviction = ledger.eviction(wanted.digest)
        if eviction is None:
            raise MissingObject(f"bytes of {wanted} are gone and were not evicted", "see: repro store fsck")
        if not ready:
            pending.append((wanted, True))
            fresh = dict.fromkeys(inputs.get(eviction.run_id, ()))
            pending += [(repository.by_digest(home, digest), False) for digest in fresh]
            continue
        report = replay_and_show(home, eviction.run_id, timeout=timeout, log=log)
        replayed.append(eviction.run_id)
        if not wanted.is_whole():
            raise CheckFailed(
                f"the replay of run {eviction.run_id} was {report.verdict} and did not make {wanted} again",
                f"see: repro runs show {eviction.run_id}",
            )
    return replayed
