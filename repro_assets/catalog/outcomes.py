"""What became of a request: the run that answered it, and what that run measured.

Law: every answer is that of the catalog as it is now; what is not on record is None or empty.
"""

from __future__ import annotations

import json
from typing import Any

from repro_assets.catalog.queries import connect, read_rows, rows
from repro_assets.store.home import Home


def begun_under(home: Home, parent: str | None, asset: str | None = None) -> str | None:
    """Return the newest run that began under a parent run.

    Parameters
    ----------
    home : Home
        The store.
    parent : str, optional
        Id of the parent run.
    asset : str, optional
        Key of the asset that the run is of; of any if left out.
    """
    found = rows(
        home,
        "SELECT run_id FROM runs WHERE parent_run_id = $parent AND asset = coalesce($asset, asset) "
        "ORDER BY started_at DESC LIMIT 1",
        {"parent": parent, "asset": asset},
    )
    return str(found[0]["run_id"]) if found else None


def of_training(home: Home, run_id: str | None) -> dict[str, Any]:
    """Return seed, last metrics and what a training goes on from.

    Parameters
    ----------
    home : Home
        The store.
    run_id : str, optional
        The training; None where none began.

    Returns
    -------
    dict
        ``seed``; ``metrics``, name to last value, those of the runs that it continued included; ``resumed``, None or
        ``run_id``, ``checkpoint`` and ``step``.
    """
    with connect(home) as connection:
        seeds, last, resumed = (
            read_rows(connection, sql, {"run": run_id})
            for sql in (
                "SELECT seed FROM runs WHERE run_id = $run",
                "SELECT name, last(value ORDER BY step NULLS FIRST, time) AS value FROM curves "
                "WHERE run_id = $run GROUP BY name ORDER BY name",
                "SELECT resumed_run_id AS run_id, checkpoint, step FROM resumes WHERE run_id = $run ORDER BY time DESC",
            )
        )
    return {
        "seed": seeds[0]["seed"] if seeds else None,
        "metrics": {row["name"]: row["value"] for row in last},
        "resumed": resumed[0] if resumed else None,
    }


def of_filtering(home: Home, run_id: str) -> dict[str, Any]:
    """Return what a filter counted: ``kept``, ``dropped`` by reason, and the ``columns_left_out`` of its file."""
    metrics = rows(home, "SELECT name, value FROM metrics_last WHERE run_id = ? ORDER BY name", [run_id])
    left_out = rows(home, "SELECT value FROM params WHERE run_id = ? AND name = 'columns_left_out'", [run_id])
    counted = {row["name"]: int(row["value"]) for row in metrics if row["name"] == "kept" or "dropped/" in row["name"]}
    return {
        "kept": counted.pop("kept"),
        "dropped": {name.removeprefix("dropped/"): count for name, count in counted.items()},
        "columns_left_out": json.loads(left_out[0]["value"]) if left_out else [],
    }


def newest_made_from(home: Home, collection: str, digest: str) -> str | None:
    """Return the digest of the newest product of a collection whose run read an artifact."""
    found = rows(
        home,
        "SELECT o.digest FROM run_outputs o JOIN run_inputs i USING (run_id) "
        "WHERE o.collection = ? AND i.digest = ? ORDER BY o.time DESC LIMIT 1",
        [collection, digest],
    )
    return str(found[0]["digest"]) if found else None
