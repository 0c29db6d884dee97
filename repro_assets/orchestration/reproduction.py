"""Replays that Dagster executes: a run that a person names, a sample of the recent ones every night, and who watches.

Laws: a replay is a process of its own, which the job waits for; a verdict that breaks a promise fails the job, and is
said once by the sensor, whoever made the replay and whenever its record came into this store.
"""

import datetime as dt
import json

import dagster as dg
import xxhash
from pydantic import Field

from repro_assets.catalog import queries
from repro_assets.catalog.makers import resolve_maker
from repro_assets.errors import ReproError
from repro_assets.orchestration.replaying import passes, replay_and_show
from repro_assets.replay.deviation import Tolerance
from repro_assets.replay.launch import Report
from repro_assets.store.home import Home, find_store

_SAMPLE = """
SELECT run_id FROM runs ANTI JOIN deleted_runs USING (run_id)
WHERE run_kind IN ('asset', 'script', 'command', 'notebook') AND state = 'COMPLETED' AND replay_of IS NULL
AND source IS NOT NULL AND started_at >= $since
AND (run_id IN (SELECT run_id FROM run_outputs) OR run_id IN (SELECT run_id FROM checkpoints))
ORDER BY md5(run_id || $day), run_id LIMIT $count
"""
_BROKEN = """
SELECT p.record, p.reason, p.original_run, r.name, count(*) OVER () AS ever FROM replays p
JOIN runs r ON r.run_id = p.original_run WHERE p.verdict = 'diverged'
ORDER BY p.time DESC, p.record DESC LIMIT $count
"""
NAMED = 256
"""So many of the newest broken promises the cursor of the sensor knows by their records; of older ones their number."""


class ReplayConfig(dg.Config):
    """What is replayed."""

    run: str = Field(description="A run, an artifact, or an asset: its newest run.")
    tolerance: str | None = Field(default=None, description="Within which other bits are equivalent, such as 1e-6.")
    upstream: bool = Field(default=False, description="First replay every run that its inputs came from.")
    environment: str = Field(default="current", description="current, or recreate: build the recorded one first.")
    timeout: float | None = Field(default=None, description="Seconds after which it is ended.")


class SampleConfig(dg.Config):
    """Which of the recent runs are replayed."""

    count: int = Field(default=3, ge=1, description="At most so many.")
    hours: float = Field(default=24, gt=0, description="Begun at most so long ago.")
    timeout: float = Field(default=3600, gt=0, description="Seconds after which each is ended.")


@dg.op(name="replay_run", description="Executes a recorded run again and gives the verdict.")
def replay_op(context: dg.OpExecutionContext, config: ReplayConfig) -> None:
    """Replay one run; fail where the verdict is bad."""
    try:
        home = find_store(make=True)
        report = replay_and_show(
            home,
            resolve_maker(home, config.run),
            tolerance=None if config.tolerance is None else Tolerance.parse(config.tolerance),
            upstream=config.upstream,
            environment=config.environment,
            timeout=config.timeout,
            told=context.log.info,
        )
    except ReproError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    document = report.document()
    context.add_output_metadata(
        {"verdict": report.verdict, "seconds": report.seconds, "answer": dg.MetadataValue.json(document)}
    )
    _refuse_broken([report])


@dg.op(name="replay_recent_runs", description="Executes some of the recent runs again and gives the verdicts.")
def sample_op(context: dg.OpExecutionContext, config: SampleConfig) -> None:
    """Replay a sample of recent runs, other ones each day; fail where a verdict is bad."""
    home = find_store(make=True)
    reports, failed = [], []
    for run_id in sample(home, config.count, dt.timedelta(hours=config.hours), dt.datetime.now(dt.UTC)):
        try:
            report = replay_and_show(home, run_id, timeout=config.timeout)
        except ReproError as error:
            # One that cannot be replayed hides none of the others.
            failed.append(f"{run_id}: {error}")
            continue
        context.log.info(f"{run_id}: {report.verdict}")
        reports.append(report)
    verdicts = {report.original_run: report.verdict for report in reports}
    context.add_output_metadata({"verdicts": dg.MetadataValue.json(verdicts), "failed": dg.MetadataValue.json(failed)})
    if failed:
        raise dg.Failure(f"{len(failed)} could not be replayed: {'; '.join(failed)}", allow_retries=False)
    _refuse_broken(reports)


def sample(home: Home, count: int, age: dt.timedelta, now: dt.datetime) -> list[str]:
    """Choose completed runs at random, as a function of their ids and the day.

    Parameters
    ----------
    home : Home
        The store.
    count : int
        At most so many.
    age : timedelta
        Begun at most so long before `now`.
    now : datetime
        With a time zone.
    """
    since = (now - age).astimezone(dt.UTC).replace(tzinfo=None)
    rows = queries.rows(home, _SAMPLE, {"since": since, "day": now.date().isoformat(), "count": count})
    return [str(row["run_id"]) for row in rows]


def _refuse_broken(reports: list[Report]) -> None:
    broken = [record for report in reports for record in report.records if not passes(record)]
    if broken:
        said = "; ".join(f"{each.original_run} is {each.verdict}: {each.reason or 'other bits'}" for each in broken)
        raise dg.Failure(said, allow_retries=False)


replay_job = dg.GraphDefinition(
    "replay", node_defs=[replay_op], description="Executes a recorded run again; the launchpad asks for its id."
).to_job()
sample_job = dg.GraphDefinition(
    "replay_sample", node_defs=[sample_op], description="Executes some of the recent runs again."
).to_job()
nightly_replays = dg.ScheduleDefinition(
    name="nightly_replays",
    job=sample_job,
    cron_schedule="0 3 * * *",
    description="Replays a sample of the last day's runs at three; switch it on where the machine has time at night.",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)


@dg.sensor(
    name="promises_kept",
    description="Says which replays gave other bits since it last looked.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
)
def promises_kept(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Say broken promises, once; nothing is launched."""
    # Oldest first, as they are said.
    rows = queries.rows(find_store(make=True), _BROKEN, {"count": NAMED})[::-1]
    records = {xxhash.xxh3_64_hexdigest(row["record"].encode()): row for row in rows}
    ever = rows[0]["ever"] if rows else 0
    before, count = _said_before(context.cursor, list(records), ever)
    context.update_cursor(json.dumps({"said": list(records), "count": ever}))
    new = [row for record, row in records.items() if record not in before]
    broken = [f"{row['name']} ({row['original_run']}): {row['reason'] or 'other bits'}" for row in new]
    if (older := ever - count - len(new)) > 0:
        broken.insert(0, f"{older} more that were replayed earlier (see the table replays)")
    if not broken:
        return dg.SkipReason("no promise was broken")
    for said in broken:
        context.log.error(f"does not reproduce: {said}")
    return dg.SkipReason(f"does not reproduce: {'; '.join(broken)}")


def _said_before(cursor: str | None, records: list[str], ever: int) -> tuple[set[str], int]:
    """Return which of the newest records a cursor says were told, and how many were told in all."""
    found = json.loads(cursor or "0")
    if isinstance(found, int):
        # Of before a cursor held records: so many, the oldest ones, were told.
        return set(records[: max(0, found - (ever - len(records)))]), found
    return set(found["said"]), found["count"]
