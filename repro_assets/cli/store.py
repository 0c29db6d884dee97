"""``repro store``: stats, fsck."""

from __future__ import annotations

from typing import Annotated

import typer

from repro_assets.cli.options import AsJson

app = typer.Typer(help="The object store: how much it holds, and whether it is whole.")


@app.command()
def stats(as_json: AsJson = False) -> None:
    """Count objects and bytes, and artifacts by kind."""
    from repro_assets.catalog.holdings import store_statistics
    from repro_assets.cli.answering import readable
    from repro_assets.cli.rendering import print_facts, print_json, print_table, size

    found = store_statistics(readable())
    if as_json:
        print_json(found)
        return
    print_facts(
        {
            "objects": found["objects"],
            "stored": size(found["bytes"]),
            "logical": size(found["logical_bytes"]),
            "quarantined": found["quarantined"],
            "unfinished": found["unfinished"],
        }
    )
    if found["artifacts"]:
        print_table([{**row, "logical_bytes": size(row["logical_bytes"])} for row in found["artifacts"]])


@app.command()
def fsck(
    full: Annotated[bool, typer.Option("--full", help="Hash every byte with SHA-256.")] = False,
    as_json: AsJson = False,
) -> int:
    """Check every object, artifact, version and line of the journal; exit code 1 if something is wrong."""
    from repro_assets.artifacts.soundness import check_store
    from repro_assets.cli.answering import here
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_json, print_line, print_table

    home = here()
    with counter("objects checked") as progress:
        found = check_store(home, full=full, progress=progress)
    if as_json:
        print_json(found.document())
    else:
        for title in ("corrupt", "missing", "journal", "claims"):
            rows = getattr(found, title)
            if rows:
                print_table(rows, title=title)
        how = " in full" if full else " (contents not hashed; --full does)"
        print_line(f"{'ok' if found.ok else 'NOT OK'}: {found.checked} objects checked{how}")
        if found.corrupt:
            print_line(f"damaged objects that are read are set aside in {home.quarantine}")
            print_line("restore them from a copy, or make them again: repro replay RUN")
        elif found.missing:
            print_line("pull what is missing, or make it again: repro replay RUN")
    return 0 if found.ok else 1
