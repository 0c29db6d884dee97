"""Finding identical work that is done already.

Laws: two executions are the same work if their key is equal: code version, config, seed, mode, input digests, versions
of the distributions that the code imports, device and instruction set. The index under ``cache/reuse`` only says where
to look; an entry counts only if its run was not deleted and every byte of every artifact that it names is there and
right, and losing the index costs a recomputation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.errors import ReproError
from repro_assets.identity.canonical import digest_of
from repro_assets.identity.digest import Digest
from repro_assets.recording.redaction import redact
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home

_UNSEALED = frozenset({"run_id", "outputs", "facts"})


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run that did the same work, and what it made."""

    run_id: str
    outputs: dict[str, Artifact]
    facts: dict[str, Any]


def reuse_key(**facts: Any) -> Digest:
    """Digest of everything that decides the bits of the outputs."""
    return digest_of(facts)


def find(home: Home, key: Digest) -> Earlier | None:
    """Return the earlier run with this key that was not deleted and whose outputs are whole, if there is one."""
    try:
        raw = sealed.unseal(_path(home, key).read_bytes(), _UNSEALED)
        if queries.rows(home, "SELECT run_id FROM deleted_runs WHERE run_id = ?", [raw["run_id"]]):
            return None
        outputs = {
            slot: repository.by_digest(home, Digest.parse(item["digest"]), name=item["name"], run_id=raw["run_id"])
            for slot, item in raw["outputs"].items()
        }
        if not all(output.is_whole(read=True) for output in outputs.values()):
            return None
        return Earlier(raw["run_id"], outputs, raw["facts"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, ReproError):
        # A lost or damaged entry is no entry, nor one of which nobody can tell: the work is done again.
        return None


def remember(home: Home, key: Digest, run_id: str, outputs: Mapping[str, Artifact], facts: Mapping[str, Any]) -> None:
    """Note that `run_id` did the work of this key; `facts` (JSON) are shown where it is reused."""
    entry = {
        "run_id": run_id,
        "outputs": {
            slot: {"digest": str(artifact.digest), "name": artifact.name} for slot, artifact in outputs.items()
        },
        "facts": redact(dict(facts), "facts")[0],
    }
    durable.write_file(_path(home, key), [sealed.seal(entry)], home.temporary)


def _path(home: Home, key: Digest) -> Path:
    return home.cache / "reuse" / key.hex[:2] / f"{key.hex[2:]}.json"
