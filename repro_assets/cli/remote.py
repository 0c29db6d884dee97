"""``repro store push`` and ``pull``; ``repro store remote``: add, list, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from repro_assets.cli.options import AsJson

if TYPE_CHECKING:
    from repro_assets.artifacts.exchange import Exchange

app = typer.Typer(help="Remotes that have a name in this store.")

RemoteName = Annotated[
    str | None,
    typer.Argument(
        metavar="REMOTE",
        help="A name, s3://bucket/prefix, gs://…, az://…, or a folder (with a /); the default remote if none.",
    ),
]


def push(
    remote: RemoteName = None,
    artifacts: Annotated[
        list[str] | None, typer.Argument(metavar="ARTIFACT", help="What to send; everything and the journal if none.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read everything back, and mend what is wrong.")] = False,
    as_json: AsJson = False,
) -> int:
    """Send what a remote does not have; exit code 1 if something could not be sent or is in conflict."""
    from repro_assets.artifacts import sharing
    from repro_assets.catalog.naming import resolve_artifact
    from repro_assets.cli.answering import here
    from repro_assets.cli.progress import counter
    from repro_assets.store.remote.configured import find_remote

    home = here()
    address = find_remote(home, remote)
    chosen = [resolve_artifact(home, text).digest for text in artifacts] if artifacts else None
    with counter("objects sent") as progress:
        done = sharing.push(home, address, chosen, verify=verify, progress=progress)
    return _answer(done, "sent to", as_json=as_json)


def pull(
    remote: RemoteName = None,
    artifacts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARTIFACT",
            help="NAME, NAME:v3, a digest, or 8 or more of its digits; everything and the journal if none.",
        ),
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="Only versions and journal; objects come when they are read.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Fetch what this store does not have, verified; exit code 1 if something could not come or is in conflict."""
    from repro_assets.artifacts import sharing
    from repro_assets.cli.answering import here
    from repro_assets.cli.progress import counter
    from repro_assets.store.remote.configured import find_remote

    home = here(make=True)
    address = find_remote(home, remote)
    with counter("objects fetched") as progress:
        done = sharing.pull(home, address, artifacts or None, records_only=records, progress=progress)
    return _answer(done, "fetched from", as_json=as_json)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is called in this store.")],
    url: Annotated[str, typer.Argument(help="s3://bucket/prefix, gs://…, az://…, file:///folder, or a folder.")],
    default: Annotated[
        bool,
        typer.Option(
            "--default", help="For push and pull without REMOTE; objects that are read and missing come from it."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give a remote a name. Credentials stay in the environment."""
    import dataclasses

    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.store.remote.configured import add_remote

    added = add_remote(here(make=True), name, url, default=default)
    if as_json:
        print_json(dataclasses.asdict(added))
    else:
        print_line(f"{added.name}  {added.url}{'  (default)' if added.default else ''}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the remotes that have a name."""
    import dataclasses

    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_table
    from repro_assets.store.remote.configured import list_remotes

    rows = [dataclasses.asdict(remote) for remote in list_remotes(here())]
    if as_json:
        print_json(rows)
    else:
        print_table(rows)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Its name in this store.")],
    as_json: AsJson = False,
) -> None:
    """Forget the name of a remote; what is in it stays."""
    import dataclasses

    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.store.remote.configured import remove_remote

    removed = remove_remote(here(), name)
    if as_json:
        print_json(dataclasses.asdict(removed))
    else:
        print_line(f"{removed.name} is forgotten; {removed.url} was not touched")


def _answer(done: Exchange, word: str, *, as_json: bool) -> int:
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.wording import size

    if as_json:
        print_json(done.document())
    else:
        for title in ("conflicts", "failed", "evicted"):
            if rows := getattr(done, title):
                print_table(rows, title=title)
        print_line(
            f"{done.objects} objects ({size(done.bytes)}), {done.names} versions and {done.segments} journal segments "
            f"{word} {done.remote}; {done.skipped} objects were there already"
        )
        if done.evicted:
            print_line("what was evicted is made again by: repro artifacts get ARTIFACT --to PATH --rebuild")
    return 0 if done.ok else 1
