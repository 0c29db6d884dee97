"""Where two runs part as far as their records say: products, metrics step by step, and what may be the cause.

Laws: nothing is executed. Products that both made decide whether the runs are equal; where they made none in common,
their metrics do. Of metrics the first step is told at which one that both logged has another value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue
from repro_assets.inspection.comparison import compare_runs
from repro_assets.replay import undeclared
from repro_assets.store.home import Home

_CAUSES = ("config", "param", "setting", "mode", "hardware", "environment", "package", "input")
_ARGUMENTS = ("run", "arguments")
_METRICS = """
WITH points AS (
    SELECT run_id, name, step, row_number() OVER (PARTITION BY run_id, name, step ORDER BY time) AS nth, value
    FROM metrics WHERE run_id IN ($one, $other)
)
SELECT a.name, a.step, a.value IS NOT DISTINCT FROM b.value AS same
FROM points a JOIN points b ON a.name = b.name AND a.nth = b.nth AND a.step IS NOT DISTINCT FROM b.step
WHERE a.run_id = $one AND b.run_id = $other
ORDER BY a.step NULLS LAST, a.name
"""


@dataclass(frozen=True, slots=True)
class Parted:
    """Where the records of two runs part.

    Parameters
    ----------
    equal : bool
        Whether all that decides is.
    products : list of str
        Slots of what both made and is not equal.
    step : int or None
        The first step at which a metric differs; None where none does, and where it has no step.
    metrics : list of str
        Those that differ there.
    last_equal : int or None
        The last step before it at which all that both logged are equal.
    """

    equal: bool
    products: list[str] = field(default_factory=list)
    step: int | None = None
    metrics: list[str] = field(default_factory=list)
    last_equal: int | None = None


def parted(home: Home, one: str, other: str) -> Parted:
    """Compare what two runs made and logged.

    Raises
    ------
    InvalidValue
        If they have neither a product nor a metric in common.
    """
    slots, products = products_apart(home, one, other)
    points = queries.rows(home, _METRICS, {"one": one, "other": other})
    if not slots and not points:
        raise InvalidValue(
            f"runs {one} and {other} have neither fingerprints nor products nor metrics in common",
            f"repro runs compare {one} {other} shows what their records say",
        )
    step, metrics, last_equal = _first_metrics(points)
    return Parted(not (products if slots else metrics), products, step, metrics, last_equal)


def products_apart(home: Home, one: str, other: str) -> tuple[list[str], list[str]]:
    """Return the slots of what both runs made, and those among them whose contents are not equal."""
    made = [
        {
            str(row["slot"]): row["digest"]
            for row in queries.rows(home, "SELECT slot, digest FROM run_outputs WHERE run_id = $run", {"run": run})
        }
        for run in (one, other)
    ]
    slots = [slot for slot in made[0] if slot in made[1]]
    return slots, [slot for slot in slots if made[0][slot] != made[1][slot]]


def differences(home: Home, one: str, other: str) -> list[dict[str, Any]]:
    """Return what the records of two runs say that may be the cause: ``part``, ``name`` and ``values`` of each."""
    found = compare_runs(home, [one, other])
    told = [
        {"part": each.part, "name": each.name, "values": list(each.values)}
        for each in found.differences
        if each.part in _CAUSES or (each.part, each.name) == _ARGUMENTS
    ]
    code = [{"part": "code", "name": file.path, "values": [file.change]} for each in found.code for file in each.files]
    ours, theirs = undeclared.of_replays(home, [one]), undeclared.of_replays(home, [other])
    causes = undeclared.possible_causes(ours, theirs, called=(f"run {one}", f"run {other}"))
    beside = [
        {"part": f"undeclared {each['kind']}", "name": each["name"], "values": [each["why"]]}
        for each in causes
        if each["why"] != undeclared.SAME_FILE
    ]
    return [*code, *told, *beside]


def _first_metrics(points: queries.Rows) -> tuple[int | None, list[str], int | None]:
    """Return the first step at which metrics differ, which do, and the last step before it."""
    apart = [point for point in points if not point["same"]]
    if not apart:
        return None, [], None
    step = apart[0]["step"]
    steps = [point["step"] for point in points if point["step"] is not None]
    last_equal = max((each for each in steps if step is None or each < step), default=None)
    return step, list(dict.fromkeys(point["name"] for point in apart if point["step"] == step)), last_equal
