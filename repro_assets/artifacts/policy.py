"""Retention rules: what of a collection, and which checkpoints of a run, are to be kept.

Laws: rules lie in the store, in ``retention.json``, which is sealed, and do nothing until they are applied; applying
tells by default and deletes only when asked; what an alias names is never deleted by a rule, nor a checkpoint of a run
that has not ended; without a rule everything is kept. A rule is for collections by a pattern, as in ``model-*``; of
several that fit, the longest pattern counts.
"""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.artifacts.deletion import Deletion
from repro_assets.artifacts.retention import Ledger, VersionKey
from repro_assets.errors import CorruptRecord, InvalidValue, UnsupportedFormat
from repro_assets.journal.run_records import CheckpointSaved
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home

FORMAT = 1
_UNSEALED = frozenset({"format", "collections", "checkpoints"})
MODES = ("min", "max")


@dataclass(frozen=True, slots=True)
class CheckpointRule:
    """Of the checkpoints of each run the last `keep_last` are kept, and the best by `metric`, with all that tie."""

    keep_last: int | None = None
    metric: str | None = None
    mode: str = "min"

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 0:
            raise InvalidValue(f"the last {self.keep_last} checkpoints", "0 or more")
        if self.mode not in MODES:
            raise InvalidValue(f"{self.mode!r} is not a mode", "max or min")


@dataclass(frozen=True, slots=True)
class RunRule:
    """Which runs are let go: those that fit all that is said; none, where nothing is.

    Parameters
    ----------
    older_than : float or None
        Those that ended at least so many seconds ago.
    keep_last : int or None
        All but the newest so many of each asset and partition, those of trials and replays counted apart.
    tags : list of str
        Those with one of these tags.
    except_tags : list of str
        None with one of these.
    """

    older_than: float | None = None
    keep_last: int | None = None
    tags: list[str] = field(default_factory=list)
    except_tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 0:
            raise InvalidValue(f"the last {self.keep_last} runs", "0 or more")

    @property
    def chooses(self) -> bool:
        """Whether it says which runs go; tags that are spared alone do not."""
        return self.older_than is not None or self.keep_last is not None or bool(self.tags)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a store.

    Parameters
    ----------
    collections : dict
        How many versions are kept, by a pattern of collections.
    checkpoints : CheckpointRule
        Which checkpoints are kept; all, where it says nothing.
    runs : RunRule
        Which runs are let go.
    """

    collections: dict[str, int] = field(default_factory=dict)
    checkpoints: CheckpointRule = field(default_factory=CheckpointRule)
    runs: RunRule = field(default_factory=RunRule)

    def __post_init__(self) -> None:
        for pattern, number in self.collections.items():
            if number < 1:
                raise InvalidValue(f"the last {number} versions of {pattern!r}", "1 or more")

    def document(self) -> dict[str, Any]:
        """Return the rules as JSON."""
        return {"format": FORMAT, **asdict(self)}


def read_policy(home: Home) -> Policy:
    """Return the rules of a store; without any, all is kept.

    Raises
    ------
    CorruptRecord
        If their file is damaged.
    UnsupportedFormat
        If a newer version wrote it.
    """
    try:
        raw = sealed.unseal(_path(home).read_bytes(), _UNSEALED)
        if raw["format"] > FORMAT:
            raise UnsupportedFormat(f"{_path(home)} has format {raw['format']}", "use a newer repro-assets")
        numbers = {str(pattern): int(number) for pattern, number in raw["collections"].items()}
        # Rules that were written before there were any for runs have none.
        return Policy(numbers, CheckpointRule(**raw["checkpoints"]), RunRule(**raw.get("runs", {})))
    except FileNotFoundError:
        return Policy()
    except (ValueError, KeyError, TypeError, AttributeError, InvalidValue) as error:
        raise CorruptRecord(
            f"{_path(home)} is damaged: {error}", "remove it and set the rules again: repro store policy set"
        ) from error


def write_policy(home: Home, policy: Policy) -> None:
    """Keep rules in the store.

    Raises
    ------
    MachineError
        If they cannot be written; those before are kept then.
    """
    durable.write_file(_path(home), [sealed.seal(policy.document())], home.temporary)


def changed(
    policy: Policy,
    pattern: str,
    keep_last: int | None,
    checkpoints_last: int | None,
    checkpoints_best: str | None,
    mode: str,
    runs: RunRule | None = None,
) -> Policy:
    """Return rules with what is given set anew, and what is None as it was; the metric ``none`` is no metric.

    Raises
    ------
    InvalidValue
        If a number or the mode is out of range.
    """
    collections = {**policy.collections, **({} if keep_last is None else {pattern: keep_last})}
    if keep_last == 0:
        del collections[pattern]
    before = policy.checkpoints
    last = before.keep_last if checkpoints_last is None else None if checkpoints_last == -1 else checkpoints_last
    metric, mode = (
        (before.metric, before.mode)
        if checkpoints_best is None
        else (None if checkpoints_best == "none" else checkpoints_best, mode)
    )
    return Policy(collections, CheckpointRule(last, metric, mode), runs or policy.runs)


def plan(policy: Policy, ledger: Ledger) -> Deletion:
    """Return the versions and checkpoints that the rules let go; which runs, the catalog knows (`catalog.deletion`)."""
    return Deletion(versions=_versions(policy, ledger), checkpoints=_checkpoints(policy.checkpoints, ledger))


def _versions(policy: Policy, ledger: Ledger) -> frozenset[VersionKey]:
    aliased = ledger.aliases()
    by_collection: dict[str, list[int]] = {}
    for collection, number in ledger.versions.keys() - ledger.deleted_versions:
        by_collection.setdefault(collection, []).append(number)
    found: set[VersionKey] = set()
    for collection, numbers in by_collection.items():
        fitting = [pattern for pattern in policy.collections if fnmatch.fnmatchcase(collection, pattern)]
        if fitting:
            keep = policy.collections[max(fitting, key=lambda pattern: (len(pattern), pattern))]
            old = ((collection, number) for number in sorted(numbers)[:-keep])
            found.update(key for key in old if key not in aliased)
    return frozenset(found)


def _checkpoints(rule: CheckpointRule, ledger: Ledger) -> frozenset[tuple[str, str]]:
    if rule.keep_last is None and rule.metric is None:
        return frozenset()
    by_run: dict[str, list[CheckpointSaved]] = {}
    for saved in ledger.checkpoints:
        alive = saved.run_id in ledger.ended and saved.run_id not in ledger.deleted_runs
        if alive and (saved.run_id, saved.name) not in ledger.deleted_checkpoints:
            by_run.setdefault(saved.run_id, []).append(saved)
    found: set[tuple[str, str]] = set()
    for run, items in by_run.items():
        items.sort(key=lambda item: (item.step, item.name))
        kept = {item.name for item in items[len(items) - (rule.keep_last or 0) :]}
        values = {
            item.name: item.metrics[rule.metric]
            for item in items
            if rule.metric is not None and item.metrics.get(rule.metric) == item.metrics.get(rule.metric, float("nan"))
        }
        if rule.metric is not None and not values:
            # Nothing says which one is best, so none is let go.
            continue
        if values:
            best = min(values.values()) if rule.mode == "min" else max(values.values())
            kept.update(name for name, value in values.items() if value == best)
        found.update((run, item.name) for item in items if item.name not in kept)
    return frozenset(found)


def _path(home: Home) -> Path:
    return home.root / "retention.json"
