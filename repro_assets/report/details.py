"""What a page needs to compare one run with others, and its exact points.

Law: one list of facts for each run, each with the part of the record that it belongs to, so a comparison is a matter of
equal names and needs no knowledge of records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro_assets.report.points import Curve
from repro_assets.report.reading import Reading, flat

_RUN = (
    "name", "asset", "partition", "recipe", "run_kind", "job", "experiment", "state", "seed", "device",
    "capture_level", "seconds", "trial", "replay_of", "error_type", "error_message",
)  # fmt: skip
_CODE = ("commit", "branch", "dirty", "source", "code_version")
_MACHINE = ("python", "implementation", "torch", "cuda", "os", "cpu", "gpu", "logical_cores", "memory_bytes")


def details_of(
    reading: Reading, run: Mapping[str, Any], curves: Sequence[Curve], system: Sequence[Curve]
) -> dict[str, Any]:
    """Return the data of a run's page.

    Returns
    -------
    dict
        ``facts``, each ``[part, name, value]``; ``environment``, its digest; ``started`` in seconds since 1970, or
        None; ``curves``, ``system`` with all their points; ``events``, each ``[step, name]``.
    """
    found: list[tuple[str, str, Any]] = [("run", name, run[name]) for name in _RUN]
    found += [("code", name, run[name]) for name in _CODE]
    found += [("config", *leaf) for leaf in flat(run["config"] or {})]
    found += [("param", *leaf) for item in run["params"] for leaf in flat(item["value"], item["name"])]
    found += [("metric", item["name"], item["value"]) for item in run["metrics"]]
    for item in run["evaluations"]:
        found += [("evaluation", *leaf) for leaf in flat(item["metrics"] or {})]
    found += [("setting", *leaf) for leaf in flat(run["settings"] or {})]
    environment = reading.environments.get(run["environment"], {})
    found += [("machine", name, environment.get(name)) for name in _MACHINE]
    found += [("variable", *leaf) for leaf in flat(environment.get("variables") or {})]
    for part, rows in (("input", run["inputs"]), ("output", run["outputs"])):
        found += [(part, _slot(item), item["digest"]) for item in rows]
    found += [("check", item["name"], item["passed"]) for item in run["checks"]]
    found += [("machine meanwhile", f"{item['name']} (mean)", item["mean"]) for item in run["system"]]
    return {
        "facts": [fact for fact in found if fact[2] is not None],
        "environment": run["environment"],
        "started": start_of(run),
        "curves": [curve.document() for curve in curves],
        "system": [curve.document() for curve in system],
        "events": [[item["step"], item["event"]] for item in run["events"] if item["step"] is not None],
    }


def start_of(run: Mapping[str, Any]) -> float | None:
    """Return when a run started, seconds since 1970."""
    from datetime import UTC

    started = run["started_at"]
    return None if started is None else float(started.replace(tzinfo=UTC).timestamp())


def _slot(item: Mapping[str, Any]) -> str:
    return f"{item['slot']}[{item['partition']}]" if item["partition"] else str(item["slot"])
