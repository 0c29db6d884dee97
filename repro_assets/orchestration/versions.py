"""Data versions and input events: the one place that reaches into Dagster's step context.

Laws: the data version of a materialization is the digest of its artifact; the version and event that Dagster writes
for an input are those of what was loaded. Dagster 1.13 offers no public way to set either from an IO manager
(dagster issue 15584), so this module uses ``step_context._data_version_cache``; a test reads the tags of the events
that come out.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.event_api import EventLogRecord
from dagster._core.execution.context.data_version_cache import InputAssetVersionInfo
from dagster._core.execution.context.system import StepExecutionContext

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import ReproError, UnknownName
from repro_assets.identity.digest import Digest

TRIAL = "trial"
PAGE = 50


@dataclass(frozen=True, slots=True)
class UpstreamEvent:
    """The materialization that an input was read from."""

    digest: Digest
    storage_id: int
    run_id: str
    timestamp: float
    made_by: str | None
    name: str | None
    version: str | None = None


def set_output_version(context: dg.OutputContext, digest: Digest) -> None:
    """Make the digest the data version of the asset that is being stored."""
    context.step_context.set_data_version(context.asset_key, dg.DataVersion(str(digest)))


def set_input_version(context: dg.InputContext, events: dict[str | None, UpstreamEvent]) -> None:
    """Make Dagster's tags say what was loaded.

    Parameters
    ----------
    context : InputContext
        The input.
    events : dict
        By partition; the key is None for an unpartitioned input. Several partitions give one version: SHA-256 over
        the sorted pairs of partition and digest, each followed by a newline.
    """
    newest = max(events.values(), key=lambda event: event.storage_id)
    if len(events) == 1:
        version = str(newest.digest)
    else:
        pairs = sorted((partition or "", str(event.digest)) for partition, event in events.items())
        version = hashlib.sha256("".join(f"{p}={d}\n" for p, d in pairs).encode()).hexdigest()
    context.step_context._data_version_cache.input_asset_version_info[context.asset_key] = InputAssetVersionInfo(
        newest.storage_id,
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DataVersion(version),
        newest.run_id,
        newest.timestamp,
    )


def upstream_event(context: dg.InputContext, partition: str | None) -> UpstreamEvent:
    """Find the materialization that this input means.

    One that this run made (or that the run it re-executes made) is the input; otherwise the newest one that no trial
    made, as of now: the step is starting.

    Raises
    ------
    UnknownName
        If the asset, or the partition, was never materialized.
    """
    made_in = _making_run(context)
    for record in _materializations(context.instance, context.asset_key, partition):
        if made_in is not None:
            if record.run_id == made_in:
                return read_event(record)
        elif not _is_trial(record):
            return read_event(record)
    name = context.asset_key.to_user_string()
    which = f"partition {partition} of {name}" if partition else name
    if made_in is not None:
        raise UnknownName(f"run {made_in} did not materialize {which}", "materialize it again")
    pin = f"--input {context.asset_key.path[-1]}=NAME"
    raise UnknownName(
        f"{which} has never been materialized", f"run: repro run --select {name}; or pin an artifact: {pin}"
    )


def is_materialized(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> bool:
    """Tell whether an asset, or a partition of it, has a materialization that others load by default."""
    return any(not _is_trial(record) for record in _materializations(instance, key, partition))


def pinned_event(context: dg.InputContext, partition: str | None, artifact: Artifact) -> UpstreamEvent:
    """Return the newest materialization that equals a pinned artifact, or an event without a place where none does."""
    for record in _materializations(context.instance, context.asset_key, partition):
        event = read_event(record)
        if event.digest == artifact.digest:
            return dataclasses.replace(event, made_by=artifact.run_id or event.made_by)
    return UpstreamEvent(artifact.digest, 0, "", 0.0, artifact.run_id, artifact.name or str(artifact))


def output_asset(step: StepExecutionContext) -> str:
    """Return the first asset that a step makes: the name of the step's run in a replay plan."""
    return min(key.to_user_string() for key in step.get_output_asset_keys())


def read_event(record: EventLogRecord) -> UpstreamEvent:
    """Read digest and origin from a materialization.

    Raises
    ------
    ReproError
        If its data version is not a digest, because another IO manager stored it.
    """
    materialization = record.asset_materialization
    assert materialization is not None
    version = (materialization.tags or {}).get(DATA_VERSION_TAG, "")
    if not version.startswith("sha256:"):
        name = materialization.asset_key.to_user_string()
        raise ReproError(
            f"the data version of {name} is {version!r}, not a digest", "materialize it with this IO manager"
        )
    named = ("run", "name", "version")
    facts = {name: str(materialization.metadata[name].value) for name in named if name in materialization.metadata}
    return UpstreamEvent(
        Digest.parse(version),
        record.storage_id,
        record.run_id,
        record.timestamp,
        facts.get("run"),
        facts.get("name"),
        None if facts.get("version") == "none" else facts.get("version"),
    )


def _making_run(context: dg.InputContext) -> str | None:
    upstream = context.upstream_output
    if upstream is None:
        return None
    try:
        step_key, run_id = upstream.step_key, upstream.run_id
    except dg.DagsterInvariantViolationError:
        return None
    return None if step_key == "none" else run_id


def _materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None
) -> Iterator[EventLogRecord]:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    cursor = None
    while True:
        result = instance.fetch_materializations(wanted, limit=PAGE, cursor=cursor)
        yield from result.records
        if not result.has_more:
            return
        cursor = result.cursor


def _is_trial(record: EventLogRecord) -> bool:
    materialization = record.asset_materialization
    assert materialization is not None
    flag = materialization.metadata.get(TRIAL)
    return flag is not None and bool(flag.value)
