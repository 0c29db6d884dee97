"""The error between two executions as a plot: over the steps, and over the ops of the first step that differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repro_assets.errors import InvalidInput, InvalidValue, from_os_error
from repro_assets.replay.errors_between import Grown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".pdf", ".svg")


def check_plot(path: Path) -> Path:
    """Return the path of a plot.

    Raises
    ------
    InvalidValue
        If its suffix is none of a plot.
    InvalidInput
        If its folder is not there, or it is a folder itself.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidValue(f"{path} is no name for a plot", f"end it in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder", "name a file")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"{path} cannot be written: its folder is not there", "name a file in a folder that is there"
        )
    return path


def write_plot(path: Path, steps: Sequence[Grown], ops: Sequence[Grown], title: str) -> None:
    """Write the plot.

    Raises
    ------
    MachineError
        If it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2)
    for quantity in dict.fromkeys(one.what for one in steps):
        points = [one for one in steps if one.what == quantity and one.absolute > 0]
        if points:
            above.plot([one.step for one in points], [one.absolute for one in points], marker=".", label=quantity)
    _finish(above, "step", bool(above.lines))
    shown = [one for one in ops if one.absolute > 0]
    below.plot([one.place for one in shown], [one.absolute for one in shown], ".", color="black")
    if shown:
        below.annotate(
            f"{shown[0].what}\n{shown[0].source_line or ''}", (shown[0].place, shown[0].absolute), fontsize=8
        )
        _finish(below, f"op of step {shown[0].step}", legend=False)
    figure.suptitle(title)
    try:
        figure.savefig(path)
    except OSError as error:
        raise from_os_error(error, path) from error


def _finish(axes: Axes, over: str, legend: bool) -> None:
    axes.set_xlabel(over)
    axes.set_ylabel("greatest absolute error")
    if axes.lines:
        axes.set_yscale("log")
    if legend:
        axes.legend()
