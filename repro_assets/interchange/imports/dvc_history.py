"""What DVC's files of a repository said, commit by commit, and what its files held then.

Laws: commits come in the order of the history, ancestors first, each with what it changed against its parents; last
comes what is not committed. Git is asked and never told anything, reads what is in the repository and nothing over a
network, and starts none of its programs (`repro_assets.capture.git_process`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from repro_assets.capture.git import find_top
from repro_assets.capture.git_process import start
from repro_assets.errors import InvalidInput, MachineError
from repro_assets.interchange.imports.dvc_files import LOCK, SUFFIX, is_dvc_file
from repro_assets.interchange.imports.dvc_folder import MOST_READ, Change, Moment, Reader, is_own, uncommitted
from repro_assets.interchange.plain_yaml import MOST_BYTES

_FILES = ("100644", "100755")
_AUTHOR = re.compile(rb"(?m)^author .* (\d+) [+-]\d{4}$")
_BLOCK = 1 << 20


@contextlib.contextmanager
def history_of(root: Path) -> Iterator[Iterator[Moment]]:
    """Give the moments of a repository, oldest first; without git there is what lies in the folder.

    Parameters
    ----------
    root : Path
        The folder that holds ``.dvc``.

    Raises
    ------
    MachineError
        If git is missing or fails.
    InvalidInput
        If a file of DVC's is too large, or cannot be read.
    """
    place = root.resolve()
    top = find_top(place)
    if top is None:
        yield iter([uncommitted(place, {})])
        return
    with contextlib.closing(_Repository(place, top)) as repository:
        yield repository.moments()


class _Repository:
    """A git repository that answers questions about its commits."""

    def __init__(self, root: Path, top: Path) -> None:
        self._root, self._top = root, top
        below = root.relative_to(top).as_posix()
        self._prefix = "" if below == "." else f"{below}/"
        self._specs = [f":(top,glob){_literal(self._prefix)}**/{name}" for name in (f"*{SUFFIX}", LOCK)]
        self._reader = start(root, top, ("cat-file", "--batch"), offline=True, stdin=subprocess.PIPE)

    def close(self) -> None:
        """End the process that reads."""
        self._reader.kill()
        self._reader.communicate()

    def moments(self) -> Iterator[Moment]:
        """Yield the commits that changed a file of DVC's, then what is not committed."""
        head = self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}", may_fail=True).decode().strip()
        if head:
            listed = ("rev-list", "--topo-order", "--reverse", "--full-history", head, "--", *self._specs)
            commits = self._ask(*listed)
            compared = ("diff-tree", "--stdin", "-r", "-c", "--root", "-z", "--raw", "--no-abbrev", "--no-renames")
            changes = _changes(self._ask(*compared, "--", *self._specs, given=commits))
            for commit in commits.decode().split():
                found = [
                    Change(name, self._blob(new, path), tuple(self._blob(old, path) for old in olds))
                    for path, new, olds in changes.get(commit, ())
                    if (name := self._own(path)) is not None and new.strip("0")
                ]
                if found:
                    yield self._moment(commit, sorted(found))
        names = self._ask("ls-files", "-c", "-o", "--exclude-standard", "-z", "--", *self._specs)
        found_now = {name for name in map(os.fsdecode, names.split(b"\0")) if is_dvc_file(name)}
        there = [name for name in sorted(found_now) if is_own(self._root, name) and os.path.lexists(self._root / name)]
        yield uncommitted(self._root, self._committed(head) if head else {}, there)

    def _own(self, path: str) -> str | None:
        """Return the path of a file of DVC's from the folder; None for any other."""
        name = path.removeprefix(self._prefix)
        return name if path.startswith(self._prefix) and is_dvc_file(name) and is_own(self._root, name) else None

    def _moment(self, commit: str, changes: list[Change]) -> Moment:
        head, _, message = (self._object(commit, MOST_READ) or b"").partition(b"\n\n")
        author = _AUTHOR.search(head)

        def files(folder: str) -> dict[str, Reader]:
            above = f"{self._prefix}{folder}/"
            return {
                path.removeprefix(above): functools.partial(self._object, blob, MOST_READ)
                for path, mode, blob in self._tree(commit, above)
                if mode in _FILES
            }

        return Moment(
            commit,
            float(author[1]) if author else None,
            message.decode("utf-8", "replace").strip(),
            changes,
            lambda path: self._object(f"{commit}:{self._prefix}{path}", MOST_READ),
            files,
        )

    def _committed(self, commit: str) -> dict[str, bytes]:
        """Return the files of DVC's in a commit."""
        found = ((self._own(path), path, blob) for path, _, blob in self._tree(commit, self._prefix))
        return {name: self._blob(blob, path) for name, path, blob in found if name is not None}

    def _tree(self, commit: str, above: str) -> Iterator[tuple[str, str, str]]:
        """Yield path, mode and blob of each file below a folder."""
        words = ("ls-tree", "-r", "-z", "--full-tree", commit, *(["--", above] if above else []))
        for entry in self._ask(*words).split(b"\0")[:-1]:
            facts, _, path = entry.partition(b"\t")
            mode, _, blob = facts.decode().split()
            yield os.fsdecode(path), mode, blob

    def _blob(self, blob: str, path: str) -> bytes:
        """Return the content of a file of DVC's; empty where there was none."""
        if not blob.strip("0"):
            return b""
        content = self._object(blob, MOST_BYTES)
        if content is None:
            raise InvalidInput(f"{path} was larger than {MOST_BYTES} bytes, as {blob}", "it is not what DVC writes")
        return content

    def _object(self, name: str, most: int) -> bytes | None:
        """Return what git calls so; None where there is nothing, or it is larger, or a folder."""
        if "\n" in name:
            return None
        pipe, answer = self._reader.stdin, self._reader.stdout
        assert pipe is not None and answer is not None
        try:
            pipe.write(os.fsencode(name) + b"\n")
            pipe.flush()
            words = answer.readline().split()
            if not words:
                raise MachineError(f"git ended while it read {self._top}", "git fsck")
            if words[-1] == b"missing" or len(words) != 3:
                return None
            left, parts = int(words[2]) + 1, []
            while left:
                block = answer.read(min(left, _BLOCK))
                if not block:
                    raise MachineError(f"git ended while it read {self._top}", "git fsck")
                left -= len(block)
                if int(words[2]) <= most:
                    parts.append(block)
        except OSError as error:
            raise MachineError(f"git ended while it read {self._top}: {error.strerror}", "git fsck") from error
        return b"".join(parts)[:-1] if parts and words[1] != b"tree" else None

    def _ask(self, *question: str, given: bytes = b"", may_fail: bool = False) -> bytes:
        process = start(self._root, self._top, question, offline=True, stdin=subprocess.PIPE)
        output, said = process.communicate(given)
        if process.returncode != 0 and not may_fail:
            raise MachineError(f"git {question[0]} failed: {said.decode('utf-8', 'replace').strip()}")
        return output


def _changes(output: bytes) -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
    """Return path, blob and the parents' blobs of what each commit changed, of what ``git diff-tree`` says."""
    found: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {}
    commit = ""
    words = iter(output.split(b"\0")[:-1])
    for word in words:
        if not word.startswith(b":"):
            commit = word.decode()
            continue
        parents = len(word) - len(word.lstrip(b":"))
        blobs = word.decode().split()[parents + 1 : 2 * (parents + 1)]
        found.setdefault(commit, []).append((os.fsdecode(next(words)), blobs[-1], tuple(blobs[:-1])))
    return found


def _literal(path: str) -> str:
    """Return a path as git's patterns take it literally."""
    return re.sub(r"([\\*?\[])", r"\\\1", path)
