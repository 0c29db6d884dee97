"""``repro catalog``: rebuild."""

from __future__ import annotations

import typer

from repro_assets.cli.options import AsJson

app = typer.Typer(help="The catalog, a projection of the journal.")


@app.callback()
def _group() -> None:
    # With a callback the group stays a group while it has one command.
    pass


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
