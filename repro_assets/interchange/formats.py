"""The formats of ``repro export`` and ``repro import``: one entry and one module for each.

Laws: a format is known by its name alone, and its module, which two formats may share, is imported only when it is
asked for; the module of an export has a function ``export`` that takes a `Request` and returns what it wrote, that of
an import one called ``take_in``. An option that a format does not know is refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from repro_assets.errors import InvalidValue, NoStore
from repro_assets.store.home import Home, find_store

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
    to : str
        The file, the folder, or the folder for a file that the format names; for a format that writes to a server,
        also its address.
    force : bool
        Replace a file that is there.
    with_environment, anonymize : bool
        As the options of the command.
    progress : callable, optional
        Told how many objects are done.
    format : str
        The format's name, for a module that makes several.
    """

    home: Home
    names: tuple[str, ...]
    to: str
    force: bool = False
    with_environment: bool = False
    anonymize: bool = False
    progress: Progress | None = None
    format: str = ""

    @property
    def path(self) -> Path:
        """The file or folder; an address is none."""
        return Path(self.to)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Parameters
    ----------
    path : Path or str
        The file or folder, or the address of a server.
    format : str
        The format's name.
    name : str
        What was exported, for a person.
    digest : str, optional
        Of the file, or of the artifact that it is about; None where there is no single one.
    verified : bool
        Whether every byte of what it is about is there and hashes to its digest.
    facts : dict
        What a format says beside that.
    notes : tuple of str
        What a person is told.
    """

    path: Path | str
    format: str
    name: str
    digest: str | None
    verified: bool
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Taken(Protocol):
    """What an import did, or would do; `conflicts` are versions that are another artifact here."""

    conflicts: list[dict[str, str]]

    @property
    def ok(self) -> bool:
        """Nothing that came contradicts what was here."""

    def document(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""

    def told(self) -> tuple[str, ...]:
        """Return the answer as lines for a person."""


class Format(NamedTuple):
    """Where a format is made, and which options it takes: ``several``, ``with_environment``, ``anonymize``."""

    module: str
    takes: frozenset[str] = frozenset()


EXPORTS: dict[str, Format] = {
    "card": Format("repro_assets.interchange.card_file"),
    "bundle": Format("repro_assets.interchange.bundle_file", frozenset({"several", "with_environment", "anonymize"})),
    "croissant": Format("repro_assets.interchange.exports.croissant", frozenset({"anonymize"})),
    "cyclonedx": Format("repro_assets.interchange.exports.cyclonedx", frozenset({"anonymize"})),
    "json": Format("repro_assets.interchange.exports.record", frozenset({"several", "anonymize"})),
    "yaml": Format("repro_assets.interchange.exports.record", frozenset({"several", "anonymize"})),
    "rocrate": Format("repro_assets.interchange.exports.rocrate", frozenset({"several", "anonymize"})),
    "openlineage": Format("repro_assets.interchange.exports.openlineage", frozenset({"several", "anonymize"})),
    "mlflow": Format("repro_assets.interchange.exports.mlflow", frozenset({"several", "anonymize"})),
    "tensorboard": Format("repro_assets.interchange.exports.tensorboard", frozenset({"several", "anonymize"})),
    "wandb": Format("repro_assets.interchange.exports.wandb", frozenset({"several"})),
    "dvc": Format("repro_assets.interchange.exports.dvc", frozenset({"several"})),
}
IMPORTS: dict[str, Format] = {
    "bundle": Format("repro_assets.interchange.bundle_file"),
    "mlflow": Format("repro_assets.interchange.imports.mlflow"),
    "tensorboard": Format("repro_assets.interchange.imports.tensorboard"),
    "dvc": Format("repro_assets.interchange.imports.dvc"),
}


def export(
    *names: str,
    to: str | Path,
    format: str,
    home: Home | None = None,
    force: bool = False,
    with_environment: bool = False,
    anonymize: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write runs or artifacts in another format, as ``repro export`` does.

    Parameters
    ----------
    *names : str
        What a person calls the runs and artifacts.
    to : str or Path
        The file or folder; for a format that writes to a server, also its address.
    format : str
        One of `EXPORTS`.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.
    force : bool
        Replace a file that is there.
    with_environment : bool
        With the packages of the environments, from pip.
    anonymize : bool
        Without hosts, accounts, homes, remotes and device ids.
    progress : callable, optional
        Told how many objects are done.

    Raises
    ------
    InvalidValue
        If there is no such format, it does not take what is asked for, what it needs is not installed, or `to` is
        empty.
    UnknownName, AmbiguousName
        If nothing, or several things, are called so.
    ReproError
        As the format says.
    """
    found = format_of(EXPORTS, format, "export")
    need_place(to)
    if not names:
        raise InvalidValue("there is nothing to export", "name a run or an artifact")
    if len(names) > 1 and "several" not in found.takes:
        raise InvalidValue(f"the format {format} takes one run or artifact", "export them one by one")
    for option, given in (("with_environment", with_environment), ("anonymize", anonymize)):
        if given and option not in found.takes:
            raise InvalidValue(f"the format {format} has no --{option.replace('_', '-')}", "leave it out")
    request = Request(home or find_store(), names, str(to), force, with_environment, anonymize, progress, format)
    done: Exported = importlib.import_module(found.module).export(request)
    return done


def take_in(
    path: str | Path,
    format: str = "bundle",
    *,
    home: Home | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Taken:
    """Take in what another store or another tool wrote, as ``repro import`` does.

    Parameters
    ----------
    path : str or Path
        The file or folder; for a tool with a server, also its address.
    format : str
        One of `IMPORTS`.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out. A dry run needs none.
    dry_run : bool
        Verify, tell what would come, and write nothing.
    progress : callable, optional
        Told how many objects are stored.

    Raises
    ------
    InvalidValue
        If there is no such format, or what it needs is not installed.
    ReproError
        As the format says.
    """
    module = importlib.import_module(format_of(IMPORTS, format, "import").module)
    if home is None:
        try:
            home = find_store()
        except NoStore:
            if not dry_run:
                raise
    done: Taken = module.take_in(home, str(path), dry_run=dry_run, progress=progress)
    return done


def format_of(table: dict[str, Format], name: str, word: str) -> Format:
    """Return the entry of a format in `EXPORTS` or `IMPORTS`; `word` says which, for a person.

    Raises
    ------
    InvalidValue
        If there is none.
    """
    if name not in table:
        raise InvalidValue(f"{name!r} is not a format of {word}", f"one of {', '.join(table)}")
    return table[name]


def need_place(to: str | Path) -> None:
    """Refuse an empty place to write to.

    Raises
    ------
    InvalidValue
        If it is one.
    """
    if not str(to).strip():
        raise InvalidValue("nothing says where the export is to go", "name a file or folder")


def joined(names: Sequence[str]) -> str:
    """Return several names as one, for a person."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
