"""The answer of a replay: a verdict on each run, and what a person should know of how it came about.

Laws: a run's verdict is the worst of its products; wrong code makes it `not_comparable`. A run that did not complete is
compared in what it had made, and that is said.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from repro_assets.determinism.setting_differences import setting_differences
from repro_assets.journal.run_records import ReplayMade
from repro_assets.replay import compare
from repro_assets.replay.deviation import Tolerance
from repro_assets.replay.measured import measure
from repro_assets.replay.plan import Replayed, Result
from repro_assets.replay.records import COMPLETED, Recorded
from repro_assets.store.home import Home
from repro_assets.wording import plain


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of a replay.

    Parameters
    ----------
    verdict : str
        The worst of `products`.
    original_run : str
        The run that was asked for; a parent stands for all runs that it groups.
    replay_run : str or None
        The run that did the work again (the replay's parent for a parent).
    records : list of ReplayMade
        What was recorded, one for each original run.
    seconds : float
        Wall time.
    environment : str
        ``current`` or ``recreate``.
    environment_differences : list of dict
        ``part``, ``name``, ``original`` and ``current`` of what differs from the recorded environment.
    notes : list of str
        What was done because a thing could not be as it was.
    undeclared : list of dict
        What both executions read that is on no record (`repro_assets.replay.undeclared`).
    possible_causes : list of dict
        ``kind``, ``name`` and ``why`` of what may be why a replay diverged; empty where none did.
    """

    verdict: str
    original_run: str
    replay_run: str | None
    records: list[ReplayMade]
    seconds: float
    environment: str = "current"
    environment_differences: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undeclared: list[dict[str, Any]] = field(default_factory=list)
    possible_causes: list[dict[str, str]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the JSON answer of the command line."""
        differences: list[dict[str, Any]] = []
        for record in self.records:
            differences += [item for item in record.differences if item not in differences]
        return {
            "verdict": self.verdict,
            "reason": next((r.reason for r in self.records if r.verdict == self.verdict and r.reason), None),
            "original_run": self.original_run,
            "replay_run": self.replay_run,
            "tolerance": self.records[0].tolerance if self.records else None,
            "products": [product for record in self.records for product in record.products],
            "differences": differences,
            "metrics": [metric for record in self.records for metric in record.metrics],
            "environment": self.environment,
            "environment_differences": self.environment_differences,
            "notes": self.notes,
            "undeclared": plain(self.undeclared),
            "possible_causes": self.possible_causes,
            "seconds": self.seconds,
        }


def joined(run_id: str, parts: list[Report], seconds: float, environment: str) -> Report:
    """Return one answer for what several processes executed; the last part is what was asked for."""
    records = [record for part in parts for record in part.records]
    differences: list[dict[str, Any]] = []
    for part in parts:
        differences += [item for item in part.environment_differences if item not in differences]
    return Report(
        verdict=compare.worst([record.verdict for record in records]),
        original_run=run_id,
        replay_run=parts[-1].replay_run,
        records=records,
        seconds=seconds,
        environment=environment,
        environment_differences=differences,
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
        undeclared=[row for part in parts for row in part.undeclared],
        possible_causes=[cause for part in parts for cause in part.possible_causes],
    )


def verdict_on(
    home: Home, run: Recorded, result: Result, seconds: float, tolerance: Tolerance | None = None
) -> ReplayMade:
    """Return the record of one run's replay; products with other bits are measured, each in all that differs."""
    again = next((item for item in result.replays if item.original == run.run_id), None)
    differences = setting_differences(run.settings, again.settings) if again is not None else []
    comparable = not (differences or result.wrong_code or run.edited_sources)
    made = again.products if again is not None else {}
    measured = {
        slot: measure(home, name, digest, made[slot], tolerance)
        for slot, (name, digest) in run.products.items()
        if made.get(slot, digest) != digest
    }
    near = [slot for slot, each in measured.items() if tolerance is not None and each.within]
    products = compare.compare_products(run.products, made, comparable=comparable, near=near)
    verdict = compare.worst([product.verdict for product in products])
    if result.wrong_code or run.edited_sources:
        verdict = compare.NOT_COMPARABLE
    return ReplayMade(
        original_run=run.run_id,
        replay_run=again.run_id if again is not None else None,
        verdict=verdict,
        reason=_reason(run, verdict, again, result, differences),
        products=[
            {**dataclasses.asdict(each), **(measured[each.slot].document() if each.slot in measured else {})}
            for each in products
        ],
        differences=differences,
        metrics=compare.metric_pairs(run.metrics, again.metrics if again is not None else {}),
        seconds=seconds,
        tolerance=None if tolerance is None else tolerance.document(),
    )


def _reason(
    run: Recorded, verdict: str, again: Replayed | None, result: Result, differences: list[dict[str, Any]]
) -> str | None:
    if result.wrong_code:
        return f"wrong code: {', '.join(result.wrong_code)}"
    if run.edited_sources:
        return f"wrong code: edited while the original ran: {', '.join(run.edited_sources)}"
    if run.state != COMPLETED and verdict == compare.IDENTICAL:
        said = f" ({run.error})" if run.error else ""
        return f"the run is {run.state}{said}: what it had made until then was compared"
    raised = f": {result.error['type']}: {result.error['message']}" if result.error else ""
    if (again is None or again.state != COMPLETED) and run.state == COMPLETED:
        return f"the replay did not complete{raised}"
    if run.state != COMPLETED and (again is None or not run.products.keys() <= again.products.keys()):
        return f"the run is {run.state}, and the replay did not come as far{raised}"
    if verdict == compare.NOT_COMPARABLE:
        return "settings differ: " + ", ".join(item["setting"] for item in differences)
    return None
