"""Which files a command reads and makes, as far as its words tell.

Laws: a file among the words that was there before is an input; one that is new or was changed meanwhile is an output,
and so is a folder that is new, or one of the project in which something is; what a person names counts whatever the
words say, but what the command left as it was is not its output. A folder that was there is no input unless a person
says so, because nobody knows how large it may be: that is said. A store is neither. Nothing is guessed from what a
program is known to do.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from repro_assets.errors import InvalidValue
from repro_assets.store.home import Home, store_of

Facts = tuple[int, int, int, int]
Contents = dict[str, Facts]
_MOST = 10_000
"""How many files and folders in a folder are looked at before and after."""


class Watched:
    """The files among a command's words, as they are before it begins.

    Attributes
    ----------
    inputs : list of Path
        Those that are there, but for the program itself.
    folders : list of Path
        The folders that are there.
    """

    def __init__(self, home: Home, folder: Path, root: Path, words: Sequence[str]) -> None:
        # The values of options, as in --data=FILE, too.
        named = dict.fromkeys(part for word in words[1:] for part in (word, word.partition("=")[2]) if part)
        self._paths = [
            path
            for path in (folder / name for name in named if "\0" not in name and len(name) < 4096)
            if not _holds_store(home, path) and not _is_source(path)
        ]
        self._before = {path: _facts(path) for path in self._paths}
        self.inputs = [path for path in self._paths if path.is_file()]
        self.folders = [path for path in self._paths if path.is_dir()]
        self._contents = {
            path: contents
            for path in self.folders
            if path.resolve().is_relative_to(root.resolve()) and (contents := _contents(path)) is not None
        }

    def warnings(self, inputs: Sequence[Path]) -> list[str]:
        """Say what is not known of the folders among the words, given what a person names as inputs."""
        named = {path.resolve() for path in inputs}
        said = [
            f"the folder {path} is no input of this record; where the command reads it, name it: --input"
            for path in self.folders
            if not any(path.resolve().is_relative_to(one) for one in named)
        ]
        return said + [
            f"what changes in the folder {path} is not noticed; name what the command makes there: --output"
            for path in self.folders
            if path not in self._contents
        ]

    def changed(self) -> list[Path]:
        """Return the files and folders that are new or were changed since."""
        return [
            path
            for path in self._paths
            if (now := _facts(path)) is not None
            and (
                _contents(path) != self._contents[path]
                if path in self._contents
                else now != self._before[path] and (path.is_file() or self._before[path] is None)
            )
        ]


def refuse_patterns(folder: Path, patterns: Sequence[str]) -> None:
    """Refuse patterns of outputs that lead into the store.

    Raises
    ------
    InvalidValue
        If one does.
    """
    for pattern in patterns:
        fixed = Path(pattern)
        while any(letter in str(fixed) for letter in "*?["):
            fixed = fixed.parent
        if store_of(folder / fixed) is not None:
            raise InvalidValue(f"the output {pattern!r} is in the store itself", "keep what lies elsewhere")


def outputs_of(home: Home, folder: Path, patterns: Sequence[str]) -> dict[str, list[Path]]:
    """Return what fits each pattern, by name; `**` stands for any folders.

    A folder of which something within fits, too, is not kept beside it: it would be there twice.

    Raises
    ------
    InvalidValue
        If what fits holds the store.
    """
    found = {}
    for pattern in patterns:
        paths = [folder / name for name in sorted(glob.glob(pattern, root_dir=folder, recursive=True))]  # noqa: PTH207
        held = [path for path in paths if _holds_store(home, path)]
        if held:
            raise InvalidValue(f"the output {pattern!r} holds the store in {home.root}", "name what lies beside it")
        above = {parent for path in paths for parent in path.parents}
        found[pattern] = [path for path in paths if path not in above]
    return found


class Named:
    """The outputs that a person names by patterns, as they are before the command begins.

    Raises
    ------
    InvalidValue
        As `refuse_patterns` and `outputs_of`.
    """

    def __init__(self, home: Home, folder: Path, patterns: Sequence[str]) -> None:
        refuse_patterns(folder, patterns)
        self._home, self._folder, self._patterns = home, folder, patterns
        self._before = {path: _state(path) for paths in self._found().values() for path in paths}

    def made(self) -> dict[str, list[Path]]:
        """Return what fits each pattern now, without what was there before and is as it was."""
        return {
            pattern: [path for path in paths if (state := _state(path)) is None or self._before.get(path) != state]
            for pattern, paths in self._found().items()
        }

    def is_there(self, pattern: str) -> bool:
        """Tell whether anything fits a pattern, made or not."""
        return bool(self._found()[pattern])

    def _found(self) -> dict[str, list[Path]]:
        return outputs_of(self._home, self._folder, self._patterns)


def _state(path: Path) -> Facts | Contents | None:
    """Return what the file system says of a file or folder; None of a folder that holds too much to tell."""
    return _contents(path) if path.is_dir() else _facts(path)


def _holds_store(home: Home, path: Path) -> bool:
    return home.root.resolve().is_relative_to(path.resolve()) or store_of(path) is not None


def _is_source(path: Path) -> bool:
    """Whether a file is a program's text, which is in the source tree."""
    return path.suffix in (".py", ".pyz", ".sh", ".ipynb") and path.is_file()


def _facts(path: Path) -> Facts | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _contents(folder: Path) -> Contents | None:
    """Return the facts of all in a folder but for what Python compiles; None where it is too much or unreadable."""
    found: Contents = {}
    waiting = [str(folder)]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name == "__pycache__":
                        continue
                    if len(found) == _MOST:
                        return None
                    if entry.is_dir(follow_symlinks=False):
                        # Its own times change with what is compiled in it.
                        found[entry.path] = (entry.inode(), 0, 0, 0)
                        waiting.append(entry.path)
                    else:
                        facts = entry.stat(follow_symlinks=False)
                        found[entry.path] = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    except OSError:
        return None
    return found
