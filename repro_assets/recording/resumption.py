"""Which checkpoint a person means by a run, a checkpoint, a run at a time, or ``auto``.

Laws: a run stands for its newest checkpoint, its own before those of the runs that it goes on from, of which only what
lies up to the step where it left them counts: a run that ended before its first checkpoint goes on where it began. A
checkpoint that was deleted, or of which bytes are gone or damaged, is passed over and named. What is chosen
automatically did the same work (one reuse key) in the same job of a scheduler, ended without its result, and was not
carried to its end by another run since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.catalog.queries import Rows, connect, read_rows, resolve_run_on
from repro_assets.errors import AmbiguousName, InvalidValue, MissingObject, ReproError, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

AUTO = "auto"
SLOT = "resume"
"""Input slot, and keyword of a recipe, of the checkpoint that a run goes on from."""
JOB = "scheduler_job"
"""Member of a run's host facts that says which job of a scheduler it belonged to."""
_ENDED = ("FAILED", "INTERRUPTED")
_NONE = "see: repro runs show"

# The run and those that it goes on from, each with the last step of it that counts.
_LINE = """
    WITH RECURSIVE line AS (
        SELECT $run AS run_id, NULL::BIGINT AS up_to
        UNION
        SELECT r.resumed_run_id, least(r.step, coalesce(l.up_to, r.step))
        FROM line l JOIN resumes r ON r.run_id = l.run_id
    )
"""
_SAVED = """
    SELECT c.run_id, c.name, c.digest, c.step, c.time, r.asset, r.partition
    FROM {source} JOIN checkpoints c ON {condition} LEFT JOIN runs r ON r.run_id = c.run_id
"""
_CHILDREN = """
    SELECT run_id, name, asset, state FROM runs
    WHERE parent_run_id = $run AND replay_of IS NULL AND (
        run_id IN (SELECT run_id FROM checkpoints) OR run_id IN (SELECT run_id FROM resumes))
    ORDER BY started_at DESC, run_id DESC
"""
_CARRIED_ON = """
    WITH RECURSIVE after AS (
        SELECT run_id FROM resumes WHERE resumed_run_id = $saved_by
        UNION
        SELECT r.run_id FROM after a JOIN resumes r ON r.resumed_run_id = a.run_id
    )
    SELECT run_id FROM after JOIN runs USING (run_id)
    WHERE state = 'COMPLETED' AND replay_of IS NULL AND started_at > $since
"""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint to go on from.

    Parameters
    ----------
    run_id, name : str
        The run that saved it, and its name there.
    artifact : Artifact
        Its handle.
    step : int
        Step after which it was saved.
    asset, partition : str or None
        What that run made.
    passed_over : tuple of str
        Newer checkpoints that cannot be read, with the reason.
    """

    run_id: str
    name: str
    artifact: Artifact
    step: int
    asset: str | None
    partition: str | None
    passed_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.run_id}/{self.name}"


def find(home: Home, text: str) -> Checkpoint:
    """Return the checkpoint that `text` names.

    Parameters
    ----------
    home : Home
        The store.
    text : str
        A run (id, prefix, name, ``last``; a parent run stands for its unfinished training), ``RUN@TIME`` (the newest
        checkpoint that was saved at or before that time: ISO 8601, UTC where it names no offset; to the second, the
        whole of it), or a checkpoint: ``RUN/checkpoint_step_100``, a digest, a name of an artifact.

    Raises
    ------
    UnknownName
        If nothing is called so, it is no checkpoint, or the run has none.
    InvalidValue
        If what follows the run is no time.
    AmbiguousName
        If several fit.
    MissingObject
        If the named checkpoint cannot be read.
    """
    run, at, time = text.rpartition("@")
    moment = _moment(time) if at else None
    head, slash, name = text.rpartition("/")
    with connect(home) as connection:
        if moment is not None:
            return _of_run(home, connection, resolve_run_on(connection, run), moment)
        try:
            run_id = resolve_run_on(connection, head if slash else text)
        except UnknownName as error:
            unknown = error
        else:
            return _named(home, connection, run_id, name) if slash else _of_run(home, connection, run_id, None)
    try:
        return _of_artifact(home, text, unknown)
    except UnknownName:
        if at and _is_run(home, run):
            raise InvalidValue(
                f"{time!r} is no time at which run {run} could be looked at",
                "give one as ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00",
            ) from None
        raise


def find_unfinished(
    home: Home, *, asset: str, partition: str | None, key: Digest, job: Mapping[str, Any] | None
) -> Checkpoint | None:
    """Return the newest checkpoint of the newest unfinished run of the same work, if there is one.

    Parameters
    ----------
    home : Home
        The store.
    asset, partition : str
        What is made.
    key : Digest
        The reuse key of the work.
    job : mapping or None
        The job of a scheduler, as `repro_assets.capture.scheduler.scheduler_job` says it; None outside of one.
    """
    with connect(home) as connection:
        candidates = read_rows(
            connection,
            "SELECT run_id, state, host_facts, started_at FROM runs ANTI JOIN deleted_runs USING (run_id) "
            "WHERE asset = $asset AND partition IS NOT DISTINCT FROM $partition AND reuse_key = $key "
            "AND replay_of IS NULL AND state <> 'COMPLETED' ORDER BY started_at DESC, run_id DESC",
            {"asset": asset, "partition": partition, "key": str(key)},
        )
        for row in candidates:
            if not _has_ended(row["state"], _job_of(row), job):
                continue
            found, _ = _newest(home, _saved_by(connection, row["run_id"]))
            if found is None:
                continue
            since = {"saved_by": found.run_id, "since": row["started_at"]}
            if not read_rows(connection, _CARRIED_ON, since):
                return found
    return None


def recorded(home: Home, run_id: str) -> Checkpoint | None:
    """Return the checkpoint that a run went on from, if it did; its bytes may be gone."""
    with connect(home) as connection:
        rows = read_rows(
            connection,
            "SELECT s.resumed_run_id AS run_id, s.checkpoint AS name, s.digest, s.step, r.asset, r.partition "
            "FROM resumes s LEFT JOIN runs r ON r.run_id = s.resumed_run_id WHERE s.run_id = $run ORDER BY s.time DESC",
            {"run": run_id},
        )
    return _checkpoint(rows[0], _handle(home, rows[0])) if rows else None


def _of_run(home: Home, connection: duckdb.DuckDBPyConnection, run_id: str, at: datetime | None) -> Checkpoint:
    run_id = _training_under(connection, run_id)
    rows = _saved_by(connection, run_id)
    early = [row for row in rows if at is None or row["time"] <= at]
    found, passed_over = _newest(home, early)
    if found is not None:
        return found
    if passed_over:
        raise MissingObject(f"no checkpoint of run {run_id} can be read: {'; '.join(passed_over)}", "start it again")
    if at is not None and rows:
        first = min(row["time"] for row in rows)
        raise UnknownName(
            f"run {run_id} had no checkpoint at {at.replace(microsecond=0)} UTC", f"its first is of {first} UTC"
        )
    raise UnknownName(f"run {run_id} saved no checkpoint", "name another run, or start from the beginning")


def _named(home: Home, connection: duckdb.DuckDBPyConnection, run_id: str, name: str) -> Checkpoint:
    rows = _saved_by(connection, run_id)
    # The newest of a name: a run that is resumed from its own past may save it again.
    for row in rows:
        if row["name"] == name:
            return _readable(home, row)
    names = ", ".join(row["name"] for row in rows[:5])
    raise UnknownName(f"run {run_id} has no {name!r}", f"it has {names}" if names else f"{_NONE} {run_id}")


def _is_run(home: Home, name: str) -> bool:
    with connect(home) as connection:
        try:
            resolve_run_on(connection, name)
        except (UnknownName, AmbiguousName):
            return False
    return True


def _of_artifact(home: Home, text: str, no_run: UnknownName) -> Checkpoint:
    try:
        artifact = resolve_artifact(home, text)
    except UnknownName as error:
        remedy = next((each.remedy for each in (no_run, error) if each.remedy.startswith("did")), no_run.remedy)
        raise UnknownName(f"there is no run or checkpoint {text!r}", remedy) from error
    with connect(home) as connection:
        rows = read_rows(
            connection,
            f"{_SAVED.format(source='(SELECT 1)', condition='c.digest = $digest')} "
            "ORDER BY r.replay_of IS NOT NULL, c.time DESC, c.run_id",
            {"digest": str(artifact.digest)},
        )
    if not rows:
        raise UnknownName(f"{text} is no checkpoint of a run", "name one of: repro artifacts list --type checkpoint")
    return _readable(home, rows[0])


def _training_under(connection: duckdb.DuckDBPyConnection, run_id: str) -> str:
    """Return the unfinished training run of a parent run; any other run as it is."""
    if read_rows(connection, "SELECT 1 FROM runs WHERE run_id = $run AND run_kind = 'parent'", {"run": run_id}) == []:
        return run_id
    children = read_rows(connection, _CHILDREN, {"run": run_id})
    unfinished = [row["run_id"] for row in children if row["state"] != "COMPLETED"]
    if len(unfinished) == 1:
        return str(unfinished[0])
    if unfinished:
        raise AmbiguousName(f"several training runs under {run_id} are unfinished: {', '.join(unfinished)}", "name one")
    made = ", ".join(f"{row['run_id']} ({row['asset']})" for row in children)
    raise UnknownName(
        f"no training run under {run_id} is unfinished", f"name a run: {made}" if made else f"{_NONE} {run_id}"
    )


def _saved_by(connection: duckdb.DuckDBPyConnection, run_id: str) -> Rows:
    """Return the checkpoints of a run and of those that it goes on from, newest first, without deleted ones."""
    source = _SAVED.format(source="line l", condition="c.run_id = l.run_id AND (l.up_to IS NULL OR c.step <= l.up_to)")
    return read_rows(
        connection,
        f"{_LINE} {source} WHERE NOT EXISTS (SELECT 1 FROM deleted_checkpoints d "
        "WHERE d.run_id = c.run_id AND d.name = c.name AND d.digest = c.digest) "
        "ORDER BY c.step DESC, c.time DESC, c.name",
        {"run": run_id},
    )


def _newest(home: Home, rows: Rows) -> tuple[Checkpoint | None, list[str]]:
    """Return the first that can be read, and those before it with what is wrong with them."""
    passed_over: list[str] = []
    for row in rows:
        try:
            found = _readable(home, row)
        except MissingObject as error:
            passed_over.append(error.message)
            continue
        return _checkpoint(row, found.artifact, passed_over), passed_over
    return None, passed_over


def _readable(home: Home, row: Mapping[str, Any]) -> Checkpoint:
    artifact = _handle(home, row)
    if not artifact.is_whole(read=True):
        raise MissingObject(f"bytes of {row['run_id']}/{row['name']} are gone or damaged", "see: repro store fsck")
    return _checkpoint(row, artifact)


def _handle(home: Home, row: Mapping[str, Any]) -> Artifact:
    name = f"{row['run_id']}/{row['name']}"
    try:
        return repository.by_digest(home, Digest.parse(row["digest"]), name=name, run_id=row["run_id"])
    except ReproError as error:
        raise MissingObject(f"{name} cannot be read: {error.message}", "see: repro store fsck") from error


def _checkpoint(row: Mapping[str, Any], artifact: Artifact, passed_over: list[str] | None = None) -> Checkpoint:
    return Checkpoint(
        row["run_id"],
        row["name"],
        artifact,
        int(row["step"]),
        row["asset"],
        row["partition"],
        tuple(passed_over or ()),
    )


def _has_ended(state: str, then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Tell whether a run of the same work, in the same job, is over."""
    if then is None or now is None:
        return then is now and state in _ENDED
    if (then["scheduler"], then["job"]) != (now["scheduler"], now["job"]):
        return False
    # Another node's process cannot be looked at; but the scheduler starts a job again only when it is over there.
    started_again = None not in (then["restarts"], now["restarts"]) and then["restarts"] < now["restarts"]
    return state in (*_ENDED, "UNKNOWN") or started_again


def _job_of(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    facts = row["host_facts"]
    facts = json.loads(facts) if isinstance(facts, str) else facts
    job: Mapping[str, Any] | None = (facts or {}).get(JOB)
    return job


def _moment(text: str) -> datetime | None:
    """Read a time as UTC without an offset, as the catalog has them; None where it is none."""
    if "-" not in text:
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    # Times are shown to the second, and what happened within it is meant by it.
    return found if "." in text else found + timedelta(microseconds=999_999)
