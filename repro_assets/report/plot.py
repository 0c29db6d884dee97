"""The plot of a paper: each metric's curves, means over seeds with their spread, or its last values.

Laws: equal records give equal bytes; a metric of which no run has two points is drawn as last values; a curve's places
are the steps of the runs where these are equal, else 200 between the first and the last.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from repro_assets.report.groups import Group
from repro_assets.report.points import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES = 200
_COLUMNS = 2


def plot(groups: Sequence[Group], curves: Sequence[Curve], metrics: Sequence[str]) -> bytes:
    """Return the plot as a PDF, one panel for each metric.

    Parameters
    ----------
    groups : sequence of Group
        What is drawn, each with a colour of its own.
    curves : sequence of Curve
        Exact points of the groups' runs.
    metrics : sequence of str
        The panels, in order; one or more.
    """
    from matplotlib.figure import Figure

    rows = -(-len(metrics) // _COLUMNS)
    wide = min(len(metrics), _COLUMNS)
    figure = Figure(figsize=(3.6 * wide, 2.7 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, wide, squeeze=False).flatten()
    points = {(curve.run_id, curve.name): curve for curve in curves}
    labels: dict[str, Any] = {}
    for axis, metric in zip(axes, metrics, strict=False):
        having = [
            group for group in groups if any(item["name"] == metric for run in group.runs for item in run["metrics"])
        ]
        for group in having:
            labels.setdefault(group.label, f"C{len(labels)}")
        lines = [(group, _lines(group, points, metric)) for group in having]
        if any(len(steps) > 1 for _, of_group in lines for steps, _ in of_group):
            for group, of_group in lines:
                _band(axis, of_group, labels[group.label])
            axis.set_xlabel("step", fontsize=8)
        else:
            _dots(axis, having, metric, labels)
        axis.set_title(_plain(metric), fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[len(metrics) :]:
        axis.set_axis_off()
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=color) for color in labels.values()]
    if handles:
        named = [_plain(label if len(label) <= 70 else f"{label[:69]}…") for label in labels]
        figure.legend(handles, named, loc="outside lower center", ncols=1 if len(named) < 9 else 2, fontsize=6)
    buffer = io.BytesIO()
    # A date would be another one each time.
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Title": "curves"})
    return buffer.getvalue()


def _lines(group: Group, points: dict[tuple[str, str], Curve], metric: str) -> list[tuple[Any, Any]]:
    import numpy

    found = []
    for run in group.runs:
        curve = points.get((run["run_id"], metric))
        if curve is not None:
            sound = numpy.isfinite(curve.step) & numpy.isfinite(curve.value)
            found.append((curve.step[sound], curve.value[sound]))
    return [line for line in found if len(line[0])]


def _band(axis: Axes, lines: Sequence[tuple[Any, Any]], color: str) -> None:
    import numpy

    if not lines:
        return
    first = lines[0][0]
    if all(numpy.array_equal(steps, first) for steps, _ in lines):
        places, values = first, numpy.array([line for _, line in lines])
    else:
        places = numpy.linspace(min(steps[0] for steps, _ in lines), max(steps[-1] for steps, _ in lines), PLACES)
        values = numpy.array([numpy.interp(places, *line, left=numpy.nan, right=numpy.nan) for line in lines])
    number = (~numpy.isnan(values)).sum(axis=0)
    kept = number > 0
    places, values, number = places[kept], values[:, kept], number[kept]
    mean = numpy.nansum(values, axis=0) / number
    spread = numpy.sqrt(numpy.nansum((values - mean) ** 2, axis=0) / numpy.maximum(number - 1, 1))
    axis.plot(places, mean, color=color, linewidth=1.2, marker="." if len(places) == 1 else None)
    axis.fill_between(places, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)


def _dots(axis: Axes, groups: Sequence[Group], metric: str, labels: dict[str, Any]) -> None:
    for place, group in enumerate(groups):
        values = [item["value"] for run in group.runs for item in run["metrics"] if item["name"] == metric]
        axis.plot([place] * len(values), values, ".", color=labels[group.label])
    axis.set_xticks([])


def _plain(text: str) -> str:
    # Dollar signs would begin a formula.
    return text.replace("$", r"\$")
