"""Where two runs part: from their fingerprints, then by executing both again and looking closer.

Laws: what is recorded is asked first, and nothing is executed where it says enough; both are executed again as they
were recorded, from the last checkpoint that both have or from the start; what was not found is null and not guessed. A
difference that does not show again when both are executed again is told as that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from repro_assets.catalog import queries
from repro_assets.determinism.probe import Orders
from repro_assets.determinism.quantities import RNG
from repro_assets.errors import InvalidValue, ReproError
from repro_assets.replay import by_records, compare, divergence, errors_between, looking
from repro_assets.replay.divergence import FirstDifference, FirstOp, Key
from repro_assets.replay.errors_between import Grown
from repro_assets.replay.looking import Seen, Trained
from repro_assets.replay.records import Asked
from repro_assets.store.home import Home

TRACED_STEPS = 32
"""Where the difference is known to lie in so many steps, all of them are traced at once."""
KEPT_STEPS = 64
"""About so many steps of a window have their values kept."""
_SHARED = """
WITH had AS (
    SELECT run_id, step, digest FROM checkpoints c WHERE run_id IN ($one, $other)
    AND NOT EXISTS (SELECT 1 FROM deleted_checkpoints d WHERE d.run_id = c.run_id AND d.name = c.name)
    UNION SELECT run_id, step, digest FROM resumes WHERE run_id IN ($one, $other)
)
SELECT a.step, a.digest FROM had a JOIN had b USING (digest, step)
WHERE a.run_id = $one AND b.run_id = $other AND a.step < $before ORDER BY a.step DESC LIMIT 1
"""
"""Checkpoints that both runs saved or went on from."""


@dataclass(slots=True)
class Divergence:
    """The answer; see docs/diverge.md for its members."""

    verdict: str
    runs: list[str]
    first_step: int | None = None
    first_quantity: str | None = None
    tensor: str | None = None
    max_abs_error: float | None = None
    op: str | None = None
    source_line: str | None = None
    last_equal_step: int | None = None
    quantities: dict[str, list[str]] = field(default_factory=dict)
    found: str | None = None
    argument: str | None = None
    phase: str | None = None
    module: str | None = None
    forward_line: str | None = None
    again: bool | None = None
    reason: str | None = None
    tolerance: float | None = None
    max_relative_error: float | None = None
    differences: list[dict[str, Any]] = field(default_factory=list)
    growth: list[Grown] = field(default_factory=list)
    op_growth: list[Grown] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the JSON answer of the command line."""
        return asdict(self)


@dataclass(slots=True)
class _Pair:
    """Two runs that are executed again, in a folder for all that is seen."""

    home: Home
    asked: tuple[Asked, Asked]
    trained: tuple[Trained, Trained]
    work: Path
    timeout: float | None
    log: IO[bytes] | None
    told: Callable[[str], None]
    times: int = 0

    def look(self, orders: Orders) -> tuple[Seen, Seen]:
        """Execute both."""
        self.times += 1
        found = []
        for number, (asked, trained) in enumerate(zip(self.asked, self.trained, strict=True)):
            until = "the end" if orders.last is None else f"step {orders.last}"
            self.told(f"executing run {asked.run_id} again up to {until}")
            work = self.work / f"{self.times}-{number}"
            found.append(
                looking.look(self.home, asked, trained.original, work, orders, timeout=self.timeout, log=self.log)
            )
        return found[0], found[1]


def diverge(
    home: Home,
    one: str,
    other: str | None = None,
    *,
    tolerance: float | None = None,
    grow: bool = False,
    execute: bool = True,
    timeout: float | None = None,
    log: IO[bytes] | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Divergence:
    """Say where two runs part.

    Parameters
    ----------
    home : Home
        The store.
    one, other : str
        Ids of runs; without `other`, `one` is executed twice and compared with itself.
    tolerance : float, optional
        Greatest error relative to the greatest magnitude of a tensor that counts as equivalent.
    grow : bool
        Follow the error to the end of the runs, as a tolerance does.
    execute : bool
        Execute both again where the record does not say enough.
    timeout : float, optional
        Seconds after which an execution is ended.
    log : file, optional
        Where the output of executions goes.
    told : callable
        Is told what is being done.

    Raises
    ------
    InvalidValue
        If there is nothing to compare: one run without a training, or that cannot be executed again, or two that have
        neither fingerprints nor products nor metrics in common.
    ReplayFailed, CheckFailed
        If an execution takes too long, or shows nothing.
    """
    alone = other is None
    trained = looking.training_of(home, one), looking.training_of(home, one if other is None else other)
    for each in trained if other is not None else trained[:1]:
        if each.training != each.run_id:
            told(f"run {each.run_id} recorded the training {each.training}, which is compared")
    one, second = (each.training for each in trained)
    if alone:
        second = _newest_replay(home, one) or one
    fingerprints = [_recorded(home, run) for run in (one, second)]
    recorded = divergence.first_difference(*fingerprints)
    shared = set(divergence.steps_of(fingerprints[0])) & set(divergence.steps_of(fingerprints[1]))
    answer = Divergence(compare.DIVERGED, [one, second], tolerance=tolerance)
    if second != one:
        answer.differences = by_records.differences(home, one, second)
    if recorded is not None:
        _tell_first(answer, recorded)
    elif alone:
        _check_alone(one, execute=execute, has_steps=bool(fingerprints[0]))
    elif shared:
        return _equal_so_far(home, answer, one, second)
    elif not (execute and all(fingerprints)):
        return _by_records(home, answer, "they share no fingerprints")
    if not execute:
        return answer
    try:
        pair_of = looking.executable(home, trained[0]), looking.executable(home, trained[1])
    except ReproError as error:
        reason = f"neither was executed again: {error.message}"
        if recorded is not None:
            answer.reason = reason
            return answer
        if alone:
            raise
        return _by_records(home, answer, reason)
    steps = max((step for side in fingerprints for step, _, _ in side), default=0)
    with tempfile.TemporaryDirectory(prefix="repro-diverge-") as folder:
        pair = _Pair(home, pair_of, trained, Path(folder), timeout, log, told)
        _look_closer(pair, answer, recorded, steps, whole=grow or tolerance is not None)
    return answer


def _check_alone(run: str, *, execute: bool, has_steps: bool) -> None:
    """Refuse a run that cannot be compared with itself."""
    if not execute:
        raise InvalidValue(f"run {run} is compared with itself by executing it", "leave out --no-execute")
    if not has_steps:
        raise InvalidValue(
            f"run {run} recorded no training",
            f"repro replay {run} compares what it makes; for a closer look have its code begin an Experiment and call "
            "its watch(model, optimizer)",
        )


def _look_closer(pair: _Pair, answer: Divergence, recorded: FirstDifference | None, steps: int, *, whole: bool) -> None:
    last = recorded.step if recorded is not None and not whole else None
    found = recorded
    begin, checkpoint = _beginning(pair.home, answer.runs, recorded)
    first = max(begin, (recorded and recorded.last_equal) or 0)
    if whole or (steps if last is None else last) - first > TRACED_STEPS or not steps:
        every = max(1, ((last or steps) - begin) // KEPT_STEPS)
        seen = pair.look(Orders("", begin, last, every=every, checkpoint=checkpoint))
        found = _between(*seen)
        answer.again = found is not None
        if whole:
            folders = seen[0].folder, seen[1].folder
            answer.growth = errors_between.grown_over_steps(seen[0].fingerprints, seen[1].fingerprints, folders)
        if found is None:
            _tell_equal(answer, recorded)
            return
        _tell_first(answer, found)
        _tell_error(answer, found, *seen)
        last = found.step
        begin, checkpoint = _beginning(pair.home, answer.runs, found)
        first = max(begin, found.last_equal or 0)
    # What differs before the first step is met by an op of that one.
    last = None if last is None else max(last, 1)
    traced = pair.look(Orders("", first, last, trace=first + 1, every=1, checkpoint=checkpoint))
    _tell_traced(answer, *traced)
    _tell_verdict(answer)


def between(one: Seen, other: Seen) -> Divergence:
    """Say where two executions part of which all was seen, ops included."""
    answer = Divergence(compare.DIVERGED, [])
    _tell_traced(answer, one, other)
    return answer


def _beginning(home: Home, runs: list[str], found: FirstDifference | None) -> tuple[int, str | None]:
    """Return the step to begin after, and the checkpoint of it; the start is step 0 without a checkpoint."""
    if found is None:
        return 0, None
    rows = queries.rows(home, _SHARED, {"one": runs[0], "other": runs[1], "before": found.step})
    return (int(rows[0]["step"]), str(rows[0]["digest"])) if rows else (0, None)


def _tell_first(answer: Divergence, found: FirstDifference) -> None:
    answer.first_step, answer.last_equal_step = found.step, found.last_equal
    answer.quantities = found.quantities
    answer.first_quantity, answer.tensor = found.quantity, found.tensor


def _tell_equal(answer: Divergence, recorded: FirstDifference | None) -> None:
    if recorded is None:
        answer.verdict = compare.IDENTICAL
    else:
        answer.reason = "executed again, both came to equal bits: the difference is not in what was recorded of them"


def _tell_traced(answer: Divergence, one: Seen, other: Seen) -> None:
    found = _between(one, other)
    traced = [{row["step"] for row in seen.ops} for seen in (one, other)]
    # One that was resumed makes fewer steps. What differs before the first one has not changed what a step hands on.
    steps = {step for step in traced[0] & traced[1] if found is None or step >= found.step}
    op = divergence.first_op(*([row for row in seen.ops if row["step"] in steps] for seen in (one, other)))
    answer.again = found is not None or op is not None
    if found is not None:
        _tell_first(answer, found)
        _tell_error(answer, found, one, other)
    if op is not None:
        _tell_op(answer, op, one, other)
    if not answer.again:
        _tell_equal(answer, None if answer.first_step is None else FirstDifference(answer.first_step, None, {}))


def _tell_op(answer: Divergence, op: FirstOp, one: Seen, other: Seen) -> None:
    answer.found, answer.op, answer.source_line = op.kind, op.op, op.source_line
    answer.argument, answer.phase, answer.module = op.argument, op.phase, op.module
    answer.forward_line = op.forward_line
    folders = one.folder, other.folder
    answer.op_growth = errors_between.grown_over_ops(one.ops, other.ops, folders)
    if op.tensor is not None and op.kind != divergence.OTHER_OP:
        answer.tensor = op.tensor


def _tell_error(answer: Divergence, found: FirstDifference, one: Seen, other: Seen) -> None:
    if found.quantity == RNG:
        return
    place = found.step, found.quantity, found.tensor
    rows = [_row_of(seen, place) for seen in (one, other)]
    if rows[0] is None or rows[1] is None:
        return
    values = [errors_between.Values(seen.folder).read(row) for seen, row in zip((one, other), rows, strict=True) if row]
    if values[0] is None or values[1] is None:
        return
    apart = errors_between.apart(values[0], values[1])
    if apart is not None:
        answer.max_abs_error, answer.max_relative_error = apart.absolute, apart.relative


def _tell_verdict(answer: Divergence) -> None:
    if answer.tolerance is None or not answer.growth:
        return
    measured = [grown for grown in answer.growth if grown.what in ("loss", "output", "parameter")]
    answer.max_relative_error = max((grown.relative for grown in measured), default=None)
    if answer.max_relative_error is not None and answer.max_relative_error <= answer.tolerance:
        answer.verdict = compare.EQUIVALENT


def _between(one: Seen, other: Seen) -> FirstDifference | None:
    return divergence.first_difference(divergence.keyed(one.fingerprints), divergence.keyed(other.fingerprints))


def _row_of(seen: Seen, place: Key) -> dict[str, Any] | None:
    return next((row for row in seen.fingerprints if (row["step"], row["quantity"], row["tensor"]) == place), None)


def _recorded(home: Home, run_id: str) -> dict[Key, str]:
    return divergence.keyed(
        queries.rows(home, "SELECT step, quantity, tensor, xxh3 FROM fingerprints WHERE run_id = $run", {"run": run_id})
    )


def _newest_replay(home: Home, run_id: str) -> str | None:
    found = queries.rows(
        home,
        "SELECT run_id FROM runs WHERE replay_of = $run AND state = 'COMPLETED' "
        "AND run_id IN (SELECT run_id FROM fingerprints) ORDER BY started_at DESC LIMIT 1",
        {"run": run_id},
    )
    return str(found[0]["run_id"]) if found else None


def _equal_so_far(home: Home, answer: Divergence, one: str, other: str) -> Divergence:
    """Of runs whose fingerprints are all equal, look at what they made."""
    _, differing = by_records.products_apart(home, one, other)
    if differing:
        answer.reason = f"every fingerprint that both have is equal, and the product {', '.join(differing)} is not"
        answer.first_quantity = "product"
    else:
        answer.verdict = compare.IDENTICAL
    return answer


def _by_records(home: Home, answer: Divergence, reason: str) -> Divergence:
    """Of runs whose steps cannot be looked at, look at what they logged and made."""
    found = by_records.parted(home, *answer.runs)
    answer.reason = f"{reason}, so what they logged and made is compared"
    if found.equal:
        answer.verdict = compare.IDENTICAL
        return answer
    names = {"metric": found.metrics, "product": found.products}
    answer.quantities = {quantity: each for quantity, each in names.items() if each}
    answer.first_step, answer.last_equal_step = found.step, found.last_equal
    answer.first_quantity = next(iter(answer.quantities))
    return answer
