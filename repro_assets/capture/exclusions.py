"""Which listed paths are no source.

Laws: the outermost folder that is left out decides, with its reason. A store is known by its marker file; what it holds
itself is left out, and what else lies in its folder, such as ``raw/`` or a package, is a person's and source.
``.reproignore`` in the root speaks gitignore's language; such
files in folders below are ordinary files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from repro_assets.errors import InvalidInput
from repro_assets.store.home import IGNORING, MARKER, own_names

_NEVER = {".venv": "a virtual environment", "__pycache__": "compiled Python", ".git": "git's own folder"}
_OUTPUTS = frozenset({"outputs", "multirun", "wandb", "mlruns"})
_STORE = "what a store holds itself; other files in its folder are source"
_OF_STORES = own_names()
_ROOT = "."


class Exclusions:
    """Rules for one source root.

    Parameters
    ----------
    root : path
        Absolute and resolved.

    Raises
    ------
    InvalidInput
        If ``.reproignore`` does not read.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._judged: dict[str, tuple[str, bool] | None] = {}
        self._patterns = _patterns(root / ".reproignore")

    def folder_of(self, path: str, tracked: bool) -> tuple[str, str] | None:
        """Outermost folder on the way to `path` that is left out, and why.

        Parameters
        ----------
        path : str
            A file, relative to the root; of a folder, the folder followed by ``/.``.
        tracked : bool
            Whether git tracks it: folders of outputs are left out only where it does not.
        """
        parts = path.split("/")
        for depth, part in enumerate(parts):
            folder = "/".join(parts[:depth])
            judged = self._judgement(folder)
            if judged is None:
                continue
            reason, even_tracked = judged
            if reason == _STORE and part not in _OF_STORES and (tracked or part != IGNORING):
                continue
            if even_tracked or not tracked:
                return folder or _ROOT, reason
        return None

    def is_store(self, folder: str) -> bool:
        """Whether `folder`, relative to the root, holds a store, so that each name in it is judged by itself."""
        judged = self._judgement(folder)
        return judged is not None and judged[0] == _STORE

    def reason(self, path: str, tracked: bool) -> str | None:
        """Why the file `path` is left out by its name or place; None where it is not."""
        folder = self.folder_of(path, tracked)
        if folder is not None:
            return folder[1]
        return "named in .reproignore" if self.is_named(path) else None

    def is_named(self, path: str) -> bool:
        """Whether ``.reproignore`` names `path`."""
        return self._patterns is not None and bool(self._patterns.match_file(path))

    def _judgement(self, folder: str) -> tuple[str, bool] | None:
        if folder not in self._judged:
            self._judged[folder] = self._judge(folder, folder.rpartition("/")[2])
        return self._judged[folder]

    def _judge(self, folder: str, name: str) -> tuple[str, bool] | None:
        """Reason to leave `folder` out, and whether it also holds for what git tracks."""
        absolute = f"{self._root}/{folder}" if folder else self._root
        if os.path.lexists(f"{absolute}/{MARKER}"):
            return _STORE, True
        if not folder:
            return None
        if name in _NEVER:
            return _NEVER[name], True
        if os.path.lexists(f"{absolute}/pyvenv.cfg"):
            return "a virtual environment", True
        if name in _OUTPUTS and not os.path.lexists(f"{absolute}/__init__.py"):
            return "outputs of a tool", False
        return None


def _patterns(file: Path) -> Any:
    if not file.is_file():
        return None
    import pathspec

    try:
        return pathspec.GitIgnoreSpec.from_lines(file.read_text("utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} does not read: {error}", "it is UTF-8 text in gitignore syntax") from error
