"""``repro export``: a run or an artifact as what other programs, and people, read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli.options import AsJson
from repro_assets.errors import InvalidInput, InvalidValue, MissingObject, ReusedElsewhere

if TYPE_CHECKING:
    from repro_assets.store.home import Home


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """What was written; `verified` says whether every byte of what it is about is there and hashes to its digest."""

    path: Path
    format: str
    name: str
    digest: str
    verified: bool
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def _card(home: Home, name: str, to: Path, force: bool) -> Exported:
    from repro_assets.cards.card import render
    from repro_assets.cards.provenance import card_file
    from repro_assets.cards.records import opened
    from repro_assets.cards.subject import subject_of
    from repro_assets.store import outside

    with opened(home) as records:
        subject = subject_of(records, name)
        path = _file(to, card_file(subject.name))
        _check(path, force)
        written = render(records, subject)
    verified = True
    try:
        subject.artifact.verify()
    except MissingObject:
        verified = False
    outside.write(path, written.encode())
    return Exported(path, "card", subject.name, str(subject.artifact.digest), verified, {"kind": subject.kind})


FORMATS: dict[str, Callable[[Home, str, Path, bool], Exported]] = {"card": _card}
"""Each format and what writes it: store, name, target, whether to replace what is there."""


def export(
    name: Annotated[str, typer.Argument(metavar="RUN|ARTIFACT", help="What to export.")],
    to: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="The file to write, or the folder to write it into: a name without an ending."
        ),
    ],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a run or an artifact in another format: card is a model or data card in Markdown."""
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.rendering import print_json, print_line

    if format not in FORMATS:
        raise InvalidValue(f"{format!r} is not a format of export", f"one of {', '.join(FORMATS)}")
    done = FORMATS[format](settled(), name, to, force)
    if as_json:
        written = dataclasses.asdict(done)
        print_json({**written.pop("facts"), **written})
        return
    print_line(f"{done.path}  {done.name}")
    if not done.verified:
        say(f"note: bytes of {done.name} are gone from the store")


def _file(to: Path, name: str) -> Path:
    """Return the file that is meant: `to`, or one called `name` in it where it is a folder or has no ending.

    Raises
    ------
    InvalidInput
        If the folder is not there and cannot be made.
    """
    if to.is_file() or (to.suffix and not to.is_dir()):
        return to
    try:
        to.mkdir(exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"the folder {to} cannot be made: {error.strerror}", "name one that can") from error
    return to / name


def _check(path: Path, force: bool) -> None:
    if not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"{path} cannot be written: its folder is not there", "name a file in a folder that is there"
        )
    if path.exists() and not (force and path.is_file()):
        raise ReusedElsewhere(f"{path} is there already", "name another, or replace the file with --force")
