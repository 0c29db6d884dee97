"""``repro store``: stats, fsck, push, pull, remote."""

from __future__ import annotations

from typing import Annotated

import typer

from repro_assets.cli import remote, repack, room
from repro_assets.cli.options import AsJson

app = typer.Typer(help="The object store: what it holds, whether it is whole, what it can let go, and its remotes.")
app.command("du")(room.du)
app.command("gc")(room.gc)
app.command("evict")(room.evict)
app.command("policy")(room.policy)
app.command("repack")(repack.repack)
app.command()(remote.push)
app.command()(remote.pull)
app.add_typer(remote.app, name="remote")


@app.command()
def stats(as_json: AsJson = False) -> None:
    """Count objects and bytes, and artifacts by kind."""
    from repro_assets.catalog.holdings import store_statistics
    from repro_assets.cli.answering import readable
    from repro_assets.cli.rendering import print_facts, print_json, print_table
    from repro_assets.wording import size

    found = store_statistics(readable())
    if as_json:
        print_json(found)
        return
    print_facts(
        {
            "objects": found["objects"],
            "stored": size(found["bytes"]),
            "logical": size(found["logical_bytes"]),
            "packs": found["packs"],
            "quarantined": found["quarantined"],
            "unfinished": found["unfinished"],
        }
    )
    if found["artifacts"]:
        print_table([{**row, "logical_bytes": size(row["logical_bytes"])} for row in found["artifacts"]])


@app.command()
def fsck(
    full: Annotated[bool, typer.Option("--full", help="Hash every byte with SHA-256, on all cores.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where an interrupted full check would go on.")
    ] = False,
    repair: Annotated[
        str | None, typer.Option(metavar="REMOTE", help="Fetch what is damaged or missing from there.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check every object, pack, artifact, version and line of the journal; exit code 1 if something is wrong.

    With --full also every byte of every object, and the catalog.
    """
    from repro_assets.artifacts.mending import check_and_repair
    from repro_assets.artifacts.soundness import check_store
    from repro_assets.catalog.checking import with_catalog
    from repro_assets.cli.answering import here
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.store.layout import RESTORE

    home = here()
    with counter("objects checked") as progress:
        if repair is None:
            mended, found = None, check_store(home, full=full, restart=restart, progress=progress)
        else:
            mended, found = check_and_repair(home, repair, full=full, progress=progress)
        if full:
            found = with_catalog(home, found)
    if as_json:
        print_json({**found.document(), **(mended.document() if mended else {})})
    else:
        if mended is not None:
            print_line(f"{len(mended.repaired)} objects repaired from {mended.remote}")
            if mended.lost:
                print_table(mended.lost, title="lost")
        for title in ("corrupt", "missing", "packs", "files", "journal", "claims", "rebuilt"):
            rows = getattr(found, title)
            if rows:
                print_table(rows, title=title)
        how = " in full" if full else " (contents not hashed; --full does)"
        resumed = f" ({found.resumed} of them before it was interrupted)" if found.resumed else ""
        packs = f" and {found.packs_checked} packs" if found.packs_checked else ""
        looked_at = f"{found.checked} objects{packs} checked{how}{resumed}"
        print_line(f"{'ok' if found.ok else 'NOT OK'}: {looked_at}")
        if found.corrupt:
            print_line(f"damaged objects that are read are set aside in {home.quarantine}")
            print_line(f"to restore them: {RESTORE}")
        elif found.missing:
            print_line(f"to restore what is missing: {RESTORE}")
    return 0 if found.ok else 1
