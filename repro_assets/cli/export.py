"""``repro export`` and ``repro import``: runs and artifacts as what other programs, people and stores read."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from repro_assets.cli.options import AsJson
from repro_assets.interchange.formats import EXPORTS as FORMATS
from repro_assets.interchange.formats import IMPORTS


def export(
    to: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="The file, or the folder to write it into: a name without an ending. MLflow and OpenLineage: "
            "also an address.",
        ),
    ],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN|ARTIFACT]...", help="What to export.", show_default=False)
    ] = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Also the runs with this condition over the columns of runs_wide.")
    ] = None,
    with_environment: Annotated[
        bool, typer.Option("--with-environment", help="With the packages of the environments, from pip.")
    ] = False,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Without hosts, accounts, homes, remotes and device ids.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write runs or artifacts in another format; exit code 1 if bytes of them are gone.

    bundle is all that a replay needs, card a model or data card.
    """
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.interchange import formats
    from repro_assets.interchange.subjects import asked_for

    home = settled()
    asked = asked_for(home, names or (), where)
    with counter("objects written") as progress:
        done = formats.export(
            *asked,
            to=to,
            format=format,
            home=home,
            force=force,
            with_environment=with_environment,
            anonymize=anonymize,
            progress=progress,
        )
    if as_json:
        written = dataclasses.asdict(done)
        print_json({**written.pop("facts"), **written})
    else:
        print_line(f"{done.path}  {done.name}")
        for note in done.notes:
            say(f"note: {note}")
    return 0 if done.verified else 1


def import_(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="The file or folder; of a tool with a server also its address.")
    ],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(IMPORTS)}.")] = "bundle",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Verify it, tell what would come, write nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Take a file into the store, once all of it is verified; exit code 1 if a version is another artifact here."""
    from repro_assets.cli.answering import here
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.errors import NoStore
    from repro_assets.interchange import formats

    try:
        home = here(make=not dry_run)
    except NoStore:
        if not dry_run:
            raise
        home = None
    with counter("objects stored") as progress:
        done = formats.take_in(path, format, home=home, dry_run=dry_run, progress=progress)
    if as_json:
        print_json(done.document())
    else:
        if done.conflicts:
            print_table(done.conflicts, title="conflicts")
        for line in done.told():
            print_line(line)
    return 0 if done.ok else 1
