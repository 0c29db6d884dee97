"""Asset checks: the bytes are right, the environment is on record, the lineage is sound.

One step checks all assets of a run, because each Dagster step costs more than the checks do.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.catalog import queries
from repro_assets.errors import ReproError
from repro_assets.journal.records import CheckMade
from repro_assets.journal.segments import journal_at
from repro_assets.orchestration import pins
from repro_assets.orchestration.resource import Repro
from repro_assets.orchestration.versions import UpstreamEvent, read_event
from repro_assets.store.home import Home
from repro_assets.store.objects import open_objects

Answer = tuple[bool, dict[str, Any]]


def products_verify(home: Home, event: UpstreamEvent) -> Answer:
    """Hash every byte of the product again."""
    objects = open_objects(home, DECODERS)
    artifact = Artifact(home, event.digest, "")
    wanted = {event.digest, *artifact.manifest.objects()}
    for digest in wanted:
        objects.verify(digest)
    return True, {"objects": len(wanted), "digest": str(event.digest)}


def environment_captured(home: Home, event: UpstreamEvent) -> Answer:
    """Find environment, source and seeds of the run that made the product."""
    if event.made_by is None:
        return False, {"reason": "the materialization names no run"}
    found = queries.rows(
        home, "SELECT environment, source, capture_level, seed FROM runs WHERE run_id = ?", [event.made_by]
    )
    if not found or found[0]["environment"] is None:
        return False, {"reason": f"run {event.made_by} recorded no environment"}
    facts = found[0]
    document = repository.by_digest(home, _digest(facts["environment"])).load()
    whole = bool(document.get("packages")) and (facts["capture_level"] == "basic" or facts["source"] is not None)
    return whole, {"environment": str(facts["environment"]), "packages": len(document.get("packages", ()))}


def lineage_sound(home: Home, event: UpstreamEvent) -> Answer:
    """Find every input of the run that made the product, recorded and still there."""
    inputs = queries.rows(home, "SELECT slot, digest FROM run_inputs WHERE run_id = ?", [event.made_by or ""])
    missing = [str(row["slot"]) for row in inputs if not Artifact(home, _digest(row["digest"]), "").is_whole()]
    outputs = queries.rows(
        home,
        "SELECT count(*) AS n FROM run_outputs WHERE run_id = ? AND digest = ?",
        [event.made_by or "", str(event.digest)],
    )
    return not missing and outputs[0]["n"] > 0, {"inputs": len(inputs), "missing": missing}


CHECKS: dict[str, Callable[[Home, UpstreamEvent], Answer]] = {
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

    @dg.multi_asset_check(name="provenance_checks", specs=specs, can_subset=True)
    def provenance_checks(context: dg.AssetCheckExecutionContext, repro: Repro) -> Iterator[dg.AssetCheckResult]:
        for key in context.selected_asset_check_keys:
            yield _checked(context, repro.home, key)

    return provenance_checks


def _checked(context: dg.AssetCheckExecutionContext, home: Home, key: dg.AssetCheckKey) -> dg.AssetCheckResult:
    record = context.instance.fetch_materializations(key.asset_key, limit=1).records
    name = key.asset_key.to_user_string()
    run_id = None
    if not record:
        passed, details = False, {"reason": f"{name} has never been materialized"}
    else:
        try:
            event = read_event(record[0])
            run_id = event.made_by
            passed, details = CHECKS[key.name](home, event)
        except ReproError as error:
            passed, details = False, {"reason": str(error)}
    if pins.active() is None:
        journal_at(home.journal).append(CheckMade(key.name, passed, run_id, name, details=details))
    return dg.AssetCheckResult(
        passed=passed, asset_key=key.asset_key, check_name=key.name, metadata={k: str(v) for k, v in details.items()}
    )


def _digest(text: Any) -> Any:
    from repro_assets.identity.digest import Digest

    return Digest.parse(str(text))
