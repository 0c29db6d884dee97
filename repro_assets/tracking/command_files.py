"""Which files a command reads and makes, as far as its words tell.

Laws: a file among the words that was there before is an input; one that is new or was changed meanwhile is an output,
and so is a folder that is new; what a person names counts whatever the words say. A store is neither. Nothing is
guessed from what a program is known to do.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from repro_assets.errors import InvalidValue
from repro_assets.store.home import Home, store_of

Facts = tuple[int, int, int, int]


class Watched:
    """The files among a command's words, as they are before it begins.

    Attributes
    ----------
    inputs : list of Path
        Those that are there, but for the program itself.
    """

    def __init__(self, home: Home, folder: Path, words: Sequence[str]) -> None:
        # The values of options, as in --data=FILE, too.
        named = dict.fromkeys(part for word in words[1:] for part in (word, word.partition("=")[2]) if part)
        self._paths = [
            path
            for path in (folder / name for name in named if "\0" not in name and len(name) < 4096)
            if not _holds_store(home, path) and not _is_source(path)
        ]
        self._before = {path: _facts(path) for path in self._paths}
        self.inputs = [path for path in self._paths if path.is_file()]

    def changed(self) -> list[Path]:
        """Return the files that are new or were changed since, and the folders that are new."""
        return [
            path
            for path in self._paths
            if (now := _facts(path)) is not None
            and now != self._before[path]
            and (path.is_file() or self._before[path] is None)
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
        found[pattern] = paths
    return found


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
