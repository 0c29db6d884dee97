"""The run table: one column for each fact, parameter, metric and reading that any run has.

Laws: a column holds one value for each run, in the order of the runs, None where there is none; a column is there
because a run has it, and none is left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from repro_assets.catalog.queries import Rows
from repro_assets.report.groups import group_runs
from repro_assets.report.reading import Reading, flat

Column = dict[str, Any]
SHOWN_METRICS = 4
INTERVAL = re.compile("/(low|high)$")
"""Names of the ends of intervals, which stand beside the metric itself."""
_FACTS: tuple[tuple[str, str, Callable[[dict[str, Any]], Any]], ...] = (
    ("name", "text", lambda run: run["name"] or run["run_id"]),
    ("run", "text", lambda run: run["run_id"]),
    ("asset", "text", lambda run: run["asset"]),
    ("partition", "text", lambda run: run["partition"]),
    ("state", "text", lambda run: run["state"]),
    ("seed", "number", lambda run: run["seed"]),
    ("started", "time", lambda run: run["started_at"]),
    ("seconds", "number", lambda run: run["seconds"]),
    ("replay verdict", "text", lambda run: run["verdict"]),
    ("failed checks", "number", lambda run: sum(not check["passed"] for check in run["checks"]) or None),
    ("kind", "text", lambda run: run["run_kind"]),
    ("recipe", "text", lambda run: run["recipe"]),
    ("job", "text", lambda run: run["job"]),
    ("experiment", "text", lambda run: run["experiment"]),
    ("tags", "text", lambda run: ", ".join(run["tags"] or []) or None),
    ("note", "text", lambda run: run["notes"][0]["text"] or None if run["notes"] else None),
    ("trial", "text", lambda run: "yes" if run["trial"] else None),
    ("replay of", "text", lambda run: run["replay_of"]),
    ("parent run", "text", lambda run: run["parent_run_id"]),
    ("device", "text", lambda run: run["device"]),
    ("commit", "text", lambda run: run["commit"]),
    ("branch", "text", lambda run: run["branch"]),
    ("dirty", "text", lambda run: None if run["dirty"] is None else "yes" if run["dirty"] else "no"),
    ("error", "text", lambda run: run["error_type"]),
)
_SHOWN = ("name", "asset", "state", "seed", "started", "seconds", "replay verdict")


def columns(reading: Reading) -> list[Column]:
    """Return the columns of the run table.

    Returns
    -------
    list of dict
        ``key``, ``label``, ``part`` (run, config, param, metric or system), ``kind`` (text, number or time), ``shown``
        and ``values``.
    """
    found = [
        _column("run", name, kind, [of_run(run) for run in reading.runs], shown=name in _SHOWN)
        for name, kind, of_run in _FACTS
    ]
    hardware = [_hardware(reading, run) for run in reading.runs]
    groups = {run["run_id"]: group.label for group in group_runs(reading.runs) for run in group.runs}
    found.append(_column("run", "hardware", "text", hardware))
    found.append(_column("run", "group", "text", [groups.get(run["run_id"]) for run in reading.runs]))
    main = _main_metrics(reading.runs)
    for part, of_run in _PARTS.items():
        cells: defaultdict[str, list[Any]] = defaultdict(lambda: [None] * len(reading.runs))
        for row, run in enumerate(reading.runs):
            for name, value in of_run(run):
                cells[name][row] = value
        for name in sorted(cells):
            numeric = all(
                value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
                for value in cells[name]
            )
            values = cells[name] if numeric else [_text(value) for value in cells[name]]
            shown = part == "metric" and name in main
            found.append(_column(part, name, "number" if numeric else "text", values, shown=shown))
    some = {"name", "run", "group", "state"}
    return [column for column in found if column["label"] in some or any(cell is not None for cell in column["values"])]


_PARTS: dict[str, Callable[[dict[str, Any]], list[tuple[str, Any]]]] = {
    "config": lambda run: flat(run["config"] or {}),
    "param": lambda run: [leaf for item in run["params"] for leaf in flat(item["value"], item["name"])],
    "metric": lambda run: [(item["name"], item["value"]) for item in run["metrics"]],
    "system": lambda run: [
        (f"{item['name']} ({word})", item[part])
        for item in run["system"]
        for word, part in (("mean", "mean"), ("max", "greatest"))
    ],
}


def _column(part: str, name: str, kind: str, values: list[Any], *, shown: bool = False) -> Column:
    return {"key": f"{part}/{name}", "label": name, "part": part, "kind": kind, "shown": shown, "values": values}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _hardware(reading: Reading, run: dict[str, Any]) -> str | None:
    environment = reading.environments.get(run["environment"])
    return None if environment is None else environment["gpu"] or environment["cpu"]


def _main_metrics(runs: Rows) -> set[str]:
    """Return the metrics that most runs have; those that are the same in all of them tell nothing."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        for item in run["metrics"]:
            if not INTERVAL.search(item["name"]):
                values[item["name"]].append(item["value"])
    ranked = sorted(values, key=lambda name: (len(set(values[name])) == 1, -len(values[name]), name.count("/"), name))
    return set(ranked[:SHOWN_METRICS])
