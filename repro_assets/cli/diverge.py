"""``repro diverge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repro_assets.cli.options import AsJson, Verbose

if TYPE_CHECKING:
    from repro_assets.replay.diverging import Divergence

_CODES = {"identical": 0, "equivalent": 0, "diverged": 1}


def diverge(
    a: Annotated[str, typer.Argument(metavar="A", help="A run, or what one made.")],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Another; left out, A is executed twice and compared.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(metavar="T", min=0.0, help="Relative error that counts as equivalent.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw how the error grows.")] = None,
    execute: Annotated[bool, typer.Option(help="Execute both again to look closer.")] = True,
    timeout: Annotated[
        float | None, typer.Option(metavar="S", min=0.001, help="Seconds after which an execution is ended.")
    ] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Where two runs part: the first step, quantity, tensor, op and source line that differ."""
    from repro_assets.catalog.makers import resolve_maker
    from repro_assets.cli.answering import INTERRUPTED, say, say_error, settled, stopped_like_ctrl_c
    from repro_assets.cli.progress import shown_log
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.replay import diverging, growth_plot

    if plot is not None:
        growth_plot.check_plot(plot)
    home = settled(to_write=True)
    one = resolve_maker(home, a)
    other = None if b is None else resolve_maker(home, b)
    stopped_like_ctrl_c()
    try:
        with shown_log(verbose) as log:
            found = diverging.diverge(
                home,
                one,
                other,
                tolerance=tolerance,
                grow=plot is not None,
                execute=execute,
                timeout=timeout,
                log=log,
                told=say,
            )
    except KeyboardInterrupt:
        say_error("the comparison was interrupted; the records of what was executed are kept (see: repro runs list)")
        return INTERRUPTED
    if plot is not None:
        growth_plot.write_plot(plot, found.growth, found.op_growth, " and ".join(found.runs))
    if as_json:
        print_json(found.document())
        return _CODES[found.verdict]
    if found.differences:
        rows = [{**each, "values": " | ".join(map(str, each["values"]))} for each in found.differences]
        print_table(rows, ("part", "name", "values"), title="what the records say differs")
    for line in lines_of(found):
        print_line(line)
    return _CODES[found.verdict]


def lines_of(found: Divergence) -> list[str]:
    """Return the answer as a person reads it, a line for each thing that is known."""
    known = {name: getattr(found, name) for name in _LINES if getattr(found, name) is not None}
    first = found.verdict + (f": {found.reason}" if found.reason else "")
    lines = [f"{_LINES[name]}: {value}" for name, value in known.items() if name != "reason"]
    logged = [
        f"{each}: {', '.join(names)}" for each, names in found.quantities.items() if each in ("metric", "product")
    ]
    return [first, *lines, *logged]


_LINES = {
    "reason": "",
    "first_step": "first step that differs",
    "last_equal_step": "last step before it that is equal",
    "first_quantity": "what differs first",
    "tensor": "tensor",
    "max_abs_error": "its greatest absolute error",
    "max_relative_error": "greatest relative error",
    "found": "found as",
    "op": "op",
    "argument": "its input",
    "phase": "phase",
    "module": "module",
    "source_line": "source line",
    "forward_line": "line of its forward op",
}
