"""``repro checkout``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repro_assets.cli.options import AsJson, RunName


def checkout(
    run: RunName,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="An empty folder, or one that is not there yet.")],
    as_json: AsJson = False,
) -> None:
    """Lay out source, inputs, products, environment and configuration of a run, and say what executes it; no more."""
    from repro_assets.catalog.makers import resolve_maker
    from repro_assets.cli.answering import readable, say
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.replay.checkout import check_out_run
    from repro_assets.wording import counted

    home = readable()
    made = check_out_run(home, resolve_maker(home, run), to)
    for note in made.notes:
        say(f"note: {note}")
    if as_json:
        print_json(made.document())
        return
    inputs, products = counted(len(made.inputs), "input"), counted(len(made.products), "product")
    print_line(f"run {made.run_id} is in {made.path}: {inputs}, {products}")
    if made.command:
        say(f"execute it again with: {made.command}")
