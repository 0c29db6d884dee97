"""A code location of anybody's with all that this project's own has: resources, checks, sensors, executor.

Law: what the person gives under a name of ours takes its place.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
from pydantic import ValidationError

from repro_assets.errors import InvalidValue
from repro_assets.orchestration.checks import checks_for
from repro_assets.orchestration.executors import in_process_first
from repro_assets.orchestration.exporting import export_job
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.offered import is_reproducible
from repro_assets.orchestration.refusals import fields_in_one_line
from repro_assets.orchestration.reproduction import nightly_replays, replay_job, sample_job
from repro_assets.orchestration.resource import Repro
from repro_assets.orchestration.sensors import sensors as our_sensors
from repro_assets.wording import type_in_words


def reproducible_resources(**settings: Any) -> dict[str, Any]:
    """Return the resources that reproducible assets need: ``repro`` and ``io_manager``.

    The store is the one that ``REPRO_HOME`` names; without it, the nearest one upwards, or ``data`` in the project's
    folder, where it is made at the first use.

    Parameters
    ----------
    **settings
        Run-wide settings where a run's config says nothing else: ``seed``, ``capture_level``, ``threads`` and the other
        fields of the resource `Repro`.

    Raises
    ------
    InvalidValue
        If there is no such setting, or a value is not one of it.
    """
    return {"repro": _with_defaults(settings), "io_manager": ArtifactIOManager()}


def _with_defaults(settings: Mapping[str, Any]) -> Repro:
    """Return the resource with other defaults.

    Values that a resource is made with are forgotten by Dagster where a run's config names any other field of it.
    """
    unknown = sorted(settings.keys() - Repro.model_fields.keys())
    if unknown:
        raise InvalidValue(f"there is no setting {unknown[0]}", f"one of {', '.join(sorted(Repro.model_fields))}")
    try:
        given = Repro(**settings)
    except ValidationError as error:
        raise InvalidValue(fields_in_one_line("ValidationError", str(error))) from error
    fields: dict[str, Any] = {name: copy.copy(Repro.model_fields[name]) for name in settings}
    for name, field in fields.items():
        field.default, field.default_factory = getattr(given, name), None
    annotations = {name: field.annotation for name, field in fields.items()}
    namespace = {"__module__": Repro.__module__, "__doc__": Repro.__doc__, "__annotations__": annotations, **fields}
    made: type[Repro] = types.new_class(Repro.__name__, (Repro,), {}, lambda body: body.update(namespace))
    return made()


def reproducible_definitions(
    assets: Iterable[Any],
    *,
    resources: Mapping[str, Any] | None = None,
    asset_checks: Iterable[Any] = (),
    jobs: Iterable[Any] = (),
    schedules: Iterable[Any] = (),
    sensors: Iterable[Any] = (),
    executor: Any = None,
    checked: bool = True,
    **arguments: Any,
) -> dg.Definitions:
    """Return the definitions of a code location with our resources, checks, sensors and executor beside its own.

    Parameters
    ----------
    assets : iterable
        Reproducible assets and any others.
    resources, asset_checks, jobs, schedules, sensors, executor
        What is given beside ours, or in place of ours.
    checked : bool
        Whether every reproducible asset gets the checks of bytes, environment and lineage.
    **arguments
        What else ``dagster.Definitions`` takes: loggers, metadata.

    Raises
    ------
    InvalidValue
        If the resources that are given take the place of ours with something else.
    """
    found = list(assets)
    merged = {**reproducible_resources(), **(resources or {})}
    if not isinstance(merged["repro"], Repro):
        raise InvalidValue(
            f"the resource repro is {type_in_words(merged['repro'])}", "give it another name, or leave it out"
        )
    keys = sorted({key for asset in found if is_reproducible(asset) for key in asset.keys})
    return dg.Definitions(
        assets=found,
        asset_checks=[*([checks_for(keys)] if checked and keys else []), *asset_checks],
        jobs=[replay_job, sample_job, export_job, *jobs],
        schedules=[nightly_replays, *schedules],
        sensors=[*our_sensors, *sensors],
        resources=merged,
        executor=in_process_first if executor is None else executor,
        **arguments,
    )
