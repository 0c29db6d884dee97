"""Finding a Python of a given version on this machine, and asking one what it is and has.

Laws: an interpreter counts by what it says of itself, never by its name; one that hangs or fails is passed over. What
an interpreter has is told by our own capture code, running in it, with none of this process's packages on its path.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.capture.variables import is_allowed
from repro_assets.errors import MachineError
from repro_assets.replay.programs import run_program

ANSWER_SECONDS = 20.0
PROBE_SECONDS = 120.0
_WHO = "import platform; print(platform.python_implementation(), platform.python_version())"
_PROBE = """
import json, sys
own = [place for place in sys.path if place]
sys.path[:] = [sys.argv[1], *own]
from repro_assets.capture import software
sys.path[:] = own
unavailable = {}
document = {**software.describe_interpreter(unavailable), **software.describe_settings(unavailable)}
print(json.dumps({**document, "unavailable": unavailable}))
"""
_NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python on this machine."""

    path: str
    implementation: str
    version: str


def find_interpreter(version: str | None, implementation: str | None = None) -> Interpreter:
    """Return an interpreter of exactly this version; else one of the same minor version; else this process's own.

    Parameters
    ----------
    version : str or None
        Such as ``3.11.9``; None for any.
    implementation : str, optional
        Such as ``CPython``.
    """
    # Of a virtual environment its base: what is made from it must not go when that environment goes.
    base = str(getattr(sys, "_base_executable", sys.executable))
    own = Interpreter(base, platform.python_implementation(), platform.python_version())
    wanted = implementation or own.implementation
    if version is None or (own.version, own.implementation) == (version, wanted):
        return own
    minor = ".".join(version.split(".")[:2])
    close = own if own.version.startswith(f"{minor}.") and own.implementation == wanted else None
    for path in _candidates(version, minor):
        found = _ask(path)
        if found is None or found.implementation != wanted:
            continue
        if found.version == version:
            return found
        if close is None and found.version.startswith(f"{minor}."):
            close = found
    return close or own


def clean_variables(recorded: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's variables for another interpreter.

    Parameters
    ----------
    recorded : mapping, optional
        Those that a capture would take are these and no others; this process's own if left out.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    if recorded is None:
        return kept
    return {**{name: value for name, value in kept.items() if not is_allowed(name)}, **recorded}


def describe(python: str, variables: Mapping[str, str] | None) -> dict[str, Any]:
    """Return what our capture says inside the interpreter `python` that was started with the recorded variables.

    Raises
    ------
    MachineError
        If it does not answer.
    """
    ours = str(Path(__file__).parents[2])
    ended = run_program(
        [python, "-B", "-c", _PROBE, ours], PROBE_SECONDS, clean_variables(variables or {}), what=f"{python}"
    )
    try:
        answer = json.loads(ended.last_line)
    except ValueError as error:
        raise MachineError(f"{python} did not say what it has: {ended.last_line or f'code {ended.code}'}") from error
    if not isinstance(answer, dict):
        raise MachineError(f"{python} did not say what it has: {ended.last_line}")
    return answer


def _candidates(version: str, minor: str) -> Iterator[str]:
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    seen: set[str] = set()
    places = [
        *(Path(folder) / f"python{minor}" for folder in os.get_exec_path()),
        *(Path(folder) / "python3" for folder in os.get_exec_path()),
        pyenv / "versions" / version / "bin/python3",
        *sorted(pyenv.glob(f"versions/{minor}.*/bin/python3")),
        *sorted(uv.glob(f"*-{version}-*/bin/python3")),
        *sorted(uv.glob(f"*-{minor}.*/bin/python3")),
        Path(f"/opt/homebrew/opt/python@{minor}/bin/python{minor}"),
    ]
    for place in places:
        real = os.path.realpath(place)
        if real not in seen and os.access(place, os.X_OK):
            seen.add(real)
            yield str(place)


def _ask(path: str) -> Interpreter | None:
    try:
        ended = run_program([path, "-I", "-c", _WHO], ANSWER_SECONDS, clean_variables(), what=path)
    except MachineError:
        return None  # a shim without a version behind it, or one that hangs: it is not the one that is looked for
    words = ended.last_line.split()
    return Interpreter(path, words[0], words[1]) if ended.code == 0 and len(words) == 2 else None
