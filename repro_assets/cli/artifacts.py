"""``repro artifacts``: put, list, show, get, alias, rollback, delete."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repro_assets.cli.options import ArtifactName, AsJson, Verbose

if TYPE_CHECKING:
    from repro_assets.journal.artifact_records import AliasMoved

app = typer.Typer(help="Artifacts: put files in, list, show, get them back, name and delete them.")

_LISTED = ("name", "version", "kind", "size", "parts", "digest", "aliases", "trial", "run_id", "time")
_LISTS = ("versions", "aliases", "made_by", "read_by", "entries")
_MOST_ROWS = 20


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
    from repro_assets.artifacts.names import check_new_name
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_line, short

    taken = take_in(here(make=True), path, check_new_name(name), type)
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
    every: Annotated[
        bool, typer.Option("--all", help="Also what describes runs: source trees, diffs, environment documents.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List artifacts, newest first, once for each version."""
    from repro_assets.catalog.descriptions import list_artifacts
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_json, print_table, short
    from repro_assets.wording import size

    found = list_artifacts(settled(), type, internal=every)
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
    from repro_assets.cli.rendering import cut, print_facts, print_json, print_line, print_table

    record = show_artifact(settled(), artifact)
    if as_json:
        print_json(record)
        return
    facts = {name: cut(value) for name, value in record.items() if name not in _LISTS}
    print_facts(facts, title=str(record["digest"]))
    for name in _LISTS:
        if record[name]:
            rows = [{column: cut(value) for column, value in row.items()} for row in record[name][:_MOST_ROWS]]
            print_table(rows, title=f"\n{name}")
            if len(record[name]) > _MOST_ROWS:
                print_line(f"{len(record[name]) - _MOST_ROWS} more {name} (all with --json)")


@app.command()
def get(
    artifact: ArtifactName,
    to: Annotated[Path, typer.Option(metavar="PATH", help="The file or folder to make.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there and differs.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Replay its run if its bytes were evicted.")] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Lay an artifact out as a file or a folder, every byte verified."""
    from repro_assets.artifacts.checkout import check_out
    from repro_assets.artifacts.repository import by_name
    from repro_assets.cli.answering import here, readable, say, settled
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.errors import MissingObject
    from repro_assets.wording import counted, size

    found = by_name(here(), artifact)
    if found is None:
        from repro_assets.catalog.naming import resolve_artifact

        found = resolve_artifact(readable(), artifact)
    replayed: list[str] = []
    if rebuild and not found.is_whole():
        from repro_assets.cli.progress import shown_log
        from repro_assets.orchestration.rebuilding import rebuild as make_again

        settled(to_write=True)
        with shown_log(verbose) as log:
            replayed = make_again(found, log=log)
        say(f"rebuilt by replaying {', '.join(replayed)}")
    try:
        done = check_out(found, to, force=force)
    except MissingObject as error:
        from repro_assets.artifacts.eviction import evicted_by

        run = evicted_by(found.home, found.digest)
        if run is None:
            raise
        raise MissingObject(
            f"the bytes of {found} were evicted; replaying run {run} makes them again",
            f"repro artifacts get {artifact} --to {to} --rebuild",
        ) from error
    if as_json:
        print_json({**dataclasses.asdict(done), "rebuilt_by": replayed})
    else:
        there = "" if done.changed else "  (was there already)"
        print_line(f"{done.path}  {counted(done.files, 'file')}, {size(done.bytes)}{there}")


@app.command()
def alias(
    artifact: ArtifactName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The alias: best, production, any word but latest.")],
    as_json: AsJson = False,
) -> None:
    """Let NAME@alias be this version from now on."""
    from repro_assets.artifacts import aliases
    from repro_assets.artifacts.repository import version_of
    from repro_assets.catalog.naming import resolve_artifact
    from repro_assets.cli.answering import here

    home = here()
    _print_move(aliases.move(home, version_of(resolve_artifact(home, artifact)), name), as_json)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="NAME@alias, or NAME where it has one alias.")],
    to: Annotated[
        str | None, typer.Option(metavar="ARTIFACT", help="Where to: v2, or NAME:v2; else where it was before.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move an alias back to what it named before."""
    from repro_assets.artifacts import aliases
    from repro_assets.artifacts.repository import version_of
    from repro_assets.catalog.naming import resolve_artifact
    from repro_assets.cli.answering import here
    from repro_assets.errors import AmbiguousName

    home = here()
    collection, separator, word = name.partition("@")
    if not separator:
        known = aliases.aliases_of(home, collection)
        if len(known) > 1:
            raise AmbiguousName(f"{collection} has the aliases {', '.join(known)}", f"write {collection}@{known[0]}")
        word = known[0] if known else ""
    if to is not None and re.fullmatch(r"v\d+", to):
        to = f"{collection}:{to}"
    target = None if to is None else version_of(resolve_artifact(home, to))
    _print_move(aliases.roll_back(home, collection, word, target), as_json)


@app.command()
def delete(
    artifacts: Annotated[list[str], typer.Argument(metavar="ARTIFACT...", help="NAME:v3, or NAME for the newest.")],
    force: Annotated[bool, typer.Option("--force", help="Also what an alias names.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete versions; collection takes the bytes that nothing else keeps."""
    from repro_assets.artifacts.deletion import delete_versions
    from repro_assets.artifacts.repository import version_of
    from repro_assets.catalog.naming import resolve_artifact
    from repro_assets.cli.answering import here, say
    from repro_assets.cli.rendering import print_json, print_table

    home = here()
    versions = [version_of(resolve_artifact(home, text)) for text in artifacts]
    done = delete_versions(home, [(version.collection, version.number) for version in versions], force=force)
    rows = [
        {
            "name": item.collection,
            "version": item.version,
            "digest": str(item.digest),
            "deleted": True,
            "kept_by": item.kept_by,
        }
        for item in done
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ("name", "version", "kept_by"))
        say("the bytes that nothing keeps are freed by: repro store gc --delete")


def _print_move(moved: AliasMoved, as_json: bool) -> None:
    from repro_assets.cli.rendering import print_json, print_line

    if as_json:
        print_json(
            {
                "name": moved.collection,
                "alias": moved.alias,
                "version": moved.version,
                "digest": moved.digest,
                "replaces": moved.replaces,
            }
        )
    else:
        print_line(f"{moved.collection}@{moved.alias} is {moved.collection}:v{moved.version}")
