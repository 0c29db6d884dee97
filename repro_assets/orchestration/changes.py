"""What is different from the last time that an asset was made: its environment.

Law: it compares with the newest materialization of the same asset and partition in this instance, whoever made it; a
record that cannot be read is said to be so, and stops nothing.
"""

from __future__ import annotations

import shlex

import dagster as dg

from repro_assets.capture.comparison import diff_environments
from repro_assets.errors import ReproError
from repro_assets.recording.environments import load_environment
from repro_assets.store.home import Home

ENVIRONMENT = "environment"
NAME = "environment change"
SHOWN = 12


def environment_change(
    home: Home,
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    partition: str | None,
    run_id: str,
    environment: str | None,
) -> dict[str, str]:
    """Return the metadata that says what changed; empty where the asset was never made before.

    Parameters
    ----------
    home : Home
        The store.
    instance : DagsterInstance
        Where the earlier materialization is looked for.
    key, partition : AssetKey and str, optional
        What is being made.
    run_id, environment : str
        The run that makes it, and the digest of its environment.
    """
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    records = instance.fetch_materializations(wanted, limit=1).records
    before = records[0].asset_materialization.metadata if records and records[0].asset_materialization else {}
    if environment is None or ENVIRONMENT not in before:
        return {}
    earlier = str(before[ENVIRONMENT].value)
    if earlier == environment:
        return {NAME: "none"}
    try:
        lines = diff_environments(load_environment(home, earlier), load_environment(home, environment)).lines()
    except ReproError as error:
        return {NAME: f"cannot be told: {error.message}"}
    shown = "; ".join(lines[:SHOWN]) or "none in what both records speak of"
    if len(lines) > SHOWN:
        other = str(before["run"].value) if "run" in before else earlier
        shown += f"; and {len(lines) - SHOWN} more: {shlex.join(['repro', 'env', 'diff', other, run_id])}"
    return {NAME: shown}
