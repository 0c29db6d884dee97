"""What git says about a folder, through its command line.

Laws: nothing is written, neither to ``.git`` nor beside it: optional locks are off, the index is not refreshed, no
hook, file-system monitor, external diff, text conversion or large-file filter is started, and no variable of a
surrounding git process redirects the question. A repository of another user is read all the same, because reading it
runs none of its programs; git before 2.38 takes no such exception from its command line and its refusal is then
reported.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from repro_assets.errors import MachineError

_KEPT = frozenset(
    {"GIT_CEILING_DIRECTORIES", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}
)
_SETTINGS = (
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "color.ui=false",
    "diff.autoRefreshIndex=false",
    "status.relativePaths=false",
    "log.showSignature=false",
    "filter.lfs.clean=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
)
_TIMEOUT = 60.0
"""Seconds after which git is taken to hang (a dead network file system)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One path that git listed, relative to the folder asked about.

    Parameters
    ----------
    path : str
        As `os.fsdecode` gives it.
    tracked : bool
        In the index.
    sparse : bool
        In the index and, by a sparse checkout, not meant to be on disk.
    """

    path: str
    tracked: bool
    sparse: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What git says about the folder's commit.

    Parameters
    ----------
    commit : str or None
        None where nothing has been committed yet.
    branch : str or None
        None where the head is detached.
    tags : tuple of str
        Tags on this commit.
    message : str
        The commit's message, as it is.
    remotes : dict
        Remote name to address, as it is: with credentials where it has some.
    changed : tuple of str
        Tracked paths below the folder, relative to it, that differ from the commit.
    """

    commit: str | None
    branch: str | None
    tags: tuple[str, ...]
    message: str
    remotes: dict[str, str]
    changed: tuple[str, ...]


def find_top(folder: Path) -> Path | None:
    """Nearest folder upwards that holds ``.git``, or None. `folder` is absolute and resolved."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return None


class Worktree:
    """A folder in a git worktree.

    Parameters
    ----------
    folder : path
        Absolute and resolved.
    top : path
        What `find_top` found for it.
    """

    def __init__(self, folder: Path, top: Path) -> None:
        self.folder = folder
        self.top = top
        prefix = folder.relative_to(top).as_posix()
        self.prefix = "" if prefix == "." else prefix + "/"

    def look(self) -> tuple[Facts, list[Listed]]:
        """Ask for the commit's facts and for the files, tracked or neither tracked nor ignored, below the folder.

        Raises
        ------
        MachineError
            If git is missing, refuses or hangs, with its own words.
        """
        questions = (
            ("ls-files", "-c", "-o", "--exclude-standard", "-t", "-z"),
            (
                "status",
                "--porcelain=v2",
                "--branch",
                "-z",
                "-uno",
                "--no-renames",
                "--ignore-submodules=none",
                "--",
                ".",
            ),
            ("log", "-1", "--format=%D%x00%B", "--decorate=full", "HEAD"),
            ("config", "-z", "--get-regexp", r"^remote\..*\.url$"),
        )
        running = [self._start(question) for question in questions]
        answers = [self._finish(question, process) for question, process in zip(questions, running, strict=True)]
        listed = _listed(self._checked(questions[0], answers[0]))
        commit, branch, changed = _status(self._checked(questions[1], answers[1]), self.prefix)
        decoration, _, message = ("", "", "")
        if commit is not None:
            decoration, _, message = self._checked(questions[2], answers[2]).decode("utf-8", "replace").partition("\0")
        tags = tuple(
            sorted(
                part.removeprefix("tag: refs/tags/")
                for part in decoration.split(", ")
                if part.startswith("tag: refs/tags/")
            )
        )
        remotes = _remotes(answers[3][1])  # `config` answers 1 where no remote is set
        return Facts(commit, branch, tags, message.strip(), remotes, changed), listed

    def ignores_folder(self) -> bool:
        """Whether the repository ignores the folder as a whole."""
        question = ("check-ignore", "-q", str(self.folder))
        status, _, error = self._finish(question, self._start(question))
        if status > 1:
            raise MachineError(f"git check-ignore failed in {self.folder}: {error}")
        return status == 0

    def diff(self) -> list[tuple[str, bytes]]:
        """Difference between the commit and the worktree below the folder.

        Returns
        -------
        list of (path, section)
            One section of the patch per changed path, in git's order; binary content is named, not shown.
        """
        question = (
            "diff", "HEAD", "--relative", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
            "--full-index", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short",
            "--ignore-submodules=none", "--", ".",
        )  # fmt: skip
        text = self._checked(question, self._finish(question, self._start(question)))
        starts = [match.start() for match in re.finditer(rb"(?m)^(?=diff --git )", text)]
        # A file that differs in its line ends alone counts as changed and has no section.
        sections = [text[start:end] for start, end in pairwise([*starts, len(text)])]
        return [(_section_path(section), section) for section in sections]

    def _start(self, question: Sequence[str]) -> subprocess.Popen[bytes]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
        variables.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
        settings = [part for setting in (*_SETTINGS, f"safe.directory={self.top}") for part in ("-c", setting)]
        try:
            return subprocess.Popen(
                ["git", "--no-pager", *settings, *question],
                cwd=self.folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise MachineError(f"git cannot be started: {error.strerror}", "install git") from error

    def _finish(self, question: Sequence[str], process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
        try:
            output, error = process.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as late:
            process.kill()
            process.communicate()
            raise MachineError(f"git {question[0]} did not answer within {_TIMEOUT:.0f} s in {self.folder}") from late
        return process.returncode, output, error.decode("utf-8", "replace").strip()

    def _checked(self, question: Sequence[str], answer: tuple[int, bytes, str]) -> bytes:
        status, output, error = answer
        if status != 0:
            raise MachineError(f"git {question[0]} failed: {error}")
        return output


def _listed(output: bytes) -> list[Listed]:
    seen: dict[str, Listed] = {}
    for entry in output.split(b"\0"):
        if entry:
            tag, path = entry[:1], os.fsdecode(entry[2:])
            seen.setdefault(path, Listed(path, tag != b"?", tag == b"S"))
    return list(seen.values())


def _status(output: bytes, prefix: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    commit = branch = None
    changed = []
    # Fields before the path, by record type: https://git-scm.com/docs/git-status#_porcelain_format_version_2
    fields = {"1": 8, "u": 10}
    for entry in output.split(b"\0"):
        line = os.fsdecode(entry)
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif line.startswith("# branch.head "):
            branch = line.removeprefix("# branch.head ")
        elif line[:1] in fields:
            changed.append(line.split(" ", fields[line[:1]])[-1].removeprefix(prefix))
    return (
        None if commit == "(initial)" else commit,
        None if branch == "(detached)" else branch,
        tuple(sorted(changed)),
    )


def _remotes(output: bytes) -> dict[str, str]:
    remotes: dict[str, str] = {}
    for entry in output.decode("utf-8", "replace").split("\0"):
        name, separator, url = entry.partition("\n")
        if separator:
            remotes.setdefault(name.removeprefix("remote.").removesuffix(".url"), url)
    return dict(sorted(remotes.items()))


def _section_path(section: bytes) -> str:
    """Path of a patch section: without renames both halves of its first line name the same path."""
    names = section.split(b"\n", 1)[0].removeprefix(b"diff --git ")
    half = names[: (len(names) - 1) // 2]
    if half.startswith(b'"'):
        half = _unquote(half)
    return os.fsdecode(half.removeprefix(b"a/"))


_ESCAPES = {
    b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r", b'"': b'"', b"\\": b"\\",
}  # fmt: skip


def _unquote(quoted: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        return _ESCAPES[match[1]] if match[1] in _ESCAPES else bytes([int(match[1], 8)])

    return re.sub(rb"\\([0-7]{3}|.)", plain, quoted[1:-1])
