"""Sensors: Dagster's final word on a run goes into the journal, and what it did not execute is shown on its pages."""

import dagster as dg

from repro_assets.catalog.projection import refresh
from repro_assets.orchestration import parents, shown_runs
from repro_assets.orchestration.agreement import compare
from repro_assets.orchestration.reproduction import promises_kept
from repro_assets.store.home import find_store
from repro_assets.wording import counted


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


@dg.sensor(
    name="catalog_agrees",
    description="Holds the catalog against the journal and Dagster's storage every hour, and says what differs.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=3600,
)
def catalog_agrees(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Compare, and say what was found; nothing is written or launched."""
    home = find_store(make=True)
    found = compare(home, context.instance)
    if found.ok:
        return dg.SkipReason(f"in agreement: {sum(found.compared.values())} runs, materializations and checks compared")
    wrong = [finding for finding in found.findings() if not finding.harmless]
    said = f"{len(wrong)} do not agree, such as {wrong[0].kind} {wrong[0].asset or wrong[0].run_id}: {wrong[0].reason}"
    context.log.warning(f"{said}; see: repro catalog check")
    return dg.SkipReason(f"{said}; see: repro catalog check")


@dg.sensor(
    name="scripts_shown",
    description="Shows what scripts, commands and notebooks recorded: their runs, and their products as assets.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
)
def scripts_shown(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Show those that are not shown yet; nothing is launched."""
    home = find_store(make=True)
    there = shown_runs.to_show(home)
    if context.cursor == there:
        return dg.SkipReason("every run is shown")
    shown = shown_runs.show(home, context.instance)
    if not shown:
        context.update_cursor(there)
    return dg.SkipReason(f"{counted(len(shown), 'run')} shown" if shown else "every run is shown")


sensors: list[dg.SensorDefinition] = [
    *(_sensor(status) for status in parents.STATES),
    catalog_agrees,
    scripts_shown,
    promises_kept,
]
