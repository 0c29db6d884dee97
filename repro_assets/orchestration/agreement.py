"""Dagster's own storage held against the journal: what is in one only, or said differently, with its reason.

Laws: nothing is written; the journal is the home of facts, so what Dagster has forgotten is named and harmless, unless
an asset's page shows an older product than the newest one on record; what is in Dagster only is a hole in the record,
unless it was never ours to record. A finding says whether, and how, `mending` can mend it, or why nothing can. What
replays made is left out: they are executed outside Dagster's storage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from repro_assets.orchestration import dagster_side, parents
from repro_assets.orchestration.dagster_side import Answer, Materialization
from repro_assets.orchestration.recorded_side import Product, Recorded, read_recorded
from repro_assets.store.home import Home

RUN, MATERIALIZATION, CHECK = "run", "materialization", "check"
COPY_STATE = "copies the run and its state into the journal"
END_RUN = "tells Dagster that the run was cancelled, and copies that"
REPORT = "reports it to Dagster, without a run"
COPY_CHECK = "copies the answer into the journal"
NO_RUN_BACK = "nothing puts a run back into Dagster"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something on which the two do not agree.

    Parameters
    ----------
    kind : str
        ``run``, ``materialization`` or ``check``.
    run_id : str
        Dagster's run; empty where an event belongs to none.
    reason : str
        Why it is in one only.
    harmless : bool
        True where the record is whole nevertheless.
    mending : str or None
        What mending does about it.
    why_not : str or None
        Why it cannot be mended, where it cannot.
    subject : Answer or Product, optional
        What mending needs.
    """

    kind: str
    run_id: str
    reason: str
    harmless: bool = False
    mending: str | None = None
    why_not: str | None = None
    asset: str | None = None
    partition: str | None = None
    digest: str | None = None
    made_by: str | None = None
    name: str | None = None
    subject: Answer | Product | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {name: value for name, value in asdict(self).items() if name != "subject"}


@dataclass(slots=True)
class Agreement:
    """What was compared, and what was found."""

    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys((RUN, MATERIALIZATION, CHECK), 0))
    only_in_dagster: list[Finding] = field(default_factory=list)
    only_in_journal: list[Finding] = field(default_factory=list)
    differing: list[Finding] = field(default_factory=list)

    def findings(self) -> Iterator[Finding]:
        """Yield all findings."""
        yield from self.only_in_dagster
        yield from self.only_in_journal
        yield from self.differing

    @property
    def ok(self) -> bool:
        """Whether all that was found is harmless."""
        return all(finding.harmless for finding in self.findings())


def compare(home: Home, instance: dg.DagsterInstance) -> Agreement:
    """Compare runs, materializations and answers of checks.

    Parameters
    ----------
    home : Home
        The store.
    instance : DagsterInstance
        Its storage of Dagster.

    Raises
    ------
    MachineError
        If the catalog cannot be brought up to date.
    """
    found = Agreement()
    recorded = read_recorded(home)
    statuses, oldest = _compare_runs(instance, recorded, found)
    missing = {run: _why_missing(run, recorded, oldest) for run in recorded.parents if run not in statuses}
    for run_id, (reason, _) in missing.items():
        found.only_in_journal.append(Finding(RUN, run_id, reason, harmless=True, why_not=NO_RUN_BACK))
    _compare_materializations(instance, recorded, found, missing)
    _compare_checks(instance, recorded, found, missing)
    return found


def _compare_runs(
    instance: dg.DagsterInstance, recorded: Recorded, found: Agreement
) -> tuple[dict[str, str], float | None]:
    statuses: dict[str, str] = {}
    oldest: float | None = None
    for record in dagster_side.runs(instance):
        run, status = record.dagster_run, record.dagster_run.status
        statuses[run.run_id] = status.value
        oldest = oldest if oldest is not None else record.create_timestamp.replace(tzinfo=UTC).timestamp()
        found.compared[RUN] += 1
        known = recorded.parents.get(run.run_id)
        final = parents.STATES.get(status)
        if known is None:
            found.only_in_dagster += _unrecorded(instance, recorded, run, final)
        elif final is not None and final != known.state:
            reason = f"Dagster says {status.value}, and the last that the journal heard was {known.state}"
            found.differing.append(Finding(RUN, run.run_id, reason, mending=COPY_STATE))
        elif final is None and known.is_gone and not parents.executor_lives(instance, run.run_id):
            reason = f"Dagster says {status.value}, and the process that executed it is gone"
            found.differing.append(Finding(RUN, run.run_id, reason, mending=END_RUN))
    return statuses, oldest


def _unrecorded(
    instance: dg.DagsterInstance, recorded: Recorded, run: dg.DagsterRun, final: str | None
) -> Iterator[Finding]:
    if final is None:
        if parents.executor_lives(instance, run.run_id):
            # It has not begun, or nothing of it has come to a resource or an IO manager of ours.
            return
        reason = "its process is gone, and had recorded nothing"
        yield Finding(RUN, run.run_id, reason, mending=END_RUN)
        return
    location = parents.code_location(run)
    place = f"{location['module']}:{location['attribute']}" if location else None
    if place is not None and recorded.locations and place not in recorded.locations:
        reason = f"it was launched from the code location {place}, which records nothing here"
        yield Finding(RUN, run.run_id, reason, harmless=True, why_not="nothing of it is on record")
        return
    reason = "no process of it recorded its start: it ended before, it has no asset of ours, or its records are gone"
    yield Finding(RUN, run.run_id, reason, mending=COPY_STATE)


def _why_missing(run_id: str, recorded: Recorded, oldest: float | None) -> tuple[str, bool]:
    """Return why a run of the journal is not in Dagster, and whether Dagster had it here."""
    known = recorded.parents[run_id]
    if known.host is not None and known.host != recorded.host:
        return f"it was executed on {known.host}, and its records came from there", False
    if oldest is None:
        return "Dagster's storage holds no run: it was removed, or made anew", True
    if known.started is not None and known.started < oldest:
        return "it is older than all that Dagster holds: it was deleted there, or the storage was made anew", True
    return "it was deleted in Dagster", True


def _compare_materializations(
    instance: dg.DagsterInstance, recorded: Recorded, found: Agreement, missing: dict[str, tuple[str, bool]]
) -> None:
    seen = set()
    newest: dict[tuple[str, str | None, bool], float] = {}
    for event in dagster_side.materializations(instance):
        found.compared[MATERIALIZATION] += 1
        seen.add((event.run_id, event.asset, event.partition, event.version))
        place = event.asset, event.partition, event.trial
        newest[place] = max(event.time, newest.get(place, event.time))
        finding = _unrecorded_event(recorded, event)
        if finding is not None:
            found.only_in_dagster.append(finding)
    latest: dict[tuple[str, str | None, bool], float] = {}
    gone = [product for key, product in recorded.products.items() if key not in seen]
    for product in gone:
        if product.may_be_newest:
            latest[product.place] = max(product.time, latest.get(product.place, product.time))
    log: tuple[str, set[tuple[str, str | None]]] | None = None
    for product in sorted(gone, key=lambda item: item.dagster_run):
        run_id = product.dagster_run
        if run_id not in missing and run_id in recorded.parents and (log is None or log[0] != run_id):
            log = run_id, dagster_side.materialized_by(instance, run_id)
        logged = log is not None and log[0] == run_id and (product.asset, product.partition) in log[1]
        is_newest = product.time == latest.get(product.place) and product.time > newest.get(product.place, 0.0)
        found.only_in_journal.append(_forgotten(product, missing.get(run_id), logged, is_newest))


def _unrecorded_event(recorded: Recorded, event: Materialization) -> Finding | None:
    harmless, why_not = False, "its record is gone, and Dagster's event does not have all of it"
    if not event.version.startswith("sha256:"):
        ours = event.run_id in recorded.parents
        reason = "another IO manager stored it, or none: its data version is no digest"
        harmless, why_not = not ours, "the store does not have it; give the asset the IO manager of this project"
    elif event.made_by is None:
        # A handle that was passed through: what it names has a record of its own.
        if event.version in recorded.artifacts:
            return None
        reason = "nothing on record made, or put, what it names"
    elif (event.made_by, event.version) in recorded.outputs:
        return None
    elif event.made_by in recorded.runs:
        reason = f"run {event.made_by} is on record, and this product of it is not"
    else:
        reason = f"run {event.made_by} is not on record: its journal segment is gone, or it was recorded elsewhere"
    return Finding(
        MATERIALIZATION,
        event.run_id,
        reason,
        harmless=harmless,
        why_not=why_not,
        asset=event.asset,
        partition=event.partition,
        digest=event.version or None,
        made_by=event.made_by,
    )


def _forgotten(product: Product, missing: tuple[str, bool] | None, logged: bool, is_newest: bool) -> Finding:
    mending = why_not = None
    if missing is not None:
        reason = f"its run is not in Dagster: {missing[0]}"
    elif logged:
        reason = "the asset was wiped in Dagster"
    elif product.state == "COMPLETED":
        reason = "Dagster has no such event: its process died between the two, or the event was removed"
    else:
        reason = f"run {product.run_id} stored it and ended as {product.state}, so that Dagster was not told"
    if missing is not None and not missing[1]:
        why_not = "Dagster never had it here"
    elif product.state != "COMPLETED":
        why_not = "a run that did not complete materializes nothing"
    elif product.deleted:
        why_not = f"run {product.run_id} was deleted"
    elif is_newest:
        mending = REPORT
    else:
        why_not = "Dagster would take it for the newest, which it is not"
    return Finding(
        MATERIALIZATION,
        product.dagster_run,
        reason,
        harmless=mending is None,
        mending=mending,
        why_not=why_not,
        asset=product.asset,
        partition=product.partition,
        digest=product.digest,
        made_by=product.run_id,
        name=product.name,
        subject=product,
    )


def _compare_checks(
    instance: dg.DagsterInstance, recorded: Recorded, found: Agreement, missing: dict[str, tuple[str, bool]]
) -> None:
    left = recorded.checks
    for answer in dagster_side.answers(instance):
        found.compared[CHECK] += 1
        if left.take(answer.run_id, answer.asset, answer.name, answer.passed, answer.time):
            continue
        when = datetime.fromtimestamp(answer.time, UTC).isoformat(timespec="seconds")
        found.only_in_dagster.append(
            Finding(
                CHECK,
                answer.run_id,
                f"its answer of {when} is not on record: the check is not one of ours, or its record is gone",
                mending=COPY_CHECK,
                asset=answer.asset,
                partition=answer.partition,
                name=answer.name,
                subject=answer,
            )
        )
    for run_id, asset, name in left.rest():
        reason = (
            missing[run_id][0] if run_id in missing else "the asset was wiped in Dagster, or its run died meanwhile"
        )
        found.only_in_journal.append(
            Finding(
                CHECK,
                run_id,
                reason,
                harmless=True,
                why_not="an answer belongs to the materialization that it was about; make it again",
                asset=asset,
                name=name,
            )
        )
