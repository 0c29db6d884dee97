"""Asset checks: the bytes are right, the environment is on record, the lineage is sound.

One step checks all assets of a run, because each Dagster step costs more than the checks do. A replay takes as long as
the run did, so a run that materializes an asset leaves the check ``reproduces`` to whoever asks for it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.errors import ReproError, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import CheckMade
from repro_assets.journal.segments import journal_at
from repro_assets.orchestration.replaying import REPRODUCES, passes, record_checks, said_of
from repro_assets.orchestration.resource import Repro
from repro_assets.orchestration.versions import UpstreamEvent, read_event
from repro_assets.replay.launch import replay
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Made:
    """An artifact and what the catalog says of the run that made it."""

    digest: Digest
    made_by: str | None
    run: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


Answer = tuple[bool, dict[str, Any]]
_REPRODUCES = "Execute the run that made the product again and compare the bits; only where it is asked for by itself."


def products_verify(home: Home, made: Made) -> Answer:
    """Hash every byte of the product again."""
    return True, {"objects": Artifact(home, made.digest, "").verify(), "digest": str(made.digest)}


def environment_captured(home: Home, made: Made) -> Answer:
    """Find environment, source and seed of the run that made the product."""
    if not made.run or made.run["environment"] is None:
        config = json.loads(made.run.get("config") or "{}")
        why = ": capture_environment is off" if config.get("capture_environment") is False else ""
        return False, {"reason": f"run {made.made_by} recorded no environment{why}"}
    document = repository.by_digest(home, Digest.parse(made.run["environment"])).load()
    whole = bool(document.get("packages")) and (made.run["capture_level"] == "basic" or made.run["source"] is not None)
    return whole, {"environment": made.run["environment"], "packages": len(document.get("packages", ()))}


def lineage_sound(home: Home, made: Made) -> Answer:
    """Find every input of the run that made the product, recorded and still there."""
    missing = [row["slot"] for row in made.inputs if not Artifact(home, Digest.parse(row["digest"]), "").is_whole()]
    recorded = any(row["digest"] == str(made.digest) for row in made.outputs)
    return recorded and not missing, {"inputs": len(made.inputs), "missing": missing, "recorded": recorded}


CHECKS: dict[str, Callable[[Home, Made], Answer]] = {
    "products_verify": products_verify,
    "environment_captured": environment_captured,
    "lineage_sound": lineage_sound,
}


def checks_for(keys: Sequence[dg.AssetKey]) -> dg.AssetChecksDefinition:
    """Make the checks of these assets, one step for all of them."""
    specs = [
        dg.AssetCheckSpec(name, asset=key, description=(check.__doc__ or "").strip())
        for key in keys
        for name, check in CHECKS.items()
    ]
    specs += [dg.AssetCheckSpec(REPRODUCES, asset=key, description=_REPRODUCES) for key in keys]

    @dg.multi_asset_check(name="provenance_checks", specs=specs, can_subset=True)
    def provenance_checks(context: dg.AssetCheckExecutionContext, repro: Repro) -> Iterator[dg.AssetCheckResult]:
        chosen = sorted(context.selected_asset_check_keys, key=str)
        keys = [key for key in chosen if key.name != REPRODUCES]
        found = _made(context.instance, repro.home, {key.asset_key for key in keys})
        results = [_checked(repro.home, key, found[key.asset_key], context.run.run_id) for key in keys]
        # One record batch: each append is an fsync.
        journal_at(repro.home.journal).append(*(record for record, _ in results))
        yield from (result for _, result in results)
        yield from _replayed(context, repro.home, [key.asset_key for key in chosen if key.name == REPRODUCES])

    return provenance_checks


def _replayed(
    context: dg.AssetCheckExecutionContext, home: Home, keys: list[dg.AssetKey]
) -> Iterator[dg.AssetCheckResult]:
    """Execute the runs that made assets again, but for those that this very run has materialized."""
    for key in keys:
        name, newest = key.to_user_string(), _newest(context.instance, key)
        if newest is not None and newest.run_id == context.run.run_id:
            continue
        try:
            made_by = _event(key, newest).made_by
            if made_by is None:
                raise UnknownName(f"nobody recorded what made {name}")
            report = replay(home, made_by)
        except ReproError as error:
            metadata: dict[str, Any] = {"reason": str(error)}
            journal_at(home.journal).append(
                CheckMade(REPRODUCES, False, None, name, details=metadata, parent_run_id=context.run.run_id)
            )
            yield dg.AssetCheckResult(passed=False, asset_key=key, check_name=REPRODUCES, metadata=metadata)
            continue
        for asset, _, record in record_checks(home, report, context.run.run_id):
            if asset == name:
                passed, metadata = passes(record), said_of(record)
                yield dg.AssetCheckResult(passed=passed, asset_key=key, check_name=REPRODUCES, metadata=metadata)


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.EventLogRecord | None:
    records = instance.fetch_materializations(key, limit=1).records
    return records[0] if records else None


def _event(key: dg.AssetKey, record: dg.EventLogRecord | None) -> UpstreamEvent:
    if record is None:
        raise UnknownName(f"{key.to_user_string()} has never been materialized")
    return read_event(record)


def _made(instance: dg.DagsterInstance, home: Home, keys: set[dg.AssetKey]) -> dict[dg.AssetKey, Made | ReproError]:
    found: dict[dg.AssetKey, Made | ReproError] = {}
    with queries.connect(home) as connection:
        for key in keys:
            try:
                event = _event(key, _newest(instance, key))
            except ReproError as error:
                found[key] = error
                continue
            found[key] = read_made(connection, event.digest, event.made_by)
    return found


def read_made(connection: "duckdb.DuckDBPyConnection", digest: Digest, run_id: str | None) -> Made:
    """Return what the catalog says of the run that made an artifact."""
    run, inputs, outputs = (
        queries.read_rows(connection, sql, {"run": run_id or ""})
        for sql in (
            "SELECT environment, source, capture_level, config FROM runs WHERE run_id = $run",
            "SELECT slot, digest FROM run_inputs WHERE run_id = $run",
            "SELECT slot, digest FROM run_outputs WHERE run_id = $run",
        )
    )
    return Made(digest, run_id, run[0] if run else {}, inputs, outputs)


def _checked(
    home: Home, key: dg.AssetCheckKey, made: Made | ReproError, dagster_run: str
) -> tuple[CheckMade, dg.AssetCheckResult]:
    try:
        if isinstance(made, ReproError):
            raise made
        passed, details = CHECKS[key.name](home, made)
    except ReproError as error:
        passed, details = False, {"reason": str(error)}
    run_id = made.made_by if isinstance(made, Made) else None
    record = CheckMade(
        key.name, passed, run_id, key.asset_key.to_user_string(), details=details, parent_run_id=dagster_run
    )
    result = dg.AssetCheckResult(
        passed=passed,
        asset_key=key.asset_key,
        check_name=key.name,
        metadata={name: str(value) for name, value in details.items()},
    )
    return record, result
