"""A virtual environment from a record.

Laws: it is made in an empty folder and nowhere else; until it is complete the folder holds `MARK`, and a restoration
that fails or is interrupted leaves an empty folder (a virtual environment names its own place, so it cannot be built
beside and renamed; one that was killed leaves its mark). It counts as equal only by measurement: our own capture runs
in it, and is compared with the record. Each difference is named, those of the machine too; only what names the host is
left out. Whatever of the record could not be had is named with the reason. A record is data: nothing in it is ever
run as a command, so a variable whose name no shell takes is named and left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import time
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.capture.comparison import EnvironmentDiff, diff_environments
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.level import Level
from repro_assets.capture.packages import normalised
from repro_assets.errors import InvalidInput, InvalidValue, MachineError, ReproError, ReusedElsewhere, from_os_error
from repro_assets.recording.environments import KnownEnvironment
from repro_assets.replay.installing import Installer, NotHad, Progress
from repro_assets.replay.interpreters import clean_variables, describe, find_interpreter
from repro_assets.replay.programs import run_program

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OLDEST = (3, 11)
"""The first Python in which our capture runs; as in pyproject.toml."""
MARK = "restoring.json"
DONE = "restored.json"
VARIABLES = "variables.sh"
SOURCE = "source"
VENV_SECONDS = 120.0
DEFAULT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Restored:
    """What was built.

    Parameters
    ----------
    path : str
        The virtual environment.
    python : str
        Its implementation and version.
    command : str
        What to enter in a shell to use it, with the recorded variables.
    missing : tuple of NotHad
        What was not had as recorded.
    differences : EnvironmentDiff
        From the record (a) to what our capture says inside (b).
    seconds : float
        Wall time.
    """

    path: str
    python: str
    command: str
    missing: tuple[NotHad, ...]
    differences: EnvironmentDiff
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether nothing that was compared differs from the record."""
        return self.differences.equal

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "path": self.path,
            "equal": self.equal,
            "python": self.python,
            "command": self.command,
            "missing": [asdict(each) for each in self.missing],
            "differences": self.differences.document(),
            "seconds": self.seconds,
        }


def restore_environment(
    record: KnownEnvironment | Mapping[str, Any],
    to: str | Path,
    *,
    timeout: float = DEFAULT_SECONDS,
    progress: Progress | None = None,
) -> Restored:
    """Build a virtual environment from a record and compare it with that.

    Parameters
    ----------
    record : KnownEnvironment or mapping
        What `repro_assets.recording.environments.known_environment` returns, or a captured document. Of a run the
        source tree is there too, from which an editable project is installed.
    to : path
        An empty folder, or one that does not exist.
    timeout : float
        Seconds that the installation may take.
    progress : callable, optional
        Given how many packages have been looked at, and how many there are.

    Raises
    ------
    InvalidInput
        If the record is no environment or lists no packages.
    InvalidValue
        If `to` is a link, or has a colon in it.
    ReusedElsewhere
        If something is at `to`.
    MachineError
        If no interpreter, pip, index or room is to be had, or the time is over; `to` is as it was then.
    """
    known = record if isinstance(record, KnownEnvironment) else KnownEnvironment("a document", dict(record))
    document = {name: value for name, value in known.document.items() if name not in ("host", "settings")}
    if not isinstance(document.get("variables") or {}, Mapping):
        raise InvalidInput(f"the variables of {known.name} are no object")
    if not document.get("packages") or not diff_environments(document, document).equal:
        raise InvalidInput(f"{known.name} lists no packages, so nothing can be built from it")
    target = Path(to).absolute()
    begin = time.perf_counter()
    with _filling(target, known.name):
        restored = _build(known, document, target, timeout, progress, begin)
        _write(target / MARK, json.dumps({"record": known.name, **restored.document()}, indent=1))
        (target / MARK).replace(target / DONE)
    return restored


def _build(
    known: KnownEnvironment,
    document: Mapping[str, Any],
    target: Path,
    timeout: float,
    progress: Progress | None,
    begin: float,
) -> Restored:
    recorded = document.get("python") or {}
    interpreter = find_interpreter(recorded.get("version"), recorded.get("implementation"))
    if tuple(int(part) for part in interpreter.version.split(".")[:2]) < OLDEST:
        raise InvalidInput(
            f"{known.name} is of Python {interpreter.version}, in which what was built could not be compared",
            f"Python {'.'.join(map(str, OLDEST))} and newer can be restored",
        )
    made = run_program(
        [interpreter.path, "-m", "venv", "--without-pip", str(target)], VENV_SECONDS, clean_variables(), what="venv"
    )
    python = target / "bin/python"
    if made.code != 0 or not python.exists():
        raise MachineError(f"{interpreter.path} makes no virtual environment: {made.last_line}", "install its venv")
    installer = Installer(python, timeout, progress)
    packages = document["packages"]
    missing = installer.install(packages)
    missing += _editable(known, packages, target, installer)
    installer.remove_own(str(each["name"]) for each in packages)
    variables, unset = _settable(document.get("variables") or {})
    missing += unset
    lines = [f"export {name}={shlex.quote(str(value))}" for name, value in sorted(variables.items())]
    _write(target / VARIABLES, "".join(f"{line}\n" for line in lines))
    return Restored(
        str(target),
        f"{interpreter.implementation} {interpreter.version}",
        f". {shlex.quote(str(target / VARIABLES))} && . {shlex.quote(str(target / 'bin/activate'))}",
        tuple(missing),
        diff_environments(document, _present(document, python, variables)),
        time.perf_counter() - begin,
    )


def _settable(recorded: Mapping[str, Any]) -> tuple[dict[str, str], list[NotHad]]:
    """Return the variables that a shell can set, and the others with the reason."""
    variables, missing = {}, []
    for name, value in recorded.items():
        if _VARIABLE.fullmatch(name) is None:
            missing.append(NotHad(f"variables.{name}", None, "it is not the name of a variable that a shell can set"))
        elif "\0" in str(value):
            missing.append(NotHad(f"variables.{name}", None, "its value holds a null byte"))
        else:
            variables[name] = str(value)
    return variables, missing


def _present(document: Mapping[str, Any], python: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what a capture inside the new environment says; of the machine, what this process sees of it."""
    level = Level.parse(document.get("level") or Level.STANDARD)
    present = capture_environment(level, {}).document
    inside = describe(str(python), variables)
    if not level.takes(Level.STANDARD):
        inside = {name: value for name, value in inside.items() if name not in ("torch", "variables")}
    machine = {
        name: reason
        for name, reason in present["unavailable"].items()
        if name.partition(".")[0] not in ("python", "packages", "torch", "variables")
    }
    present.update(inside, unavailable={**machine, **inside["unavailable"]})
    present.pop("host", None)
    return present


def _editable(
    known: KnownEnvironment, packages: list[Mapping[str, Any]], target: Path, installer: Installer
) -> list[NotHad]:
    """Install the editable project of a run from its source tree; name the ones that are not in it."""
    editable = [each for each in packages if each.get("editable")]
    if not editable:
        return []
    project, reason = _lay_out_source(known, target / SOURCE)
    missing = []
    for package in editable:
        name, version = str(package["name"]), package.get("version")
        if project is None or normalised(project) != normalised(name):
            missing.append(NotHad(name, version, reason))
            continue
        names = [str(each["name"]) for each in packages]
        found = installer.install_editable(name, version, target / SOURCE, names)
        missing += [found] if found is not None else []
    return missing


def _lay_out_source(known: KnownEnvironment, folder: Path) -> tuple[str | None, str]:
    """Lay the source tree out and return the name of its project, and why other editable packages are not in it."""
    if known.home is None or known.source is None:
        return None, "it was installed from a folder of which the record has no source tree"
    try:
        repository.by_digest(known.home, known.source, name="source tree").lay_out(folder)
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    except ReproError as error:
        return None, f"its source tree cannot be had: {error.message}"
    except (OSError, ValueError, KeyError, TypeError):
        return None, "the recorded source tree has no pyproject.toml that names a project"
    return str(project), f"it was installed from a folder, and the recorded source tree is that of {project}"


@contextlib.contextmanager
def _filling(target: Path, name: str) -> Any:
    """Take an empty folder for the body; empty it again if that fails."""
    if target.is_symlink():
        raise InvalidValue(f"{target} is a link, and an environment names its own place", "name the folder itself")
    if os.pathsep in str(target):
        raise InvalidValue(f"{target} has a {os.pathsep!r} in it, which no PATH can hold", "name another folder")
    there = target.exists()
    made = [each for each in (target, *target.parents) if not each.exists()]
    if there and (not target.is_dir() or any(target.iterdir())):
        what = "a restoration that was not finished" if (target / MARK).is_file() else "something"
        remedy = "delete it first" if (target / MARK).is_file() else "name an empty folder, or one that is not there"
        raise ReusedElsewhere(f"there is {what} at {target}", remedy)
    try:
        target.mkdir(parents=True, exist_ok=True)
        _write(target / MARK, json.dumps({"record": name}))
    except OSError as error:
        raise from_os_error(error, target) from error
    try:
        yield
    except BaseException:
        for item in target.iterdir():
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        for folder in made:
            # Somebody else may have put something into one of them meanwhile.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
