"""The command `repro`: parsing, one call of a lower layer, rendering.

Law: importing this module loads neither torch, dagster, pandas, pyarrow nor duckdb; each command imports what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from repro_assets.cli import artifacts, catalog, doctor, init, lineage, manifest, replay, run, runs, sql, store, ui
from repro_assets.cli.answering import exit_code_of

app = typer.Typer(
    name="repro",
    help="Machine-learning results that are traceable, findable and provably reproducible.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("run")(run.run)
app.add_typer(runs.app, name="runs")
app.command("sql")(sql.sql)
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(lineage.app, name="lineage")
app.add_typer(manifest.app, name="manifest")
app.command("replay")(replay.replay)
app.add_typer(store.app, name="store")
app.add_typer(catalog.app, name="catalog")
app.command("ui")(ui.ui)
app.command("doctor")(doctor.doctor)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"repro {version('repro-assets')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute a command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``repro``; those of this process if left out.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code_of(lambda: app(words, prog_name="repro", standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main())
