"""Sensors: Dagster's final word on a run goes into the journal, and the catalog follows."""

import dagster as dg

from repro_assets.catalog.projection import refresh
from repro_assets.orchestration import parents
from repro_assets.store.home import find_store


def _sensor(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=status,
        name=f"record_{status.value.lower()}",
        description=f"Copies the state of runs that end as {status.value} into the journal and refreshes the catalog.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
    )
    def record(context: dg.RunStatusSensorContext) -> None:
        home = find_store(make=True)
        parents.reconcile(home, context.instance, [context.dagster_run.run_id])
        refresh(home)

    return record


sensors: list[dg.SensorDefinition] = [_sensor(status) for status in parents.STATES]
