"""Whether an asset's recipe is deterministic: rehearsed with the config and inputs of its newest run, by today's code.

The verdict is a record, and an observation on the asset's page.
"""

from __future__ import annotations

import json
from typing import IO, Any

import dagster as dg

from repro_assets.capture.project import project_root, source_folders
from repro_assets.catalog import queries
from repro_assets.catalog.makers import resolve_maker
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.verification import TIMEOUT, Rehearsal, Verification, verify_determinism
from repro_assets.errors import InvalidValue
from repro_assets.journal.run_records import CheckMade
from repro_assets.journal.segments import journal_at
from repro_assets.orchestration.instance import open_instance
from repro_assets.store.home import Home

CHECK = "deterministic"


def verify_and_show(
    home: Home,
    text: str,
    runs: int = 2,
    seed: int = 0,
    *,
    timeout: float = TIMEOUT,
    strict: bool = False,
    log: IO[bytes] | None = None,
) -> Verification:
    """Verify the recipe that made an asset, an artifact or a run, and put the verdict on the asset's page.

    Parameters
    ----------
    home : Home
        The store.
    text : str
        An asset's key, or what else `resolve_maker` takes; its run gives recipe, config, mode and inputs.
    runs, seed, timeout, strict, log
        As for `verify_determinism`.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing, or more than one thing, is called so.
    InvalidValue
        If that run has no recipe, or does not say what it was given.
    """
    run_id = resolve_maker(home, text)
    (row,) = queries.rows(
        home, "SELECT run_id, recipe, asset, partition, config, mode, plan FROM runs WHERE run_id = ?", [run_id]
    )
    if row["recipe"] is None:
        raise InvalidValue(
            f"run {run_id} has no recipe that could be run by itself",
            f"name a function as module:function, or run it again from its record: repro replay {run_id}",
        )
    inputs = _json(row["plan"]).get("arguments")
    if inputs is None:
        raise InvalidValue(
            f"run {run_id} does not say what its recipe was given", "make the asset again with repro run --force"
        )
    found = verify_determinism(
        str(row["recipe"]),
        runs,
        seed,
        mode=Mode(**_json(row["mode"])),
        timeout=timeout,
        strict=strict,
        rehearsal=Rehearsal(_json(row["config"]), str(home.root), inputs),
        path=source_folders(project_root()),
        log=log,
    )
    details = {**found.document(), "seed": seed, "config_and_inputs_of": run_id}
    journal_at(home.journal).append(
        CheckMade(CHECK, found.deterministic, None, row["asset"], row["partition"], details=details)
    )
    if row["asset"] is not None:
        with open_instance(home) as instance:
            instance.report_runless_asset_event(
                dg.AssetObservation(
                    asset_key=dg.AssetKey.from_user_string(row["asset"]),
                    partition=row["partition"],
                    metadata={
                        CHECK: found.deterministic,
                        "verified": str(found),
                        "digests": dg.MetadataValue.json(found.digests),
                        "first difference": dg.MetadataValue.json(found.first_difference or {}),
                        "config and inputs of": run_id,
                        "seconds": found.seconds,
                    },
                )
            )
    return found


def _json(value: Any) -> dict[str, Any]:
    return dict((json.loads(value) if isinstance(value, str) else value) or {})
