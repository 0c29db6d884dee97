"""``repro init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repro_assets.cli.options import AsJson


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where; REPRO_HOME, or data beside the project or here, if left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a store, or find the one that is there."""
    import os

    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.errors import NoStore
    from repro_assets.store.home import MARKER, VARIABLE, find_store, make_store

    if folder is None and os.environ.get(VARIABLE):
        folder = Path(os.environ[VARIABLE])
    try:
        home = find_store(make=True) if folder is None else make_store(folder)
    except NoStore:
        home = make_store(Path("data"))
    if as_json:
        print_json({"path": home.root, "marker": home.root / MARKER})
    else:
        print_line(f"store: {home.root}")
