"""``repro artifacts``: put, list, show, get."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from repro_assets.cli.options import ArtifactName, AsJson

app = typer.Typer(help="Artifacts: put files in, list, show, get them back.")

_LISTED = ("name", "version", "kind", "size", "parts", "digest", "aliases", "trial", "run_id", "time")
_LISTS = ("versions", "aliases", "made_by", "read_by", "entries")


@app.command()
def put(
    path: Annotated[Path, typer.Argument(help="A file or a folder.")],
    name: Annotated[str, typer.Option(help="The name under which it gets a version.")],
    type: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="tree, bytes, table (csv, parquet, jsonl) or json; by what PATH is if left out."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store a file or a folder as the next version of a name."""
    from repro_assets.artifacts.intake import take_in
    from repro_assets.catalog.naming import check_name
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_line, short

    taken = take_in(here(make=True), path, check_name(name), type)
    artifact = taken.artifact
    if as_json:
        print_json(
            {
                "name": artifact.collection,
                "version": artifact.version,
                "digest": str(artifact.digest),
                "kind": artifact.kind,
                "reused": taken.reused,
            }
        )
    else:
        print_line(f"{artifact}  {short(artifact.digest)}{'  (the newest version already)' if taken.reused else ''}")


@app.command("list")
def list_(
    type: Annotated[
        str | None, typer.Option(metavar="T", help="A kind (table, …) or the first word of names (model, …).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List artifacts, newest first, once for each version."""
    from repro_assets.catalog.descriptions import list_artifacts
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_json, print_table, short, size

    found = list_artifacts(settled(), type)
    if as_json:
        print_json(found)
    else:
        print_table(
            [
                {**row, "digest": short(row["digest"]), "size": size(row["size"]), "trial": row["trial"] or None}
                for row in found
            ],
            _LISTED,
        )


@app.command()
def show(artifact: ArtifactName, as_json: AsJson = False) -> None:
    """Show the whole record of an artifact."""
    from repro_assets.catalog.descriptions import show_artifact
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import cut, print_facts, print_json, print_table

    record = show_artifact(settled(), artifact)
    if as_json:
        print_json(record)
        return
    facts = {name: cut(value) for name, value in record.items() if name not in _LISTS}
    print_facts(facts, title=str(record["digest"]))
    for name in _LISTS:
        if record[name]:
            rows = [{column: cut(value) for column, value in row.items()} for row in record[name]]
            print_table(rows, title=f"\n{name}")


@app.command()
def get(
    artifact: ArtifactName,
    to: Annotated[Path, typer.Option(metavar="PATH", help="The file or folder to make.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there and differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Lay an artifact out as a file or a folder, every byte verified."""
    from repro_assets.artifacts.checkout import check_out
    from repro_assets.catalog.naming import resolve_artifact
    from repro_assets.cli.answering import readable
    from repro_assets.cli.rendering import print_json, print_line, size

    done = check_out(resolve_artifact(readable(), artifact), to, force=force)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        print_line(
            f"{done.path}  {done.files} files, {size(done.bytes)}{'' if done.changed else '  (was there already)'}"
        )
