"""Groups of runs as a table for a paper.

Laws: whatever stands in a name or a value, LaTeX shows it as it is and executes nothing of it; a figure is written as
its mean and half the width of its 95 % interval, both to the place of the interval's second digit; n stands with every
figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from repro_assets.inspection.latex import escape
from repro_assets.wording import words


def latex_table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """Return groups as a ``tabular`` in the manner of the package booktabs.

    Parameters
    ----------
    rows : sequence of mappings
        What `catalog.groups.group_runs` returns.
    keys : sequence of str
        Names of the keys, in order; a group is a line, and each metric a column.
    """
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    groups: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(repr([row[key] for key in keys]), {})[row["metric"]] = row
    head = " & ".join([*map(escape, keys), *map(escape, metrics)])
    mixed = any(row["configs"] > 1 for row in rows)
    runs = "runs, of several configs or assets where a group mixes them" if mixed else "runs, one for each seed"
    lines = [
        f"% Mean and half the width of its 95 % confidence interval by Student's t; n: {runs}.",
        "% Needs \\usepackage{booktabs}.",
        f"\\begin{{tabular}}{{{'l' * len(keys)}{'r' * len(metrics)}}}",
        "\\toprule",
        f"{head} \\\\",
        "\\midrule",
        *(
            " & ".join([*_names(figures, keys), *(_figure(figures.get(metric)) for metric in metrics)]) + " \\\\"
            for figures in groups.values()
        ),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _names(figures: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    row = next(iter(figures.values()))
    return [_cell(row[key]) for key in keys]


def _cell(value: Any) -> str:
    if value is None:
        return "--"
    return escape(f"{value:g}" if isinstance(value, float) else words(value) if isinstance(value, list) else value)


def _figure(row: Mapping[str, Any] | None) -> str:
    if row is None or row["mean"] is None:
        return "--"
    mean, n = float(row["mean"]), f"\\,(n={row['n']})"
    if row["low"] is None:
        return f"${_decimal(mean, 4)}{n}$"
    half = (float(row["high"]) - float(row["low"])) / 2
    if half == 0 or not math.isfinite(half):
        return f"${_decimal(mean, 4)} \\pm {_decimal(half, 1)}{n}$"
    places = 1 - math.floor(math.log10(half))
    if 0 <= places <= 6:
        return f"${mean:.{places}f} \\pm {half:.{places}f}{n}$"
    exponent = math.floor(math.log10(max(abs(mean), half)))
    scale, places = 10.0**exponent, max(0, places + exponent)
    return f"$({mean / scale:.{places}f} \\pm {half / scale:.{places}f}) \\times 10^{{{exponent}}}{n}$"


def _decimal(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    mantissa, separator, exponent = text.partition("e")
    return f"{mantissa} \\times 10^{{{int(exponent)}}}" if separator else text
