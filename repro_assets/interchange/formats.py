"""The formats of ``repro export`` and ``repro import``: one entry and one module for each.

Laws: a format is known by its name alone, and its module is imported only when it is asked for; the module of an
export has a function ``export`` that takes a `Request` and returns what it wrote, that of an import one called
``take_in``. An option that a format does not know is refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from repro_assets.errors import InvalidInput, InvalidValue, ReusedElsewhere
from repro_assets.store.home import Home

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be exported.

    Parameters
    ----------
    home : Home
        The store.
    names : tuple of str
        What a person calls the runs and artifacts.
    to : Path
        The file, or the folder for a file that the format names.
    force : bool
        Replace a file that is there.
    with_environment, anonymize : bool
        As the options of the command.
    progress : callable, optional
        Told how many objects are done.
    """

    home: Home
    names: tuple[str, ...]
    to: Path
    force: bool = False
    with_environment: bool = False
    anonymize: bool = False
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written; `verified` says whether every byte of what it is about is there and hashes to its digest.

    `facts` are what a format says beside that, `notes` what a person is told.
    """

    path: Path
    format: str
    name: str
    digest: str
    verified: bool
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Format(NamedTuple):
    """Where a format is made, and which options it takes: ``several``, ``with_environment``, ``anonymize``."""

    module: str
    takes: frozenset[str] = frozenset()


EXPORTS: dict[str, Format] = {
    "card": Format("repro_assets.interchange.card_file"),
    "bundle": Format("repro_assets.interchange.bundle_file", frozenset({"several", "with_environment", "anonymize"})),
}
IMPORTS: dict[str, Format] = {"bundle": Format("repro_assets.interchange.bundle_file")}


def export(name: str, request: Request) -> Exported:
    """Write what is asked for in the format of this name.

    Raises
    ------
    InvalidValue
        If there is no such format, or it does not take what is asked for.
    ReproError
        As the format says.
    """
    found = _format(EXPORTS, name, "export")
    if len(request.names) > 1 and "several" not in found.takes:
        raise InvalidValue(f"the format {name} takes one run or artifact", "export them one by one")
    for option in ("with_environment", "anonymize"):
        if getattr(request, option) and option not in found.takes:
            raise InvalidValue(f"the format {name} has no --{option.replace('_', '-')}", "leave it out")
    done: Exported = importlib.import_module(found.module).export(request)
    return done


def take_in(name: str, home: Home | None, path: Path, *, dry_run: bool, progress: Progress | None = None) -> Any:
    """Take a file in that has the format of this name; home None is an empty store, for a dry run.

    Raises
    ------
    InvalidValue
        If there is no such format.
    ReproError
        As the format says.
    """
    module = importlib.import_module(_format(IMPORTS, name, "import").module)
    return module.take_in(home, path, dry_run=dry_run, progress=progress)


def target_file(to: Path, name: str, *, force: bool) -> Path:
    """Return the file that is meant: `to`, or one called `name` in it where it is a folder or has no ending.

    Raises
    ------
    InvalidInput
        If its folder is not there and cannot be made.
    ReusedElsewhere
        If the file is there, and is not to be replaced.
    """
    path = to
    if not to.is_file() and (not to.suffix or to.is_dir()):
        try:
            to.mkdir(exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"the folder {to} cannot be made: {error.strerror}", "name one that can") from error
        path = to / name
    if not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"{path} cannot be written: its folder is not there", "name a file in a folder that is there"
        )
    if path.exists() and not (force and path.is_file()):
        raise ReusedElsewhere(f"{path} is there already", "name another, or replace the file with --force")
    return path


def _format(table: dict[str, Format], name: str, word: str) -> Format:
    if name not in table:
        raise InvalidValue(f"{name!r} is not a format of {word}", f"one of {', '.join(table)}")
    return table[name]


def joined(names: Sequence[str]) -> str:
    """Return several names as one, for a person."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
