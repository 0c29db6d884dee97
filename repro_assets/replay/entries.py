"""The words that start the process of an execution that Dagster did not do.

Laws: a process is started as it was: the interpreter's options, the script, module or code, and the words after them;
paths of the project are those of the laid-out tree. What cannot be started again is refused with the reason, before
anything is.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.errors import InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.replay.interpreters import clean_variables
from repro_assets.replay.programs import run_program
from repro_assets.replay.records import Recorded
from repro_assets.store.home import Home

CELLS = "repro_assets.tracking.cells"
_CELLS = re.compile(r"notebook(-\d+)?/cells\.ipynb")
_ANSWER_SECONDS = 60.0
_VALUED = "WX"
_LONG_VALUED = ("--check-hash-based-pycs",)


@dataclass(frozen=True, slots=True)
class Entry:
    """How Python was started.

    Parameters
    ----------
    options : tuple of str
        Those of the interpreter.
    form : str
        ``script``, ``module``, ``code`` or ``typed``, where it read what a person typed.
    target : str
        The script, module or code.
    words : tuple of str
        What follows.
    """

    options: tuple[str, ...]
    form: str
    target: str
    words: tuple[str, ...]


def parse(words: list[str]) -> Entry:
    """Take the command line of an interpreter apart, as Python itself does.

    Parameters
    ----------
    words : list of str
        The interpreter and what follows, as ``sys.orig_argv`` has them.
    """
    position, options = 1, []  # type: int, list[str]
    while position < len(words) and words[position].startswith("-") and words[position] != "-":
        word = words[position]
        if word.startswith("--"):
            options.append(word)
            if word in _LONG_VALUED and position + 1 < len(words):
                position += 1
                options.append(words[position])
            position += 1
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter not in f"cm{_VALUED}":
                continue
            rest = [word[place + 1 :]] if word[place + 1 :] else words[position + 1 : position + 2]
            position += 1 if word[place + 1 :] else 2
            if letter in _VALUED:
                options += [word[: place + 1], *rest]
                break
            if place > 1:
                options.append(word[:place])
            form = "code" if letter == "c" else "module"
            return Entry(tuple(options), form, "".join(rest), tuple(words[position:]))
        else:
            options.append(word)
            position += 1
    if position >= len(words) or words[position] == "-":
        return Entry(tuple(options), "typed", "", tuple(words[position + 1 :]))
    return Entry(tuple(options), "script", words[position], tuple(words[position + 1 :]))


def check_entry(home: Home, run: Recorded, python: str) -> None:
    """Refuse a run whose process cannot be started again.

    Raises
    ------
    InvalidValue
        If so; the run and the reason are named.
    """
    plan = run.plan
    form = plan.get("form")
    if form == "notebook":
        notes = cells_of(home, run)[1]
        if notes and not _has_ipython(python):
            raise InvalidValue(f"of run {run.run_id}, {notes[0]}", "install ipython where it is replayed")
        return
    if form != "command" and parse(plan.get("interpreter_argv") or []).form == "typed":
        raise InvalidValue(
            f"the code of run {run.run_id} was typed or piped, and is on record nowhere", "put it into a file"
        )
    if form == "script":
        _check_script(home, run, python)
    if plan.get("redacted"):
        raise InvalidValue(
            f"a credential among the words of run {run.run_id} was not recorded",
            "give credentials by variables, which a replay inherits",
        )


def command_of(run: Recorded, python: str, *, cells: Path | None = None) -> list[str]:
    """Return the words that start the process of a run again, with the paths as they were.

    Parameters
    ----------
    run : Recorded
        The run.
    python : str
        The interpreter.
    cells : Path, optional
        Where the cells of a notebook are.
    """
    plan = run.plan
    if plan["form"] == "command":
        words = [python if plan["command"][0] == plan.get("python") else plan["command"][0], *plan["command"][1:]]
        options = [f"--output={pattern}" for pattern in plan.get("outputs", [])]
        # On record they are seen from the project's top.
        options += [f"--input={os.path.relpath(path, plan['working_folder'])}" for path in plan.get("inputs", [])]
        return [python, "-m", "repro_assets.cli.app", "exec", f"--name={run.name}", *options, "--", *words]
    if plan["form"] == "notebook":
        return [python, "-m", CELLS, str(cells)]
    entry = parse(plan["interpreter_argv"])
    target = [entry.target]
    if entry.form == "script":
        # From the project's top, as the working folder may have been left for good.
        target = [str(_beside(python, plan["script"]) or Path(plan["project_root"]) / plan["script"])]
    count = plan.get("processes", 1)
    if count > 1 and entry.form != "code":
        module = ["-m"] if entry.form == "module" else []
        ranks = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *module]
        return [python, *entry.options, *ranks, *target, *entry.words]
    mark = {"module": ["-m"], "code": ["-c"], "script": []}[entry.form]
    return [python, *entry.options, *mark, *target, *entry.words]


def cells_of(home: Home, run: Recorded) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the cells that a notebook had executed by the end of a run, and what is to be said of them.

    Raises
    ------
    InvalidValue
        If they are not on record, or one was left out.
    """
    tree = repository.by_digest(home, Digest.parse(str(run.source)), name="source tree").load()
    path = cells_file(tree)
    if path is None:
        raise InvalidValue(f"the cells of run {run.run_id} are not in its source tree", "capture the source")
    cells = [*json.loads(tree[path])["cells"], *run.cells]
    notes = []
    for number, cell in enumerate(cells, 1):
        if cell["cell_type"] != "code":
            raise InvalidValue(f"cell {number} of run {run.run_id} is not on record: {cell['source']}")
        if (magic := _not_plain(cell["source"])) is not None:
            notes.append(f"cell {number} is no plain Python: {magic}")
    return cells, notes


def cells_file(paths: Iterable[str]) -> str | None:
    """Return which path of a source tree has the cells that a notebook had executed; None where none does."""
    # Where a project has a file of this name itself, the cells are in the first folder with a number that it has not.
    found = sorted((len(path), path) for path in paths if _CELLS.fullmatch(path))
    return found[-1][1] if found else None


def _check_script(home: Home, run: Recorded, python: str) -> None:
    script = str(run.plan["script"])
    tree = repository.by_digest(home, Digest.parse(str(run.source)), name="source tree").manifest
    if _beside(python, script) is not None or script in {entry.name for entry in tree.entries}:
        return
    if Path(script).is_absolute():
        raise InvalidValue(
            f"the script {script} of run {run.run_id} lies outside of its project, so it is not in the source tree",
            "start it where its project is",
        )
    left = {str(item.get("path")): str(item.get("reason")) for item in run.source_facts.get("left_out") or []}
    raise InvalidValue(
        f"the script {script} is not in the source tree of run {run.run_id}: {left.get(script, 'it was ignored')}"
    )


def _beside(python: str, script: str) -> Path | None:
    """Return the program of this name that is installed beside an interpreter, where a script is such a program."""
    path = Path(script)
    installed = Path(python).parent / path.name
    return installed if path.parent.name == "bin" and not path.suffix and installed.is_file() else None


def _has_ipython(python: str) -> bool:
    ended = run_program([python, "-c", "import IPython"], _ANSWER_SECONDS, clean_variables(), what=python)
    return ended.code == 0


def _not_plain(source: str) -> str | None:
    """Return the first line of a cell that only IPython understands; None where all is Python."""
    try:
        compile(source, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        lines = source.splitlines() or [""]
        return lines[min((error.lineno or 1) - 1, len(lines) - 1)].strip()
    return None
