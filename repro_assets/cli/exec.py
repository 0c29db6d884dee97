"""``repro exec``: track an unmodified command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repro_assets.cli.options import AsJson


def exec_(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD [ARGS]...", help="The command, after two dashes.")],
    name: Annotated[str | None, typer.Option(metavar="S", help="What the run is called; else the program.")] = None,
    project: Annotated[str | None, typer.Option(metavar="S", help="What it belongs to.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag; repeatable.")] = None,
    input: Annotated[
        list[Path] | None,
        typer.Option(metavar="P", help="A file or folder that it reads, beside files among its words; repeatable."),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="What it makes, beside files among its words; repeatable."),
    ] = None,
    capture_level: Annotated[str, typer.Option(metavar="L", help="basic, standard or complete.")] = "standard",
    as_json: AsJson = False,
) -> int:
    """Execute a command as it is and record it: words, folder, variables, console, exit code, inputs, outputs."""
    import sys

    from repro_assets.capture.level import Level
    from repro_assets.cli.answering import here, say, say_error
    from repro_assets.cli.rendering import print_json
    from repro_assets.tracking.command import Command, execute
    from repro_assets.wording import counted

    asked = Command(command, name, project, tag or [], input or [], output or [], Level.parse(capture_level))
    # With --json, stdout is one document.
    stdout = sys.stderr.buffer if as_json else sys.stdout.buffer
    done = execute(here(make=True), asked, stdout=stdout, stderr=sys.stderr.buffer)
    if as_json:
        print_json(
            {
                "run_id": done.run_id,
                "state": done.state,
                "exit_code": done.exit_code,
                "reason": done.reason,
                "products": [
                    {"name": slot, "digest": str(item.digest), "kind": item.kind}
                    for slot, item in done.products.items()
                ],
            }
        )
    for line in done.warnings:
        say(f"note: {line}")
    if done.reason is not None:
        say_error(done.reason)
    made = counted(len(done.products), "product")
    if not done.products and not output:
        made += "; --output PATTERN keeps what it makes"
    say(f"run {done.run_id}: {done.state}, {made} (see: repro runs show {done.run_id})")
    return done.exit_code
