"""``repro ui``."""

from __future__ import annotations

from typing import Annotated

import typer


def ui(
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Serve Dagster's pages on 127.0.0.1: the asset graph, runs, and what each asset is."""
    from repro_assets.cli.answering import here, say
    from repro_assets.orchestration.serving import serve

    home = here(make=True)
    say(f"http://127.0.0.1:{port}  (store: {home.root})")
    serve(home, port)
