"""``repro export`` and ``repro import``: runs and artifacts as what other programs, people and stores read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from repro_assets.cli.options import AsJson
from repro_assets.interchange.formats import EXPORTS as FORMATS
from repro_assets.interchange.formats import IMPORTS


def export(
    names: Annotated[list[str], typer.Argument(metavar="RUN|ARTIFACT...", help="What to export.")],
    to: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="The file to write, or the folder to write it into: a name without an ending."
        ),
    ],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")],
    with_environment: Annotated[
        bool, typer.Option("--with-environment", help="With the packages of the environments, from pip.")
    ] = False,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Without hosts, accounts, homes, remotes and device ids.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write runs or artifacts in another format: bundle is all that a replay needs, card a model or data card."""
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.interchange import formats

    with counter("objects written") as progress:
        done = formats.export(
            format,
            formats.Request(settled(), tuple(names), to, force, with_environment, anonymize, progress),
        )
    if as_json:
        written = dataclasses.asdict(done)
        written.pop("notes")
        print_json({**written.pop("facts"), **written})
        return
    print_line(f"{done.path}  {done.name}")
    for note in done.notes:
        say(f"note: {note}")


def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file.")],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(IMPORTS)}.")] = "bundle",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Verify it, tell what would come, write nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Take a file into the store, once all of it is verified; exit code 1 if a version is another artifact here."""
    from repro_assets.cli.answering import here
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_json, print_line, print_table, size
    from repro_assets.errors import NoStore
    from repro_assets.interchange import formats

    try:
        home = here(make=not dry_run)
    except NoStore:
        if not dry_run:
            raise
        home = None
    with counter("objects stored") as progress:
        done = formats.take_in(format, home, path, dry_run=dry_run, progress=progress)
    if as_json:
        print_json(done.document())
    else:
        if done.conflicts:
            print_table(done.conflicts, title="conflicts")
        word = "would come" if done.dry_run else "came"
        print_line(
            f"{done.path} is verified: {len(done.runs)} runs, {done.records} records, {len(done.versions)} versions "
            f"and {done.objects} objects ({size(done.bytes)}) {word}; {done.skipped} objects were there already"
        )
    return 0 if done.ok else 1
