"""Whether a model may be the one in production, and the move that makes it so.

Laws: nothing is promoted but by checks that were made of this very model in the same step; each check answers with the
figure, its bound and what it was measured on; a model that is worse than the one in production is told apart from an
unlucky one by the paired interval of the difference, not by two figures; the alias moves only from where it was when
the checks were made; trials and replays move nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from repro_assets.artifacts import aliases, names, repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.errors import CheckFailed, InvalidValue, ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import CheckMade
from repro_assets.journal.segments import journal_at
from repro_assets.metric_direction import lower_is_better
from repro_assets.orchestration.checks import CHECKS, Answer, read_made
from repro_assets.store.home import Home
from repro_assets.training.comparison import compare_evaluations

ALIAS = "production"
CANDIDATE = "models/candidate"
_MADE_ON = """
    SELECT e.name, e.digest, e.dataset, e.run_id, v.collection || ':v' || v.version AS dataset_name, v.collection
    FROM evaluations e JOIN runs r USING (run_id) LEFT JOIN versions v ON v.digest = e.dataset
    WHERE e.model = $model AND r.state = 'COMPLETED' AND NOT r.trial AND r.replay_of IS NULL
    ORDER BY e.time DESC, e.run_id, v.time
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is asked of a model.

    Parameters
    ----------
    dataset : str
        Collection of the data that it must be evaluated on.
    least, most : dict
        Figure of the evaluation to its least and greatest allowed value.
    tolerance : dict
        Figure to how much worse than the model in production it may be: the whole interval of the paired difference
        must lie within. A figure of `most`, or whose name says so (`metric_direction`), is better low.
    """

    dataset: str
    least: dict[str, float]
    most: dict[str, float]
    tolerance: dict[str, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model as a version, its evaluation, and what is in production while it is judged."""

    model: Artifact
    evaluation: Artifact
    value: Mapping[str, Any]
    before: names.Version | None
    move: str | None

    @property
    def moves(self) -> bool:
        """Whether promoting it moves the alias: it is not what is in production already."""
        return self.before is None or self.before.number != self.model.version

    def describe(self) -> dict[str, Any]:
        """Return what a person wants to see of it."""
        return {
            "name": self.model.name or str(self.model),
            "run": self.model.run_id or "none",
            "reused": not self.moves,
            "evaluation": f"{self.evaluation} ({self.evaluation.digest})",
            "in production before": str(self.before) if self.before is not None else "none",
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check answered."""

    name: str
    passed: bool
    details: dict[str, Any]

    def metadata(self) -> dict[str, Any]:
        """Return the details as Dagster shows them."""
        return {
            name: dg.MetadataValue.json(value) if isinstance(value, dict) else str(value)
            for name, value in self.details.items()
        }

    def __str__(self) -> str:
        return f"{self.name}: {self.details.get('reason') or self.details}"


def propose(home: Home, model: Artifact, evaluation: Artifact) -> Candidate:
    """Return the model as the version that production would name, with what is in production now.

    Raises
    ------
    InvalidValue
        If the model has no version that no trial made, or the other artifact is no evaluation.
    """
    value = evaluation.load()
    if not isinstance(value, Mapping) or not isinstance(value.get("items"), Mapping):
        raise InvalidValue(f"{evaluation} is no evaluation with its items", "name one: inputs: {evaluation: NAME}")
    version = _version(home, model)
    moves = aliases.history(home, version.collection, ALIAS)
    before = names.version(home, version.collection, moves[-1][1].version, deleted=True) if moves else None
    if before is not None and before.digest == version.digest and not before.deleted:
        version = before
    handle = repository.handle(home, version, name=model.name)
    handle = dataclasses.replace(handle, run_id=model.run_id or version.run_id)
    return Candidate(handle, evaluation, value, before, moves[-1][0].id if moves else None)


def judge(home: Home, candidate: Candidate, bounds: Bounds, dagster_run: str | None = None) -> list[Verdict]:
    """Make every check of a candidate, and put the answers on record as those of a Dagster run.

    Raises
    ------
    InvalidValue
        If a bound is on a figure that the evaluation does not have.
    """
    known = {name for name, value in candidate.value.items() if value is None or isinstance(value, int | float)}
    for name in (*bounds.least, *bounds.most, *bounds.tolerance):
        if name not in known:
            raise InvalidValue(
                f"{candidate.evaluation} has no figure {name!r}", f"there are {', '.join(sorted(known))}"
            )
    verdicts = [_answered(name, home, candidate, bounds) for name in CHECK_NAMES]
    journal_at(home.journal).append(
        *(
            CheckMade(
                verdict.name,
                verdict.passed,
                candidate.model.run_id,
                CANDIDATE,
                details=verdict.details,
                parent_run_id=dagster_run,
            )
            for verdict in verdicts
        )
    )
    return verdicts


def refuse(candidate: Candidate, verdicts: list[Verdict]) -> None:
    """Refuse a candidate of which a check failed.

    Raises
    ------
    CheckFailed
        If one did; with check, figure and bound of each.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        raise CheckFailed(
            f"{candidate.model} is not promoted: {'; '.join(map(str, failed))}",
            f"{candidate.before or 'nothing'} stays in production",
        )


def promote(home: Home, candidate: Candidate) -> None:
    """Let the alias name the candidate, from where it was when the checks were made.

    Raises
    ------
    CheckFailed
        If it was moved since.
    """
    if candidate.moves:
        aliases.move(home, repository.version_of(candidate.model), ALIAS, replaces=candidate.move)


def _version(home: Home, model: Artifact) -> names.Version:
    found = queries.rows(
        home,
        "SELECT collection, version FROM versions ANTI JOIN deleted_versions USING (collection, version) "
        "WHERE digest = $digest AND NOT trial ORDER BY run_id IS NOT DISTINCT FROM $run DESC, time DESC LIMIT 1",
        {"digest": str(model.digest), "run": model.run_id},
    )
    if not found:
        raise InvalidValue(f"{model} has no version that no trial made", "train it without --trial")
    return names.version(home, found[0]["collection"], found[0]["version"])


def _answered(name: str, home: Home, candidate: Candidate, bounds: Bounds) -> Verdict:
    try:
        if name in CHECKS:
            with queries.connect(home) as connection:
                made = read_made(connection, candidate.model.digest, candidate.model.run_id)
            passed, details = CHECKS[name](home, made)
        else:
            passed, details = GATES[name](home, candidate, bounds)
    except ReproError as error:
        passed, details = False, {"reason": str(error)}
    return Verdict(name, passed, details)


def _evaluated(home: Home, candidate: Candidate, bounds: Bounds) -> Answer:
    """Find the record that this evaluation is of this model, on the data that is asked for."""
    made = _evaluations(home, candidate.model)
    own = [row for row in made if row["digest"] == str(candidate.evaluation.digest)]
    details = {"evaluation": str(candidate.evaluation.digest), "dataset": bounds.dataset}
    if any(row["collection"] == bounds.dataset for row in own):
        return True, {**details, "run": own[0]["run_id"]}
    on = f"on {own[0]['dataset_name'] or own[0]['dataset']}" if own else "of another model, or not on record"
    remedy = f"repro evaluate --model {candidate.model} --dataset {bounds.dataset}, and pin what it makes"
    return False, {
        **details,
        "reason": f"{candidate.evaluation} is {on}; an evaluation of {candidate.model} on {bounds.dataset} is needed: "
        f"{remedy}",
    }


def _good_enough(_: Home, candidate: Candidate, bounds: Bounds) -> Answer:
    """Hold the figures of the evaluation against their bounds."""
    figures: dict[str, Any] = {}
    failed: list[str] = []
    for word, allowed in (("at least", bounds.least), ("at most", bounds.most)):
        for name, bound in allowed.items():
            value = candidate.value[name]
            ends = candidate.value.get("intervals", {}).get(name)
            figures[name] = {"value": value, word: bound, "interval": ends}
            good = value is not None and (value >= bound if word == "at least" else value <= bound)
            if not good:
                failed.append(f"{name} is {_said(value)}{_ends(ends)}, {word} {bound:g} is asked for")
    return not failed, {"figures": figures, **({"reason": "; ".join(failed)} if failed else {})}


def _no_worse(home: Home, candidate: Candidate, bounds: Bounds) -> Answer:
    """Compare with the model that is in production, image by image."""
    before = candidate.before
    if before is None:
        return True, {"in production": None}
    if before.digest == candidate.model.digest:
        return True, {"in production": str(before), "same": True}
    own = {
        row["dataset"]
        for row in _evaluations(home, candidate.model)
        if row["digest"] == str(candidate.evaluation.digest)
    }
    theirs = [row for row in _evaluations(home, before) if row["dataset"] in own]
    if not theirs:
        return False, {
            "in production": str(before),
            "reason": f"{before}, which is in production, has no evaluation on the same data: "
            f"repro evaluate --model {before} --dataset {bounds.dataset}",
        }
    other = repository.by_digest(home, Digest.parse(theirs[0]["digest"]), name=theirs[0]["name"])
    compared = compare_evaluations(candidate.value, other.load())["figures"]
    figures: dict[str, Any] = {}
    failed: list[str] = []
    for name, tolerance in bounds.tolerance.items():
        found = compared.get(name)
        if found is None or found["difference"] is None:
            failed.append(f"{name} is not a figure of both evaluations")
            continue
        figures[name] = {**found, "tolerance": tolerance}
        low = name in bounds.most or lower_is_better(name)
        worst = found["high"] if low else -found["low"]
        if worst > tolerance:
            failed.append(
                f"{name} is {_said(found['one'])} and {_said(found['other'])} in production ({before}): the difference "
                f"is {found['difference']:+.4g}{_ends((found['low'], found['high']))}, at most {tolerance:g} worse is "
                "allowed"
            )
    details = {"in production": str(before), "evaluation": str(other.digest), "figures": figures}
    return not failed, {**details, **({"reason": "; ".join(failed)} if failed else {})}


def _evaluations(home: Home, model: Artifact | names.Version) -> list[dict[str, Any]]:
    return queries.rows(home, _MADE_ON, {"model": str(model.digest)})


def _said(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def _ends(ends: Sequence[float | None] | None) -> str:
    if not ends or None in ends:
        return ""
    return f" (95 % interval {ends[0]:.4g} to {ends[1]:.4g})"


GATES: dict[str, Callable[[Home, Candidate, Bounds], Answer]] = {
    "evaluated": _evaluated,
    "good_enough": _good_enough,
    "no_worse": _no_worse,
}
CHECK_NAMES = {name: (check.__doc__ or "").strip() for name, check in [*CHECKS.items(), *GATES.items()]}
"""Every check of a candidate, in the order in which they are made, and what it does."""
