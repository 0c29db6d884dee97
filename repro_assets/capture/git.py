"""What git says about a folder, through its command line.

Laws: nothing is written and nothing of the repository's is started (`git_process`); where git refuses a repository of
another user, its refusal is reported. What git said of the tracked paths, the commit and the remotes is not asked again
for as long as the index, the refs and the configuration that it was read from are unchanged
(`repro_assets.capture.remembered`); whether a file differs from the commit is asked every time. Credentials in an
address, a message or the name of a branch or a tag go no further than this module.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from repro_assets.capture.git_process import start
from repro_assets.capture.remembered import Remembered, Stamps, stamps
from repro_assets.capture.secrets import find_secrets, redact_text, redact_url
from repro_assets.errors import MachineError

_TIMEOUT = 60.0
"""Seconds after which git is taken to hang (a dead network file system); for all that is asked at one time."""


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
    message : str or None
        The commit's message, as it is; None where it holds a secret.
    remotes : dict
        Remote name to address, without credentials.
    changed : tuple of str
        Tracked paths below the folder, relative to it, that differ from the commit.
    staged : tuple of str
        Those of them that differ from the commit in the index.
    untracked : tuple of str
        Paths that are neither tracked nor ignored, relative to the folder; of a repository below, with ``/`` behind.
    """

    commit: str | None
    branch: str | None
    tags: tuple[str, ...]
    message: str | None
    remotes: dict[str, str]
    changed: tuple[str, ...]
    staged: tuple[str, ...]
    untracked: tuple[str, ...]


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
    remembered : Remembered, optional
        What git has said before.
    """

    def __init__(self, folder: Path, top: Path, remembered: Remembered | None = None) -> None:
        self.folder = folder
        self.top = top
        prefix = folder.relative_to(top).as_posix()
        self.prefix = "" if prefix == "." else prefix + "/"
        self._remembered = Remembered(None, "git") if remembered is None else remembered
        self._deadline = float("inf")

    def look(self, *, tracked: bool = True) -> tuple[Facts, list[str]]:
        """Ask for the commit's facts and the tracked paths below the folder.

        Parameters
        ----------
        tracked : bool
            False where the tracked paths are not wanted; none are returned then.

        Returns
        -------
        Facts
            What git says.
        list of str
            Tracked paths, each behind ``H`` or, where a sparse checkout leaves it off the disk, ``S``.

        Raises
        ------
        MachineError
            If git is missing, refuses or hangs, with its own words.
        """
        self._deadline = time.monotonic() + _TIMEOUT
        places = _places(self.top)
        here = os.fspath(self.folder)
        paths = _Question(self, f"paths {here}", places and stamps([places[0] / "index"]), _LIST) if tracked else None
        remotes = _Question(self, f"remotes {here}", places and _configuration(*places), _REMOTES)
        head = _Question(self, f"head {here}", None, _HEAD)
        asked = [remotes] if paths is None else [paths, remotes]
        try:
            for question in asked if places is not None else [*asked, head]:
                question.begin()
            answer = self._finish(_STATUS, self._start(_STATUS))
            commit, branch, changed, staged, untracked = _status(self._checked(_STATUS, answer), self.prefix)
            if places is not None and commit is not None:
                head = _Question(self, f"head {here}", _refs(places[1], commit), _HEAD)
                head.begin()
            tags, message = head.answer(_head) if commit is not None else ((), "")
            facts = Facts(
                commit,
                branch and redact_text(branch),
                tuple(tags),
                message,
                dict(remotes.answer(_remotes)),
                changed,
                staged,
                untracked,
            )
            return facts, [] if paths is None else paths.answer(_listed)
        finally:
            for question in (*asked, head):
                question.abandon()

    def ignores_folder(self) -> bool:
        """Whether the repository ignores the folder as a whole."""
        self._deadline = time.monotonic() + _TIMEOUT
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
        self._deadline = time.monotonic() + _TIMEOUT
        text = self._checked(question, self._finish(question, self._start(question)))
        starts = [match.start() for match in re.finditer(rb"(?m)^(?=diff --git )", text)]
        # A file that differs in its line ends alone counts as changed and has no section.
        sections = [text[start:end] for start, end in pairwise([*starts, len(text)])]
        return [(_section_path(section), section) for section in sections]

    def _start(self, question: Sequence[str]) -> subprocess.Popen[bytes]:
        return start(self.folder, self.top, question)

    def _finish(self, question: Sequence[str], process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
        try:
            output, error = process.communicate(timeout=max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired as late:
            _kill(process)
            raise MachineError(f"git {question[0]} did not answer within {_TIMEOUT:.0f} s in {self.folder}") from late
        return process.returncode, output, error.decode("utf-8", "replace").strip()

    def _checked(self, question: Sequence[str], answer: tuple[int, bytes, str]) -> bytes:
        status, output, error = answer
        if status != 0:
            raise MachineError(f"git {question[0]} failed: {error}")
        return output


_LIST = ("ls-files", "-c", "-t", "-z")
_STATUS = (
    "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none",
    "--", ".",
)  # fmt: skip
_HEAD = ("log", "-1", "--format=%D%x00%B", "--decorate=full", "HEAD")
_REMOTES = ("config", "-z", "--get-regexp", r"^remote\..*\.url$")


class _Question:
    """One that is asked only where the answer is not remembered."""

    def __init__(self, worktree: Worktree, key: str, stamp: Stamps | None, words: tuple[str, ...]) -> None:
        self._worktree, self._key, self._stamp, self._words = worktree, key, stamp, words
        self._known = None if stamp is None else worktree._remembered.get(key, stamp)
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        if self._known is None:
            self._process = self._worktree._start(self._words)

    def answer(self, read: Callable[[bytes], Any]) -> Any:
        if self._process is None:
            return self._known
        process, self._process = self._process, None
        answer = self._worktree._finish(self._words, process)
        # `config` answers 1 where no remote is set.
        text = answer[1] if self._words is _REMOTES else self._worktree._checked(self._words, answer)
        found = read(text)
        # What was redacted may be kept; the name of a tracked file that holds a secret may not.
        if self._stamp is not None and not find_secrets(text if read is _listed else b"", "paths.py"):
            self._worktree._remembered.put(self._key, self._stamp, found)
        return found

    def abandon(self) -> None:
        if self._process is not None:
            _kill(self._process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # With all that it started, which would keep the pipes open. Only pipes are closed then: nothing is waited for.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _places(top: Path) -> tuple[Path, Path] | None:
    """Git's folder of this worktree and the one that its worktrees share; None where they cannot be told."""
    place = top / ".git"
    try:
        if place.is_file():
            # https://git-scm.com/docs/gitrepository-layout
            word, _, target = place.read_text("utf-8").strip().partition(": ")
            if word != "gitdir":
                return None
            place = top / target
        common = place / "commondir"
        shared = place / common.read_text("utf-8").strip() if common.is_file() else place
    except (OSError, ValueError):
        return None
    return (place, shared) if (place / "HEAD").exists() else None


def _configuration(place: Path, shared: Path) -> Stamps | None:
    """State of every file that configuration is read from; None where one of them includes others."""
    home = Path(os.environ.get("HOME", "/"))
    files = [
        shared / "config",
        place / "config.worktree",
        Path(os.environ.get("GIT_CONFIG_GLOBAL") or home / ".gitconfig"),
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config",
        Path(os.environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig"),
        Path("/usr/local/etc/gitconfig"),
        Path("/opt/homebrew/etc/gitconfig"),
    ]
    try:
        if any(b"include" in file.read_bytes() for file in files if file.is_file()):
            return None
    except OSError:
        return None
    return stamps(files)


def _refs(shared: Path, commit: str) -> Stamps:
    """The commit, and the state of every file that says which tags there are."""
    found = [shared / "reftable" / "tables.list", shared / "packed-refs", shared / "config"]
    for folder in ("tags", "replace"):
        for below, _, names in os.walk(shared / "refs" / folder):
            found += [Path(below), *(Path(below, name) for name in sorted(names))]
    return [[commit], *stamps(found)]


def _listed(output: bytes) -> list[str]:
    # A path in conflict is listed once for each of its sides.
    seen: dict[str, str] = {}
    for entry in output.split(b"\0"):
        if entry:
            path = os.fsdecode(entry[2:])
            seen.setdefault(path, ("S" if entry[:1] == b"S" else "H") + path)
    return list(seen.values())


def _head(output: bytes) -> tuple[list[str], str | None]:
    decoration, _, message = output.decode("utf-8", "replace").partition("\0")
    names = (part.removeprefix("tag: refs/tags/") for part in decoration.split(", ") if part.startswith("tag: "))
    tags = sorted(redact_text(name) for name in names)
    return tags, None if find_secrets(message.encode(), "message") else message.strip()


def _status(
    output: bytes, prefix: str
) -> tuple[str | None, str | None, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    commit = branch = None
    changed, staged, untracked = [], [], []
    # Fields before the path, by record type: https://git-scm.com/docs/git-status#_porcelain_format_version_2
    fields = {"1": 8, "u": 10}
    for entry in output.split(b"\0"):
        line = os.fsdecode(entry)
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif line.startswith("# branch.head "):
            branch = line.removeprefix("# branch.head ")
        elif line.startswith("? "):
            untracked.append(line[2:].removeprefix(prefix))
        elif line[:1] in fields:
            path = line.split(" ", fields[line[:1]])[-1].removeprefix(prefix)
            changed.append(path)
            if line[2] != ".":
                staged.append(path)
    return (
        None if commit == "(initial)" else commit,
        None if branch == "(detached)" else branch,
        tuple(sorted(changed)),
        tuple(sorted(staged)),
        tuple(sorted(untracked)),
    )


def _remotes(output: bytes) -> dict[str, str]:
    remotes: dict[str, str] = {}
    for entry in output.decode("utf-8", "replace").split("\0"):
        name, separator, url = entry.partition("\n")
        if separator:
            remotes.setdefault(name.removeprefix("remote.").removesuffix(".url"), redact_text(redact_url(url)))
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
