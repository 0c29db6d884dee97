"""The environment in which a replay is executed: the current one, or the recorded one built again.

Laws: before anything is executed it is said what differs from the record, the important ones first. A built environment
is kept under the digest of the recorded one, and used again; that it holds what it is named after is looked at. Where
the recorded packages cannot execute a replay, that is an error before it starts.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.capture.comparison import EnvironmentDiff, diff_environments
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.level import Level
from repro_assets.capture.packages import normalised
from repro_assets.catalog import queries
from repro_assets.errors import IntegrityError, InvalidValue, ReusedElsewhere, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.recording.environments import KnownEnvironment, load_environment
from repro_assets.replay.installing import Progress
from repro_assets.replay.programs import run_program
from repro_assets.replay.records import Recorded
from repro_assets.replay.restoring import DONE, restore_environment
from repro_assets.replay.variables import to_set
from repro_assets.store.home import Home

CURRENT, RECREATE = "current", "recreate"
_SHOWN = 5
_PROBE_SECONDS = 120.0
_OF = "environment.txt"
_FIRST = ("python.", "torch.", "hardware.cpu.model", "hardware.gpus", "machine")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a replay is executed in.

    Parameters
    ----------
    python : str
        The interpreter.
    recorded : dict or None
        The recorded environment; None where there is none on record.
    differences : list of dict
        ``part``, ``name``, ``original`` and ``current`` of each difference, the important ones first.
    variables : dict
        What leads a process to the interpreter's programs.
    notes : list of str
        What a person should know of it.
    """

    python: str
    recorded: dict[str, Any] | None
    differences: list[dict[str, Any]]
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def sentence(self) -> str | None:
        """Say in one line what differs; None where nothing does."""
        if not self.differences:
            return None
        shown = [f"{each['name']} {each['original']} -> {each['current']}" for each in self.differences[:_SHOWN]]
        count = len(self.differences)
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        return f"the environment differs from the recorded one in {count}: {', '.join(shown)}{more}"


def surroundings(
    home: Home, run: Recorded, environment: str, folder: Path | None, progress: Progress | None = None
) -> Surroundings:
    """Compare the current environment with a run's, or build that.

    Parameters
    ----------
    home : Home
        The store.
    run : Recorded
        The run.
    environment : str
        ``current`` or ``recreate``.
    folder : Path, optional
        Where the environment is built; in the store's cache if left out.
    progress : callable, optional
        Given how many packages have been looked at, and how many there are.

    Raises
    ------
    InvalidValue
        If `environment` is another word, a folder is named and nothing is to be built, or the run has no environment
        on record that could be built.
    ReusedElsewhere
        If something else lies in `folder`.
    MachineError
        If it cannot be built.
    """
    if environment not in (CURRENT, RECREATE):
        raise InvalidValue(f"{environment!r} is no environment of a replay", f"{CURRENT} or {RECREATE}")
    if folder is not None and environment != RECREATE:
        raise InvalidValue(
            f"the environment folder {folder} is for one that is built, and the replay takes the current one",
            f"add --environment {RECREATE}, or leave the folder out",
        )
    try:
        document = None if run.environment is None else load_environment(home, run.environment)
    except (UnknownName, IntegrityError) as error:
        if environment == RECREATE:
            raise
        return Surroundings(sys.executable, None, [], notes=[f"no environment was compared: {error.message}"])
    if environment == RECREATE:
        if document is None or run.environment is None:
            raise InvalidValue(f"run {run.run_id} has no environment on record to build", f"--environment {CURRENT}")
        return _recreated(home, run, Digest.parse(run.environment), document, folder, progress)
    if document is None:
        return Surroundings(sys.executable, None, [], notes=["no environment is on record, so none was compared"])
    return Surroundings(sys.executable, document, _ordered(home, run, _from(document, _present(home, document))))


def found_later(
    home: Home, run: Recorded, executed_in: str | None, known: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what differs between the environments on record of a run and of its replay, and is not known.

    A variable that the replay itself set, as the record says what it stood for, is no difference.

    What was looked at before a replay is the environment at level ``standard``; a replay's record is as detailed as the
    original's.

    Parameters
    ----------
    home : Home
        The store.
    run : Recorded
        The original.
    executed_in : str or None
        The digest of the replay's environment, where it is on record.
    known : iterable of dict
        The differences that are known.

    Raises
    ------
    UnknownName, IntegrityError
        If an environment that is on record cannot be read.
    """
    if run.environment is None or executed_in is None:
        return []
    then, now = (load_environment(home, digest) for digest in (run.environment, executed_in))
    told = {(each["part"], each["name"]) for each in known}
    given = {f"variables.{name}": value for name, value in to_set(run, then).items()}
    return [
        each
        for each in _ordered(home, run, _from(then, now))
        if (each["part"], each["name"]) not in told
        and (each["name"] not in given or given[each["name"]] != each["current"])
    ]


def check_imports(found: Surroundings, module: str, variables: Mapping[str, str], folder: Path) -> None:
    """Refuse an environment in which a module of this project that a replay needs cannot be imported.

    Raises
    ------
    InvalidValue
        If it cannot; what is missing is named.
    """
    ended = run_program(
        [found.python, "-c", f"import {module}"], _PROBE_SECONDS, variables, what=found.python, folder=folder
    )
    if ended.code != 0:
        said = "; ".join(note for note in found.notes if "repro-assets" in note)
        raise InvalidValue(
            f"the recorded environment cannot execute a replay: {said or ended.last_line}",
            f"--environment {CURRENT}, or a run with a released repro-assets on record",
        )


def _present(home: Home, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is here; of the variables what is on record, because a replay sets them so."""
    level = Level.parse(document.get("level") or Level.STANDARD)
    # What the complete level looks at besides takes long and is no part of what a replay could change.
    level = Level.STANDARD if level.takes(Level.STANDARD) else level
    found = capture_environment(level, cache=home.cache / "environment", scratch=home.temporary).document
    return {**found, "variables": document.get("variables")}


def _from(document: Mapping[str, Any], present: Mapping[str, Any]) -> EnvironmentDiff:
    left_out = ("host", "settings")
    return diff_environments(
        {name: value for name, value in document.items() if name not in left_out},
        {name: value for name, value in present.items() if name not in left_out},
    )


def _ordered(home: Home, run: Recorded, diff: EnvironmentDiff) -> list[dict[str, Any]]:
    return _important_first(
        home,
        run,
        [
            {"part": each.part, "name": each.name, "original": each.a, "current": each.b}
            for each in (*diff.changed, *diff.added, *diff.removed)
        ],
    )


def _important_first(home: Home, run: Recorded, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not found:
        return found
    rows = queries.rows(home, "SELECT name FROM used_packages WHERE run_id = $run", {"run": run.run_id})
    used = {normalised(str(row["name"])) for row in rows}

    def rank(each: dict[str, Any]) -> int:
        if str(each["name"]).startswith(_FIRST) or (each["part"] == "package" and each["name"] in used):
            return 0
        return 1 if each["part"] == "package" else 2

    return sorted(found, key=rank)


def _recreated(
    home: Home,
    run: Recorded,
    digest: Digest,
    document: dict[str, Any],
    folder: Path | None,
    progress: Progress | None,
) -> Surroundings:
    target = (folder or home.cache / "environments" / digest.hex[:16]).absolute()
    mark = target / _OF
    if (target / DONE).is_file() and mark.is_file():
        if mark.read_text().strip() != str(digest):
            raise ReusedElsewhere(f"{target} holds another environment", "name another --environment-folder")
    else:
        source = None if run.source is None else Digest.parse(run.source)
        known = KnownEnvironment(f"run {run.run_id}", document, run.run_id, home, source)
        restore_environment(known, target, progress=progress)
        mark.write_text(f"{digest}\n")
    built = json.loads((target / DONE).read_text("utf-8"))
    found = [
        {"part": each["part"], "name": each["name"], "original": each["a"], "current": each["b"]}
        for kind in ("changed", "added", "removed")
        for each in built["differences"][kind]
    ]
    missing = [f"{each['name']} {each['version']} was not to be had: {each['reason']}" for each in built["missing"]]
    programs = str(target / "bin")
    return Surroundings(
        str(target / "bin" / "python"),
        document,
        _important_first(home, run, found),
        {"PATH": os.pathsep.join([programs, os.environ.get("PATH", "")]), "VIRTUAL_ENV": str(target)},
        missing,
    )
