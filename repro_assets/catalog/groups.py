"""Runs grouped by what they have in common, seeds as replications: n, mean, spread, confidence interval.

Laws: completed runs count, and neither trials nor replays nor deleted runs unless that is asked for; work that was done
twice over (one reuse key) counts once, the newest; a value that is not finite is left out and counted; the spread of
one run is unknown, not 0. The figures are those of the view `study_metrics`, by the same macros.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from repro_assets.catalog import queries
from repro_assets.catalog.conditions import checked, said_of
from repro_assets.catalog.queries import Rows, near
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.store.home import Home
from repro_assets.wording import words

LEFT_OUT = {"trials": "trial", "replays": "replay_of IS NOT NULL", "deleted": "deleted"}
"""What does not count unless it is asked for, and the condition that tells it."""
FIGURES = ("n", "mean", "sd", "low", "high", "smallest", "greatest", "not_finite", "configs", "seeds")
_COLUMNS = (
    "asset", "partition", "job", "experiment", "recipe", "name", "seed", "device", "commit", "branch", "dirty",
    "code_version", "environment", "source", "capture_level", "run_kind", "trial", "state", "python", "torch", "cpu",
    "gpu", "note", "parent_run_id", "replay_of",
)  # fmt: skip

_GATHERED = {
    "tags": "list_sort(coalesce(tags, []))",
    "started_at": "started_at::DATE",
    "ended_at": "ended_at::DATE",
}
"""Columns of which what runs have in common is not the value as it is: a set, and the day."""


def group_runs(
    home: Home, by: Sequence[str], metrics: Sequence[str], *, include: Sequence[str] = (), where: str | None = None
) -> Rows:
    """Return the figures of metrics for each group of runs.

    Parameters
    ----------
    home : Home
        The store.
    by : sequence of str
        What the runs of a group have in common: columns of `runs_wide` (``tags`` as a sorted list, ``started_at`` and
        ``ended_at`` by their day, UTC), or hyperparameters, as ``learning_rate``, ``config.learning_rate`` or
        ``params.learning_rate``, with more dots for what is nested.
    metrics : sequence of str
        Names of metrics; their last values count.
    include : sequence of str
        Of ``trials``, ``replays`` and ``deleted``: what counts as well.
    where : str, optional
        An SQL condition over the columns of `runs_wide`.

    Returns
    -------
    list of dict
        One for each group and metric: the keys, ``metric``, ``n``, ``mean``, ``sd`` (of the sample; None for one run),
        ``low`` and ``high`` (95 % interval of the mean by Student's t; None for one run), ``smallest``, ``greatest``,
        ``not_finite`` (runs that were left out for it), ``configs`` (how many configs the group mixes,
        each asset's its own), ``seeds``.

    Raises
    ------
    UnknownName
        If no run has such a key or metric; near names are given.
    InvalidValue
        If a column is none that runs can have in common, a key or metric is missing or given twice, or the condition is
        not valid SQL.
    """
    for what, names in (("key", by), ("metric", metrics)):
        if not names:
            raise InvalidValue(f"no {what} is given", f"give --{'by' if what == 'key' else what}")
        twice = [name for name in names if list(names).count(name) > 1]
        if twice:
            raise InvalidValue(f"the {what} {twice[0]!r} is given twice", "give it once")
    taken = sorted({"metric", *FIGURES} & set(by))
    if taken:
        raise InvalidValue(f"{taken[0]!r} is a column of the answer", f"write it as config.{taken[0]}")
    unknown = [word for word in include if word not in LEFT_OUT]
    if unknown:
        raise InvalidValue(f"{unknown[0]!r} is not left out", f"one of {', '.join(LEFT_OUT)}")
    parameters: dict[str, Any] = {"metrics": list(metrics)}
    keys = [_key(name, number, parameters) for number, name in enumerate(by)]
    conditions = [f"NOT ({condition})" for word, condition in LEFT_OUT.items() if word not in include]
    conditions += ["state = 'COMPLETED'"] + ([checked(where)] if where is not None else [])
    with said_of(where):
        asked = queries.rows(home, _statement(keys, conditions), parameters)
    _check_known(home, by, metrics, asked)
    found = [
        {**{name: _plain(row[f"key_{n}"]) for n, name in enumerate(by)}, **{name: row[name] for name in _ANSWERED}}
        for row in asked
    ]
    return sorted(found, key=lambda row: [_order(row[name]) for name in by])


_ANSWERED = ("metric", *FIGURES)


def _statement(keys: list[str], conditions: list[str]) -> str:
    named = ", ".join(f"{key} AS key_{number}" for number, key in enumerate(keys))
    groups = ", ".join(f"key_{number}" for number in range(len(keys)))
    return f"""
        WITH chosen AS (
            SELECT run_id, {named}, seed, (asset, config::VARCHAR) AS config, started_at,
                coalesce(reuse_key, run_id) AS work
            FROM runs_wide WHERE {" AND ".join(conditions)}
        ), measured AS MATERIALIZED (
            SELECT chosen.*, m.name AS metric, m.value FROM chosen JOIN metrics_last m USING (run_id)
            WHERE list_contains($metrics, m.name)
        ), repeated AS (
            SELECT work FROM chosen GROUP BY work HAVING count(*) > 1
        ), counted AS (
            -- Few are repeated, and putting all in order takes most of the time where there are 100,000 runs.
            SELECT * FROM measured ANTI JOIN repeated USING (work)
            UNION ALL
            SELECT * FROM measured SEMI JOIN repeated USING (work)
            QUALIFY row_number() OVER (PARTITION BY {groups}, work, metric ORDER BY started_at DESC, run_id) = 1
        )
        SELECT {groups}, metric, count(*) FILTER (countable(value)) AS n,
            avg(value) FILTER (countable(value)) AS mean, stddev_samp(value) FILTER (countable(value)) AS sd,
            mean - half_interval(n, sd) AS low, mean + half_interval(n, sd) AS high,
            min(value) FILTER (countable(value)) AS smallest, max(value) FILTER (countable(value)) AS greatest,
            count(*) FILTER (NOT countable(value)) AS not_finite, count(DISTINCT config) AS configs,
            list(seed ORDER BY seed) FILTER (countable(value)) AS seeds
        FROM counted GROUP BY {groups}, metric ORDER BY list_position($metrics, metric)
    """


def _key(name: str, number: int, parameters: dict[str, Any]) -> str:
    if name in _GATHERED:
        return _GATHERED[name]
    if name in _COLUMNS:
        return f'"{name}"'
    source, _, rest = name.partition(".")
    if source not in ("config", "params") or not rest:
        source, rest = "", name
    path = "$" + "".join(f".{json.dumps(part)}" for part in rest.split("."))
    config, param = f"config_{number}", f"param_{number}"
    parts = []
    if source != "params":
        parameters[config] = path
        parts.append(f"json_extract_string(config, ${config})")
    if source != "config":
        parameters[param] = rest
        parts.append(f"(params[${param}] ->> '$')")
    return f"coalesce({', '.join(parts)})"


def _plain(value: Any) -> Any:
    """Return the value that the JSON text of a hyperparameter stands for; a text as it is."""
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, (int, float)) else value


def _order(value: Any) -> tuple[int, Any]:
    """Return what sorts numbers as numbers, before text, with nothing last."""
    if value is None:
        return 3, ""
    if isinstance(value, (bool, int, float)):
        return 0, value
    return (1, words(value)) if isinstance(value, (str, list)) else (2, str(value))


def _check_known(home: Home, by: Sequence[str], metrics: Sequence[str], found: Rows) -> None:
    """Refuse names that no run has: an empty answer, or a group of nothing, would look like a finding."""
    lacking = [metric for metric in metrics if metric not in {row["metric"] for row in found}]
    if lacking:
        names = [row["name"] for row in queries.rows(home, "SELECT DISTINCT name FROM metrics_last ORDER BY name")]
        unknown = [metric for metric in lacking if metric not in names]
        if unknown:
            raise UnknownName(f"no run has a metric named {unknown[0]!r}", near(unknown[0], names) or "see: repro sql")
    # A key of which some group has a value is one that some run has.
    valued = {number for number in range(len(by)) if any(row[f"key_{number}"] is not None for row in found)}
    columns = [*_COLUMNS, *_GATHERED]
    keys = [name for number, name in enumerate(by) if name not in columns and number not in valued]
    if not keys:
        return
    known = known_keys(home)
    for name in keys:
        bare = name.partition(".")[2] if name.partition(".")[0] in ("config", "params") else name
        if bare not in known and name not in known:
            others = [row["column_name"] for row in queries.rows(home, "DESCRIBE runs_wide")]
            if name in others:
                raise InvalidValue(
                    f"runs are not grouped by their {name}",
                    f"group by a hyperparameter, as config.NAME or params.NAME, or by one of {', '.join(columns)}",
                )
            raise UnknownName(f"no run has a key named {name!r}", near(name, [*known, *columns]) or "see: repro sql")


def known_keys(home: Home) -> list[str]:
    """Return the names of all hyperparameters, nested ones with dots."""
    found = queries.rows(
        home,
        "SELECT name FROM (SELECT DISTINCT replace(replace(j.fullkey, '$.', ''), '\"', '') AS name "
        "FROM (SELECT DISTINCT config FROM runs), json_tree(config) j WHERE j.fullkey <> '$' "
        "UNION SELECT DISTINCT name FROM params) ORDER BY name",
    )
    return [row["name"] for row in found]
