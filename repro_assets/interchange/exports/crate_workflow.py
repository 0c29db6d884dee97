"""Which file of a recorded source tree is the workflow of a run, and which tool of it the run executed.

Laws: a workflow is a file of the tree that is on record, found by what the run's plan says: the code location of an
asset graph, a script, the module of a program, the cells of a notebook, or the program of a command. Where the plan
names none that is in the tree, or its language is not known by its name, there is no workflow, and none is made up.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Any

from repro_assets.replay.entries import cells_file, parse

LANGUAGES = {".py": ("Python", "https://www.python.org/"), ".ipynb": ("Python", "https://www.python.org/"),
             ".sh": ("Shell", "https://pubs.opengroup.org/onlinepubs/9799919799/utilities/sh.html")}  # fmt: skip
"""The language of a file by its ending, and where it is described."""


def workflow_file(run: Mapping[str, Any], paths: Collection[str]) -> str | None:
    """Return the path of the workflow in the source tree, or None.

    Parameters
    ----------
    run : dict
        Columns of `runs`.
    paths : collection of str
        The files of its source tree.
    """
    return next((path for path in _candidates(run, paths) if path in paths and _suffix(path) in LANGUAGES), None)


def module_file(module: str, paths: Collection[str], folders: Collection[str] = ()) -> str | None:
    """Return the path of a module in a source tree, or None.

    Parameters
    ----------
    module : str
        Its dotted name.
    paths : collection of str
        The files of the tree.
    folders : collection of str
        Where modules are looked for, beside the top and ``src``.
    """
    stem = module.replace(".", "/")
    for folder in dict.fromkeys(["", *folders, "src"]):
        for name in (f"{stem}.py", f"{stem}/__init__.py", f"{stem}/__main__.py"):
            path = posixpath.normpath(posixpath.join(folder, name))
            if path in paths:
                return path
    return None


def positions(after: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the place of each step in an order in which none comes before one that it needs; none if there is none.

    Parameters
    ----------
    after : dict
        The steps that each step needs the products of.
    """
    try:
        return {step: place for place, step in enumerate(TopologicalSorter(after).static_order())}
    except CycleError:
        # Two runs of one workflow may have needed each other's products crosswise.
        return {}


def _candidates(run: Mapping[str, Any], paths: Collection[str]) -> Iterator[str]:
    plan = run["plan"] or {}
    folders = [folder for folder in plan.get("path") or () if not folder.startswith("/")]
    location = plan.get("code_location")
    if isinstance(location, Mapping) and location.get("module"):
        yield from filter(None, [module_file(str(location["module"]), paths, folders)])
    form = plan.get("form")
    if form == "script":
        yield str(plan["script"])
    elif form == "module":
        yield from filter(None, [module_file(str(plan["module"]), paths, folders)])
    elif form == "notebook":
        yield from filter(None, [cells_file(paths)])
    elif form == "command":
        words = list(plan.get("command") or [""])
        if words[0] == plan.get("python"):
            entry = parse(words)
            if entry.form == "module":
                yield from filter(None, [module_file(entry.target, paths, folders)])
            words = [entry.target] if entry.form == "script" else [""]
        # What is started with an interpreter that is no Python of ours is one of its first words.
        for word in words[:2]:
            yield posixpath.normpath(posixpath.join(str(plan.get("working_folder") or "."), word))


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix
