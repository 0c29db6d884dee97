"""Installing recorded packages into a virtual environment, as exactly as they can be had.

Laws: a package is asked for by its exact version, or from the recorded address and commit, and without dependencies:
the record has them all. One that is not to be had stops none of the others, and is named with pip's reason; of a local
version (``2.13.0+cpu``) the public one stands in, and is named. The person's pip configuration decides where packages
come from; no address of an index gets into what is returned. An index that cannot be reached, or a full disk, is the
machine's failure and not the package's. A record is data: what it calls a package, a version or an address reaches pip
only if it reads as one, so none is ever taken for an option.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repro_assets.capture.packages import normalised
from repro_assets.capture.secrets import redact_text
from repro_assets.errors import DiskFull, MachineError, NotWritable
from repro_assets.replay.interpreters import clean_variables
from repro_assets.replay.programs import Ended, run_program

Progress = Callable[[int, int], None]

_LONGEST_REASON = 300
_NO_REASON = ("note:", "hint:", "[notice]", "×", "╰", "│")
_COLLECTING = re.compile(r"\s*(?:Collecting|Requirement already satisfied:|Processing|Obtaining) ")
_NOT_FOUND = re.compile(r"No matching distribution found for ([\w.-]+)")
_ADDRESS = re.compile(r"\b[\w+]+://\S+")
_UNREACHABLE = re.compile(
    r"NewConnectionError|Failed to establish a new connection|NameResolutionError|Temporary failure in name resolution"
    r"|Network is unreachable|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLCertVerificationError"
)
# https://packaging.python.org/en/latest/specifications/name-normalization/
_NAME = re.compile(r"(?i)[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_VERSION = re.compile(r"(?i)[a-z0-9][a-z0-9.+!_-]*")
_ORIGIN = re.compile(
    r"(?i)(?:(?:git|hg|bzr|svn)\+)?(?:https?|ssh|file|ftp|git|svn|lp|bzr|sftp)://[^\s\x00-\x1f-][^\s\x00-\x1f]*"
)
_DISTRIBUTION_OF_BACKEND = {"poetry": "poetry-core", "pdm": "pdm-backend"}
# What installs elsewhere than into the environment, whatever the person's configuration says of other installations.
_OVERRIDDEN = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_USER", "PIP_REQUIREMENT", "PIP_EDITABLE")


@dataclass(frozen=True, slots=True)
class NotHad:
    """A recorded package that could not be had as recorded.

    Parameters
    ----------
    name, version : str
        As recorded.
    reason : str
        In one line.
    instead : str or None
        The version that was installed in its place.
    """

    name: str
    version: str | None
    reason: str
    instead: str | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    version: str | None
    requirement: str
    public: str | None = None


class Installer:
    """Packages for one virtual environment.

    Parameters
    ----------
    python : path
        The environment's interpreter.
    seconds : float
        Time limit of everything together.
    progress : callable, optional
        Given how many packages have been looked at, and how many there are.
    """

    def __init__(self, python: Path, seconds: float, progress: Progress | None = None) -> None:
        self._python = python
        self._limit = time.monotonic() + seconds
        self._progress = progress
        kept = {name: value for name, value in clean_variables().items() if name not in _OVERRIDDEN}
        self._variables = {**kept, "PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self._pip, self._brought_pip = self._find_pip()

    def install(self, packages: Iterable[Mapping[str, Any]]) -> list[NotHad]:
        """Install the recorded packages but for the editable ones; return what was not had as recorded."""
        wanted, missing = _split(packages)
        missing += self._install_all(wanted)
        return missing

    def install_editable(self, name: str, version: str | None, folder: Path, installed: Iterable[str]) -> NotHad | None:
        """Install the project in `folder` editable; return why not, where it cannot be.

        Parameters
        ----------
        name, version : str
            As recorded.
        folder : path
            Its source tree.
        installed : iterable of str
            Names of what the environment has: a build backend among them is used, else pip fetches one.
        """
        backend = _build_backend(folder)
        known = {normalised(each) for each in installed}
        words = ["--no-build-isolation"] if backend is not None and normalised(backend) in known else []
        ended = self._run(["install", "--no-deps", *words, "--editable", str(folder)])
        return None if ended.code == 0 else NotHad(name, version, _reason(ended))

    def remove_own(self, recorded: Iterable[str]) -> None:
        """Remove the pip that was needed here and is not on record."""
        surplus = sorted({"pip", "setuptools"} - {normalised(name) for name in recorded})
        if self._brought_pip and surplus:
            self._run(["uninstall", "--yes", *surplus])

    def _find_pip(self) -> tuple[list[str], bool]:
        """Return pip's command line, and whether it had to be put into the environment."""
        ours = [*_dying_with_us(), sys.executable, "-m", "pip", "--python", str(self._python)]
        if run_program([*ours, "--version"], self._left(), self._variables, what="pip").code == 0:
            return ours, False
        # This interpreter has no pip, or one that does not run on the other version.
        command = [str(self._python), "-m", "ensurepip"]
        ended = run_program(command, self._left(), self._variables, what="ensurepip")
        if ended.code != 0:
            raise MachineError(f"there is no pip for {self._python}: {ended.last_line}", "install pip or ensurepip")
        return [*_dying_with_us(), str(self._python), "-m", "pip"], True

    def _install_all(self, wanted: list[_Wanted]) -> list[NotHad]:
        total = len(wanted)
        missing: list[NotHad] = []
        while wanted:
            ended = self._run(self._words(wanted), total)
            if ended.code == 0:
                break
            failed = _named(ended, wanted)
            if failed is None and len(wanted) > 1:
                # pip does not say which: each half tells.
                middle = len(wanted) // 2
                return [*missing, *self._install_all(wanted[:middle]), *self._install_all(wanted[middle:])]
            failed = failed or wanted[0]
            wanted = [each for each in wanted if each is not failed]
            why = NotHad(failed.name, failed.version, _reason(ended))
            if failed.public is not None:
                instead = _Wanted(failed.name, failed.public, f"{failed.name}=={failed.public}")
                ended = self._run(self._words([instead]), total)
                if ended.code == 0:
                    why = replace(why, instead=failed.public)
            missing.append(why)
        if self._progress is not None and total:
            self._progress(total, total)
        return missing

    def _words(self, wanted: Sequence[_Wanted]) -> list[str]:
        return ["install", "--no-deps", "--no-warn-script-location", *(each.requirement for each in wanted)]

    def _run(self, words: Sequence[str], total: int = 0) -> Ended:
        count = 0

        def told(line: str) -> None:
            nonlocal count
            if self._progress is not None and total and _COLLECTING.match(line):
                count = min(count + 1, total)
                self._progress(count, total)

        ended = run_program([*self._pip, *words], self._left(), self._variables, what="pip", told=told)
        if ended.code == 0:
            return ended
        if "No space left on device" in ended.output:
            raise DiskFull("no space left while installing packages", "free some space and restore again")
        if "Permission denied" in ended.output:
            raise NotWritable(f"pip may not write: {_reason(ended)}", "check the owner and mode of the folder")
        if _UNREACHABLE.search(ended.output):
            raise MachineError("the package index cannot be reached", "check the network and: pip config list")
        if ended.code < 0:
            raise MachineError(f"pip was ended by signal {-ended.code}")
        return ended

    def _left(self) -> float:
        return max(self._limit - time.monotonic(), 1.0)


def _dying_with_us() -> list[str]:
    """Return what is put before a command so that the kernel ends it when this process is killed; only Linux has it."""
    program = shutil.which("setpriv") if sys.platform == "linux" else None
    return [program, "--pdeathsig", "KILL"] if program else []


class Downloader(Installer):
    """Packages as files in a folder, for this interpreter; nothing is installed.

    Parameters
    ----------
    folder : path
        Where to.
    seconds : float
        Time limit of everything together.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__(Path(sys.executable), seconds)
        self._folder = folder

    def _words(self, wanted: Sequence[_Wanted]) -> list[str]:
        words = ["download", "--no-deps", "--no-build-isolation", "--dest", str(self._folder)]
        return [*words, *(each.requirement for each in wanted)]


def _split(packages: Iterable[Mapping[str, Any]]) -> tuple[list[_Wanted], list[NotHad]]:
    wanted, missing = [], []
    for package in packages:
        name, version, origin = str(package["name"]), package.get("version"), str(package.get("origin") or "")
        if package.get("editable"):
            continue
        wrong = _wrong(name, version, origin)
        if wrong:
            missing.append(NotHad(name, None if version is None else str(version), wrong))
        elif origin:
            # "NAME @ URL" is refused for a repository in a folder; a plain address is taken for every kind of origin.
            address = f"{origin}#egg={name}" if origin.partition(":")[0].partition("+")[1] else origin
            wanted.append(_Wanted(name, version, address))
        elif version:
            public = str(version).partition("+")[0]
            wanted.append(_Wanted(name, version, f"{name}=={version}", public if public != version else None))
        else:
            missing.append(NotHad(name, None, "the record has no version of it"))
    return wanted, missing


def _wrong(name: str, version: Any, origin: str) -> str:
    """Say what of a recorded package is not what it is called; empty if nothing is."""
    if _NAME.fullmatch(name) is None:
        return "the record's name of it is no name of a package"
    if version is not None and _VERSION.fullmatch(str(version)) is None:
        return "the record's version of it is no version"
    # What is behind the @ goes to git and its like as a word of its own.
    if origin and (_ORIGIN.fullmatch(origin) is None or "@-" in origin):
        return "the record's address of it is none that packages come from"
    return ""


def _named(ended: Ended, wanted: Sequence[_Wanted]) -> _Wanted | None:
    """Return the package that pip names as not to be had."""
    names = {normalised(name) for name in _NOT_FOUND.findall(ended.output)}
    return next((each for each in wanted if normalised(each.name) in names), None)


def _reason(ended: Ended) -> str:
    lines = ended.output.splitlines()
    said = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    closing = [line.strip() for line in lines if line.strip() and not line.strip().startswith(_NO_REASON)]
    text = _from_subprocess(lines) or (said or closing or [""])[-1]
    text = _ADDRESS.sub("<address>", redact_text(text))
    return text[:_LONGEST_REASON] or f"pip ended with code {ended.code}"


def _from_subprocess(lines: Sequence[str]) -> str:
    """Return what pip tried and the last line of the program that failed at it, which pip frames; empty if none did."""
    ends = [number for number, line in enumerate(lines) if line.strip() == "[end of output]"]
    if not ends:
        return ""
    tried = [line.strip().lstrip("× ") for line in lines[: ends[0]] if line.strip().startswith("×")]
    last = next((line.strip(" │") for line in reversed(lines[: ends[0]]) if line.strip(" │")), "")
    return f"{tried[-1].rstrip('.')}: {last}" if tried else last


def _build_backend(folder: Path) -> str | None:
    """Return the distribution that builds a project, as far as its name can be told."""
    try:
        build = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    except (OSError, ValueError):
        return None  # pip says what is wrong with it
    backend = str(build.get("build-backend", "setuptools"))
    module = backend.partition(":")[0].partition(".")[0]
    return _DISTRIBUTION_OF_BACKEND.get(module, module)
