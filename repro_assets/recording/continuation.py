"""What is the same, and what is not, when a run goes on from another one's checkpoint.

Laws: what decides bits is what the reuse key is made of; where none of it differs, the work is the uninterrupted one
and has its key; otherwise the checkpoint is part of the key. Whatever differs is said, also where it decides no bits of
this recipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.capture.comparison import diff_environments
from repro_assets.catalog.queries import rows
from repro_assets.determinism.setting_differences import setting_differences
from repro_assets.errors import ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunResumed
from repro_assets.journal.segments import journal_at
from repro_assets.recording.redaction import redact
from repro_assets.recording.resumption import SLOT, Checkpoint
from repro_assets.recording.reuse import reuse_key
from repro_assets.recording.run import Run
from repro_assets.store.home import Home

NAMED = 10
"""Differences of an environment that are named one by one; a command shows all."""


def key_of(home: Home, work: Mapping[str, Any], checkpoint: Checkpoint) -> Digest:
    """Return the reuse key of work that goes on from a checkpoint.

    Parameters
    ----------
    home : Home
        The store.
    work : mapping
        What `reuse_key` takes of this work as if it began from the beginning.
    checkpoint : Checkpoint
        Where it begins.
    """
    key = reuse_key(**work)
    before = _run(home, checkpoint.run_id).get("reuse_key")
    if before == str(key):
        return key
    # The run that saved it may have gone on itself from a checkpoint that is part of its key.
    for digest in (*_resumed_digests(home, checkpoint.run_id), str(checkpoint.artifact.digest)):
        key = reuse_key(**work, resume=digest)
        if before == str(key):
            return key
    return key


def differences(
    home: Home, work: Mapping[str, Any], checkpoint: Checkpoint, environment: Mapping[str, Any]
) -> list[str]:
    """Say what differs between the run that saved a checkpoint and the one that goes on from it.

    Parameters
    ----------
    home : Home
        The store.
    work : mapping
        As for `key_of`: ``recipe``, ``code`` (``version``), ``config``, ``seed``, ``mode``, ``settings``, ``partition``
        and ``inputs``.
    checkpoint : Checkpoint
        Where it begins.
    environment : mapping
        The captured document of now.
    """
    then = _run(home, checkpoint.run_id)
    if not then:
        return [f"nothing is known of run {checkpoint.run_id}, which saved the checkpoint"]
    found = [f"the {what} {difference}" for what, difference in _differences(then, work)]
    found += _environment_differences(home, checkpoint.run_id, then["environment"], environment)
    if not found and str(key_of(home, work, checkpoint)) != then["reuse_key"]:
        found.append("the reuse key is another, though nothing that is recorded differs")
    return found


def record(run: Run, checkpoint: Checkpoint, *, chosen: bool) -> None:
    """Record that a run goes on from a checkpoint, which is an input of it; `chosen` if a person named it."""
    run.use(SLOT, checkpoint.artifact, pinned=chosen)
    digest = str(checkpoint.artifact.digest)
    journal_at(run.home.journal).append(
        RunResumed(run.run_id, checkpoint.run_id, checkpoint.name, digest, checkpoint.step)
    )


def _differences(then: Mapping[str, Any], work: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config, _ = redact(dict(work["config"]), "config")
    pairs: list[tuple[str, Any, Any]] = [
        ("recipe", then["recipe"], work["recipe"]),
        ("code version", then["code_version"], work["code"]["version"]),
        ("seed", then["seed"], work["seed"]),
        ("partition", then["partition"], work["partition"]),
    ]
    for what, before, now in pairs:
        if before != now:
            yield what, f"was {before} and is {now}"
    arguments = {name: digest for name, digest in (then["plan"].get("arguments") or {}).items() if name != SLOT}
    for what, old, new in (
        ("config", then["config"], config),
        ("mode", then["mode"], work["mode"]),
        ("setting", then["settings"], work["settings"]),
        ("input", arguments, work["inputs"]),
    ):
        for each in setting_differences(_as_recorded(old), _as_recorded(new)):
            yield f"{what} {each['setting']}", f"was {each['original']} and is {each['replayed']}"


def _environment_differences(home: Home, run_id: str, digest: str | None, now: Mapping[str, Any]) -> list[str]:
    if digest is None:
        return [f"the environment of run {run_id} is not on record"]
    try:
        then = repository.by_digest(home, Digest.parse(digest)).load()
    except ReproError as error:
        return [f"the environment of run {run_id} cannot be compared: {error.message}"]
    lines = diff_environments(then, now).lines()
    if not lines:
        return []
    more = f" and {len(lines) - NAMED} more (repro env diff {run_id} current)" if len(lines) > NAMED else ""
    return [f"the environment is another: {'; '.join(lines[:NAMED])}{more}"]


def _resumed_digests(home: Home, run_id: str) -> list[str]:
    found = rows(
        home,
        "WITH RECURSIVE line AS (SELECT run_id, resumed_run_id, digest FROM resumes WHERE run_id = $run "
        "UNION SELECT r.run_id, r.resumed_run_id, r.digest FROM line l JOIN resumes r ON r.run_id = l.resumed_run_id) "
        "SELECT DISTINCT digest FROM line ORDER BY digest",
        {"run": run_id},
    )
    return [str(row["digest"]) for row in found]


def _run(home: Home, run_id: str) -> dict[str, Any]:
    found = rows(
        home,
        "SELECT recipe, code_version, seed, partition, config, mode, settings, plan, environment, reuse_key "
        "FROM runs WHERE run_id = ?",
        [run_id],
    )
    return {name: _opened(name, value) for name, value in found[0].items()} if found else {}


def _opened(name: str, value: Any) -> Any:
    if name not in ("config", "mode", "settings", "plan"):
        return value
    return (json.loads(value) if isinstance(value, str) else value) or {}


def _as_recorded(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value as it comes back from a record: tuples as lists, integral floats as they are."""
    return dict(json.loads(json.dumps(value)))
