"""The source tree that a run is made from.

Laws: files are listed by git (tracked, and neither tracked nor ignored) or, where there is no repository, by a walk;
the bytes are those of the worktree; nothing is written into ``.git``. Nothing is dropped silently: what is listed and
not taken is in ``left_out`` with the reason, a folder once for all below it. No file enters in which the secret scanner
finds something, and a file is read again only in the state in which it was scanned. A path that looks like a credential
is left out too, and named without it.

Left out are what a store holds itself (not what else lies in its folder, such as ``raw/`` or a package), virtual
environments, ``__pycache__``, what ``.reproignore`` in the root names (gitignore syntax), files over the limit, and
untracked ``outputs/ multirun/ wandb/ mlruns/``: where they are tracked, or are Python packages, somebody has declared
them to be source. Of a git repository below (a submodule, or one that merely lies there) the files are taken as if they
were part of this one.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.capture.diffs import DIFF_LIMIT, diff_of, new_file
from repro_assets.capture.exclusions import Exclusions
from repro_assets.capture.git import Facts, Worktree, find_top
from repro_assets.capture.level import Level
from repro_assets.capture.remembered import Remembered
from repro_assets.capture.scanned import ScanCache
from repro_assets.capture.secrets import find_secrets, redact_text, told
from repro_assets.capture.source_tree import LeftOut, SourceCapture, SourceFile
from repro_assets.errors import InvalidInput, InvalidValue, ReproError, SourceChanged
from repro_assets.store.sources import Stamp

LIMIT = 50 * 1024 * 1024
"""Largest file, in bytes, that is taken unless the caller says otherwise."""


NO_REPOSITORY = "no repository here"
_cache = ScanCache()
_said_by_git = Remembered(None, "git")


def capture_source(
    root: str | os.PathLike[str],
    level: Level | str | int = Level.STANDARD,
    *,
    limit: int = LIMIT,
    cache: ScanCache | None = None,
    remembered: Remembered | None = None,
) -> SourceCapture:
    """Capture the source tree below `root`.

    Parameters
    ----------
    root : path-like
        The project's folder; a folder inside a repository is a root of its own.
    level : Level or its name or number
        ``basic`` takes git's facts only; ``standard`` also the files and the diff.
    limit : int
        Largest file in bytes.
    cache : ScanCache, optional
        Where findings are remembered; one for the whole process by default.
    remembered : Remembered, optional
        Where git's answers are; one for the whole process by default.

    Raises
    ------
    InvalidInput
        If `root` is not a folder, or its ``.reproignore`` does not read.
        What git cannot say is in ``document["unavailable"]`` instead.
    InvalidValue
        If `level` is no level, or `limit` is negative.
    """
    level = Level.parse(level)
    if limit < 0:
        raise InvalidValue(f"the size limit {limit} is negative")
    folder = Path(root).resolve()
    if not folder.is_dir():
        raise InvalidInput(f"the source root {folder} is not a folder")
    scanned, said = (_cache if cache is None else cache), (_said_by_git if remembered is None else remembered)
    return _Capture(folder, level, limit, scanned, said, Exclusions(folder)).take()


@dataclass(slots=True)
class _Capture:
    root: Path
    level: Level
    limit: int
    cache: ScanCache
    said_by_git: Remembered
    rules: Exclusions
    files: list[SourceFile] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    repositories: list[dict[str, Any]] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    verdicts: dict[tuple[str, bool], tuple[str, str] | None] = field(default_factory=dict)
    full: bool = field(init=False)

    def __post_init__(self) -> None:
        self.full = self.level.takes(Level.STANDARD)

    def take(self) -> SourceCapture:
        document: dict[str, Any] = {"format": 1, "level": str(self.level)}
        git, diff, diff_left_out = self._repository("", self.root)
        document.update(git)
        self.files.sort(key=lambda file: file.path)
        left_out = tuple(LeftOut(path, self.left_out[path]) for path in sorted(self.left_out))
        document.update(
            untracked=sorted(self.untracked),
            deleted=sorted(self.deleted),
            repositories=sorted(self.repositories, key=lambda each: str(each["path"])),
            files={"count": len(self.files), "bytes": sum(file.size for file in self.files)},
            left_out=[{"path": path, "reason": reason} for path, reason in left_out],
            diff_left_out=[{"path": path, "reason": reason} for path, reason in diff_left_out],
            unavailable=dict(sorted(self.unavailable.items())),
        )
        return SourceCapture(self.root, document, tuple(self.files), left_out, diff, frozenset(sys.modules))

    def _repository(self, below: str, folder: Path) -> tuple[dict[str, Any], str, list[LeftOut]]:
        """Take the files of `folder`, which lies at `below` in the root, and return git's facts about it."""
        label = below.rstrip("/") or "git"
        # A repository below the root is known by its own `.git`: the one around it has already said that it is none.
        top = find_top(folder) if not below else (folder if (folder / ".git").exists() else None)
        reason = NO_REPOSITORY if top is None else ""
        if top is not None:
            worktree = Worktree(folder, top, self.said_by_git)
            try:
                facts, tracked = worktree.look(tracked=self.full or bool(worktree.prefix))
                if worktree.prefix and not tracked and worktree.ignores_folder():
                    reason = "the repository around it ignores this folder"
            except ReproError as error:
                reason = error.message
        if reason:
            self.unavailable[label] = reason
            for relative in self._walk(below, folder):
                self._take(relative, tracked=False)
            return {"git": False, "commit": None, "branch": None, "dirty": None}, "", []
        if not self.full:
            tracked = [f"H{path}" for path in facts.changed]
        unsafe = _unsafe([*(entry[1:] for entry in tracked), *facts.untracked])
        for entry in tracked:
            path = entry[1:]
            if path in unsafe:
                self.left_out[redact_text(_shown(below + path))] = "its name holds a secret"
            elif entry[0] == "S" and not os.path.lexists(f"{self.root}/{below}{path}"):
                self.left_out[_shown(below + path)] = "not on disk: a sparse checkout leaves it out"
            else:
                self._take(below + path, tracked=True)
        untracked = []
        for path in facts.untracked:
            if path in unsafe:
                untracked.append(redact_text(_shown(below + path)))
                self.left_out[untracked[-1]] = "its name holds a secret"
            elif self._take(below + path, tracked=False):
                untracked.append(_shown(below + path.rstrip("/")))
        self.untracked += untracked
        if facts.message is None:
            self.unavailable[f"{label}.message"] = "left out: it holds a secret"
        git = {
            "git": True,
            "commit": facts.commit,
            "branch": facts.branch,
            "detached": facts.commit is not None and facts.branch is None,
            "tags": list(facts.tags),
            "remote": facts.remotes.get("origin", next(iter(facts.remotes.values()), None)),
            "remotes": facts.remotes,
            "message": facts.message,
            "subfolder": worktree.prefix.rstrip("/"),
            "dirty": bool(facts.changed or untracked),
            "changed": [redact_text(_shown(path)) for path in facts.changed],
            "staged": [redact_text(_shown(path)) for path in facts.staged],
        }
        if below or not (self.full and facts.commit is not None):
            return git, "", []
        sections, dropped = self._diff(worktree, facts) if facts.changed else ([], [])
        # A folder that is a repository of its own is in `repositories`.
        new = {path for path in facts.untracked if path not in unsafe}
        added = [file for file in self.files if file.path in new]
        for file in added:
            if file.size > DIFF_LIMIT:
                dropped.append(LeftOut(file.path, f"{file.size} bytes, over the limit of {DIFF_LIMIT} for a new file"))
                continue
            try:
                sections.append(new_file(file.path, file.read(), file.executable, file.link_target is not None))
            except (SourceChanged, OSError) as error:
                dropped.append(LeftOut(file.path, f"cannot be read: {error}"))
        return git, "".join(sections), dropped

    def _diff(self, worktree: Worktree, facts: Facts) -> tuple[list[str], list[LeftOut]]:
        reasons = {
            path: self.left_out.get(_shown(path)) or self.rules.reason(path, tracked=True) for path in facts.changed
        }
        try:
            kept, dropped = diff_of(worktree, facts, reasons)
        except ReproError as error:
            self.unavailable["diff"] = error.message
            return [], []
        return kept, [LeftOut(redact_text(_shown(path)), reason) for path, reason in dropped]

    def _take(self, relative: str, tracked: bool) -> bool:
        """Take one listed path or say why not; True unless a folder that is left out holds it."""
        relative = relative.rstrip("/")
        place = relative.rpartition("/")[0]
        folder = relative if self.rules.is_store(place) else place, tracked
        if folder not in self.verdicts:
            self.verdicts[folder] = self.rules.folder_of(relative, tracked)
        verdict = self.verdicts[folder]
        if verdict is not None:
            self.left_out[_shown(verdict[0]) + "/"] = verdict[1]
            return False
        absolute = f"{self.root}/{relative}"
        try:
            state = os.lstat(absolute)
            if stat.S_ISDIR(state.st_mode):
                return self._below(relative, Path(absolute), tracked)
            reason = self._take_file(relative, absolute, state)
        except (FileNotFoundError, NotADirectoryError):
            if tracked:
                self.deleted.append(_shown(relative))
                return True
            reason = "gone when it was to be read"
        except SourceChanged:
            reason = "changed while it was read"
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if reason is not None:
            self.left_out[_shown(relative)] = reason
        return True

    def _take_file(self, relative: str, absolute: str, state: os.stat_result) -> str | None:
        if self.rules.is_named(relative):
            return "named in .reproignore"
        if not relative.isascii():
            try:
                relative.encode("utf-8")
            except UnicodeEncodeError:
                return "its name is not UTF-8"
        stamp, link, digest = Stamp.of(state), None, None
        if stat.S_ISLNK(state.st_mode):
            link, reason = self._link(relative, absolute)
            if reason is not None:
                return reason
        elif not stat.S_ISREG(state.st_mode):
            return "neither a file nor a link"
        elif state.st_size > self.limit:
            return f"{state.st_size} bytes, over the limit of {self.limit}"
        elif self.full:
            found, known = self.cache.look(absolute, relative, stamp)
            if found.findings:
                return told(found.findings)
            digest = found.digest if known else None
        if self.full:
            size = state.st_size if link is None else len(link.encode())
            executable = link is None and bool(state.st_mode & stat.S_IXUSR)
            self.files.append(SourceFile(relative, absolute, size, executable, link, stamp, digest))
        return None

    def _link(self, relative: str, absolute: str) -> tuple[str | None, str | None]:
        """Target of a link, relative to its folder, or the reason why it is left out."""
        target = os.path.join(os.path.dirname(absolute), os.readlink(absolute))  # noqa: PTH118, PTH120, PTH115
        inside = os.path.realpath(target)
        if Path(inside) != self.root and not inside.startswith(f"{self.root}/"):
            return None, "a link that leads out of the source root"
        # An absolute target is written relative, so that the tree means the same wherever it is laid out.
        start = os.path.dirname(absolute)  # noqa: PTH120
        written = os.path.relpath(os.path.normpath(target), start)
        if not os.path.normpath(target).startswith(f"{self.root}/"):
            written = os.path.relpath(inside, start)
        try:
            written.encode("utf-8")
        except UnicodeEncodeError:
            return None, "a link whose target's name is not UTF-8"
        if find_secrets(written.encode(), relative):
            return None, "a link whose target's name looks like a secret"
        return written, None

    def _below(self, relative: str, folder: Path, tracked: bool) -> bool:
        if not (folder / ".git").exists() and not any(folder.iterdir()):
            self.left_out[_shown(relative) + "/"] = "a submodule that is not checked out"
            return True
        git, _, _ = self._repository(relative + "/", folder)
        self.repositories.append({"path": _shown(relative), "submodule": tracked, **git})
        return True

    def _walk(self, below: str, folder: Path) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.left_out[_shown(below) or "./"] = f"cannot be read: {error.strerror}"
            return
        for entry in entries:
            relative = below + entry.name
            if not entry.is_dir(follow_symlinks=False):
                if entry.name != ".git":
                    yield relative
                continue
            verdict = self.rules.folder_of(relative + "/.", tracked=False)
            if verdict is None:
                yield from self._walk(relative + "/", Path(entry.path))
            else:
                self.left_out[_shown(verdict[0]) + "/"] = verdict[1]


def _unsafe(paths: list[str]) -> set[str]:
    """Those of `paths` in which something looks like a credential."""
    if not find_secrets("\n".join(paths).encode("utf-8", "surrogateescape"), "paths.py"):
        return set()
    return {path for path in paths if find_secrets(path.encode("utf-8", "surrogateescape"), "paths.py")}


def _shown(path: str) -> str:
    """Spell a path in Unicode: a byte of its name that is not UTF-8 as ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
