"""``repro ui``."""

from __future__ import annotations

from typing import Annotated

import typer


def ui(
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Serve Dagster's pages on 127.0.0.1: the asset graph, runs, and what each asset is."""
    from repro_assets.capture.project import project_root
    from repro_assets.cli.answering import here, say
    from repro_assets.orchestration.serving import check_free, definitions_of, serve

    root = project_root()
    definitions_of(root)
    check_free(port)
    home = here(make=True)
    if (root / "dagster.yaml").is_file():
        say(f"Dagster's settings are those of {home.dagster / 'dagster.yaml'}, not of the file in this folder.")
    say(f"http://127.0.0.1:{port}  (store: {home.root})")
    serve(home, port)
