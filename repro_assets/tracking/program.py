"""How this process was started, as a replay needs it.

Laws: what is recorded is the form (a script, a module, code of a notebook or of a prompt), the words, and the folder;
paths in the project are relative to its top, because a replay lays its source out elsewhere. Credentials among the
words are replaced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro_assets.tracking.words import recorded_words

FORMAT = 1
_WORDS = "plan.interpreter_argv"
_STARTED_IN = Path.cwd()
"""Where this process was when it loaded this module, which a script does before it goes elsewhere."""


def run_kind() -> str:
    """Return ``notebook`` where IPython executes this process's code, else ``script``."""
    ipython = sys.modules.get("IPython")
    return "notebook" if ipython is not None and ipython.get_ipython() is not None else "script"


def plan(root: Path) -> dict[str, Any]:
    """Return what a replay of this process needs beside source, environment, seeds and inputs.

    Parameters
    ----------
    root : Path
        The project's top.
    """
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if run_kind() == "notebook":
        entry: dict[str, Any] = {"form": "notebook"}
    elif spec is not None:
        # Of a package that is run, the module is its __main__.
        entry = {"form": "module", "module": spec.name.removesuffix(".__main__")}
    elif file is not None:
        entry = {"form": "script", "script": within(root, Path(file))}
    else:
        entry = {"form": "code"}
    if (count := processes()) > 1:
        entry["processes"] = count
    # Who executes a script again begins where it began; code that is typed goes on from where it is.
    folder = _STARTED_IN if entry["form"] in ("script", "module") else Path.cwd()
    words, replaced = recorded_words(sys.orig_argv, _WORDS)
    if replaced:
        entry["redacted"] = True
    return {
        "format": FORMAT,
        **entry,
        "argv": recorded_words(sys.argv[1:], "plan.argv")[0],
        "interpreter_argv": words,
        "working_folder": within(root, folder),
        "project_root": str(root),
        "path": within_path(root, sys.path),
    }


def replaced_words() -> list[str]:
    """Return a sentence for each word of the command line that started this process and is not in the plan."""
    return recorded_words(sys.orig_argv, _WORDS)[1]


def name() -> str:
    """Return what a run of this process is called where nobody said: the script's or module's name."""
    found = plan(Path.cwd())
    if found["form"] == "module":
        return str(found["module"]).rpartition(".")[2]
    return Path(found["script"]).stem if found["form"] == "script" else str(found["form"])


def within_path(root: Path, entries: Iterable[str]) -> list[str]:
    """Return the folders of the project among entries of a path for modules, but for those of installed packages."""
    found = [Path(entry).absolute() for entry in entries]
    return list(
        dict.fromkeys(
            within(root, folder)
            for folder in found
            if folder.is_relative_to(root) and not folder.is_relative_to(sys.prefix) and folder.is_dir()
        )
    )


def within(root: Path, path: Path) -> str:
    """Return a path as it stands in the project, absolute where it is outside."""
    whole = path.absolute()
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else str(whole)


def processes() -> int:
    """Return how many processes one launcher started for this program; 1 where there is none."""
    try:
        return int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        return 1


def rank() -> int:
    """Return which of several processes of one launcher this is; 0 for the first, or the only one."""
    try:
        return int(os.environ.get("RANK", "0")) if processes() > 1 else 0
    except ValueError:
        return 0
