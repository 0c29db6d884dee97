"""Runs that differ in the seed alone, as replications of one thing.

Laws: a group has one asset (or recipe, or name), partition, config and code version; what seeds have in common is never
guessed from names; a replay is no further sample; a group's label says what parts it from the others of its asset.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from repro_assets.catalog.queries import Rows
from repro_assets.report.reading import flat

# Subject, partition, config and code version.
_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that are replications of each other.

    Parameters
    ----------
    label : str
        Asset and what differs from the asset's other groups.
    subject : str
        Asset, else recipe, else name.
    differing : dict
        Settings in which the subject's groups differ, as text.
    runs : list of dict
        Records, as `reading.read` returns them.
    """

    label: str
    subject: str
    differing: dict[str, str]
    runs: Rows


def subject_of(run: dict[str, Any]) -> str:
    """Return what a run is a replication of, but for its settings."""
    return str(run["asset"] or run["recipe"] or run["name"] or run["run_id"])


def group_runs(runs: Rows) -> list[Group]:
    """Return the groups of these runs, in the order of the runs; parent runs and replays are in none."""
    members: defaultdict[_Key, Rows] = defaultdict(list)
    for run in runs:
        if run["run_kind"] != "parent" and run["replay_of"] is None:
            config = json.dumps(run["config"], sort_keys=True)
            members[subject_of(run), run["partition"] or "", config, run["code_version"] or ""].append(run)
    settings = {key: _settings(of_group[0]) for key, of_group in members.items()}
    differing = _differing(settings)
    groups = []
    for key, of_group in members.items():
        named = {name: settings[key].get(name, "") for name in differing[key[0]]}
        label = ", ".join([key[0], *(f"{name}={value}" for name, value in named.items())])
        groups.append(Group(label, key[0], named, of_group))
    return groups


def _differing(settings: dict[_Key, dict[str, str]]) -> dict[str, list[str]]:
    """Return, for each subject, the settings that not all of its groups have with one value."""
    values: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    groups = Counter(key[0] for key in settings)
    for key, of_key in settings.items():
        for name, value in of_key.items():
            values[key[0]][name][value] += 1
    return {
        subject: sorted(name for name, counted in values[subject].items() if max(counted.values()) < groups[subject])
        for subject in groups
    }


def _settings(run: dict[str, Any]) -> dict[str, str]:
    found = {name: value if isinstance(value, str) else json.dumps(value) for name, value in flat(run["config"] or {})}
    if run["partition"]:
        found["partition"] = run["partition"]
    if run["code_version"]:
        found["code"] = run["code_version"].removeprefix("sha256:")[:8]
    return found
