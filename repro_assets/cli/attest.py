"""``repro attest RUN...``, ``attest keygen`` and ``attest verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from repro_assets.cli.options import AsJson

_OF_RUNS = "RUN"


class _Attest(TyperGroup):
    """A group whose first word may be a run; a run of the name of a command is meant by its id."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [_OF_RUNS, *args]
        found: list[str] = super().parse_args(ctx, args)
        return found


app = typer.Typer(
    cls=_Attest,
    help="Sign what runs made, and from what. repro attest RUN... --key FILE [--to FILE] [--force] [--json]",
)


@app.command(_OF_RUNS, hidden=True)
def attest(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="An id, 8 or more of its digits, a name, last.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The private key.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write; RUN.intoto.json here if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Sign an in-toto statement of runs: their products, what they were made from, verdicts of replays."""
    import dataclasses

    from repro_assets.catalog.queries import resolve_run
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.interchange import attestation
    from repro_assets.wording import counted

    home = settled()
    ids = list(dict.fromkeys(resolve_run(home, run) for run in runs))
    done = attestation.attest(home, ids, key, to or Path(f"{ids[0][:8]}.intoto.json"), force=force)
    if as_json:
        print_json({**dataclasses.asdict(done), "verified": True})
        return
    signed, products = counted(len(done.runs), "run"), counted(len(done.subjects), "product")
    print_line(f"{done.path}  {signed}, {products}, key {done.keyid[:16]}")


@app.command()
def keygen(
    to: Annotated[
        Path,
        typer.Option(metavar="PATH", help="The file of the private key, or a folder; the public one ends in .pub."),
    ],
    as_json: AsJson = False,
) -> None:
    """Make an Ed25519 key in two files; the private one is readable by you alone."""
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.interchange import signing

    made = signing.make_key(to)
    if as_json:
        print_json({"private_key": made.private, "public_key": made.public, "keyid": made.keyid})
        return
    print_line(f"{made.private}  keep it secret")
    print_line(f"{made.public}  give it to whoever verifies; key {made.keyid[:16]}")


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The attestation.")],
    public_key: Annotated[Path, typer.Option(metavar="FILE", help="The public key of whoever is said to have signed.")],
    as_json: AsJson = False,
) -> int:
    """Verify a signature without a network or a store; products that the store here has are hashed again."""
    from repro_assets.cli.answering import say_error
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.errors import NoStore
    from repro_assets.interchange import attestation
    from repro_assets.store.home import find_store
    from repro_assets.wording import counted

    try:
        home = find_store()
    except NoStore:
        home = None
    found = attestation.verify(path, public_key, home)
    if as_json:
        print_json(found.document())
    else:
        for subject in found.subjects:
            stored = {True: "in this store, verified", False: "IN THIS STORE, OTHER BYTES", None: "not in this store"}
            print_line(f"{subject['name']}  {subject['digest']}  {stored[subject['stored']]}")
        for replay in found.replays:
            print_line(f"replay of {replay['run']}  {replay['verdict']}")
    if not found.verified:
        say_error(str(found.reason))
        return 1
    if not as_json:
        print_line(f"verified: signed by {found.keyid[:16]}, {counted(len(found.runs), 'run')}")
    return 0
