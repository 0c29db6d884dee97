"""``repro catalog``: rebuild, merge."""

from __future__ import annotations

from typing import Annotated

import typer

from repro_assets.cli.options import AsJson

app = typer.Typer(help="The catalog, a projection of the journal.")


@app.command()
def rebuild(as_json: AsJson = False) -> None:
    """Make the DuckDB file again from the whole journal."""
    from repro_assets.catalog.holdings import rebuild_counted
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_table

    done = rebuild_counted(here())
    if as_json:
        print_json(done)
    else:
        print_table([{"table": name, "rows": count} for name, count in done["tables"].items()])


@app.command()
def merge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be merged, and touch nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge the journal's files whose writers are gone; it happens by itself when there are many."""
    from repro_assets.catalog import merging
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_table

    done = merging.merge(here(), dry_run=dry_run).document()
    if as_json:
        print_json(done)
    else:
        print_table([{"what": name.replace("_", " "), "value": value} for name, value in done.items()])
