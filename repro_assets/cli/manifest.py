"""``repro manifest``: create, verify, diff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from repro_assets.cli.options import AsJson

app = typer.Typer(help="Data manifests: what lies in a folder, hash by hash; verify it later, compare two.")

_MANIFEST = "A file that `repro manifest create` wrote."


@app.command()
def create(
    path: Annotated[Path, typer.Argument(help="A folder or a file.")],
    output: Annotated[Path | None, typer.Option(metavar="F", help="Write the manifest to this file.")] = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="G", help="Only what this pattern takes (as in .gitignore); repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="G", help="Nothing that this pattern takes; repeatable.")
    ] = None,
    max_files: Annotated[
        int | None, typer.Option(metavar="N", help="At most N files, the first by path; says how many are left out.")
    ] = None,
    hash_algorithm: Annotated[
        list[str] | None,
        typer.Option(metavar="A", help="md5, sha1, sha256 (if none is given) or sha512; repeatable, or a,b."),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="A word about the data; repeatable.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Say only what differs from this manifest.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hash a folder or a file; a file that cannot be read is an error entry, named on stderr."""
    from repro_assets.capture.data_manifest.creation import check_output, create_manifest, write_manifest
    from repro_assets.capture.data_manifest.document import document_of
    from repro_assets.cli.answering import say
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_facts, print_json

    if output is not None:
        check_output(output, base)
    with counter("files hashed") as progress:
        manifest = create_manifest(
            path,
            algorithms=[name.strip() for given in hash_algorithm or [] for name in given.split(",")],
            include=include or [],
            exclude=exclude or [],
            max_files=max_files,
            metadata=_pairs(metadata or []),
            base=base,
            output=output,
            progress=progress,
        )
    if output is not None:
        write_manifest(manifest, output)
    document = document_of(manifest)
    for error in document["errors"]:
        say(f"warning: {error['relative_path']!r}: {error['error']}")
    if as_json:
        print_json(document)
        return
    summary = document["summary"]
    print_facts(
        {
            "written to": output,
            "type": document["manifest_type"],
            "files": summary["total_files"],
            "size": summary["total_size_human"],
            "empty folders": summary["empty_folders"] or None,
            "links": summary["links"] or None,
            "sockets, FIFOs, devices": summary["others"] or None,
            "NOT READ": summary["errors"] or None,
            "left out by --max-files": document["left_out_files"] or None,
            "differ only in case": document["case_clashes"],
            "hashes": document["hash_algorithms"],
            **{name: _count(found) for name, found in document.get("changes", {}).items()},
            "seconds": summary["processing_time_seconds"],
            "digest": document["digest"],
        },
        title=document["data_path"],
    )
    if output is None:
        say("the manifest was not kept: --output writes it to a file, --json to stdout")


@app.command()
def verify(
    manifest: Annotated[Path, typer.Argument(help=_MANIFEST)],
    path: Annotated[Path | None, typer.Argument(help="Where the data are now, if not where they were.")] = None,
    as_json: AsJson = False,
) -> int:
    """Hold data against their manifest; exit code 1 if anything differs or cannot be read."""
    from repro_assets.capture.data_manifest.verification import FAILURES, verify_manifest
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_json, print_line, print_table

    with counter("files hashed") as progress:
        found = verify_manifest(manifest, path, progress)
    if as_json:
        print_json(found.document())
    else:
        for name in (*FAILURES, "notes"):
            _print_rows(name, getattr(found, name), print_table)
        print_line(f"{'valid' if found.valid else 'NOT VALID'}: {found.verified_files} files are as they were")
    return 0 if found.valid else 1


@app.command()
def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help=_MANIFEST)],
    other: Annotated[Path, typer.Argument(metavar="B", help=_MANIFEST)],
    as_json: AsJson = False,
) -> None:
    """Say what was added, removed, modified and renamed from one manifest to another; exit code 0 either way."""
    from repro_assets.capture.data_manifest.comparison import compare_manifests
    from repro_assets.cli.rendering import print_json, print_line, print_table

    found = compare_manifests(one, other)
    if as_json:
        print_json(found.document())
        return
    for name in ("added", "removed", "modified", "renamed", "permissions", "not_judged", "notes"):
        _print_rows(name, getattr(found, name), print_table)
    print_line(f"{'identical' if found.identical else 'different'}: {found.unchanged} entries are unchanged")


def _print_rows(name: str, rows: list[Any], print_table: Callable[..., None]) -> None:
    if rows:
        title = name.replace("_", " ")
        if isinstance(rows[0], str):
            print_table([{title: row} for row in rows])
        else:
            print_table(rows, title=title)


def _pairs(given: list[str]) -> dict[str, str]:
    from repro_assets.errors import InvalidValue

    found: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidValue(f"--metadata {text!r} has no name and value", "write --metadata NAME=VALUE")
        if found.setdefault(name, value) != value:
            raise InvalidValue(f"--metadata names {name!r} twice", "give one value")
    return found


def _count(found: int | list[Any]) -> int:
    return found if isinstance(found, int) else len(found)
