"""The cells that were executed in IPython or Jupyter, as a part of the source tree.

Laws: each execution is one cell, in the order of execution, as it was typed, magics too; a cell that was executed
twice is there twice, and one that failed is marked and still there, because it may have changed something before it
did. The file is a notebook (nbformat 4) that needs no library to read, and can be executed by giving the source of each
code cell to ``InteractiveShell.run_cell``. No time and no output is in it, so equal cells are equal bytes. A cell in
which the secret scanner finds something is left out, and named, as a file is.

Limits: of cells that were executed before the first capture, IPython itself knows only from version 9 on whether they
failed; of an older one they are marked ``unknown``. Cells that were executed without being kept in IPython's history,
before the first capture, are not seen.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from repro_assets.capture.secrets import find_secrets

PATH = "notebook/cells.ipynb"
DONE, FAILED, RUNNING, UNKNOWN = "done", "failed", "running", "unknown"


@dataclass(slots=True)
class Cell:
    """One execution of one cell.

    Parameters
    ----------
    count : int or None
        IPython's number of the execution; None for one that it keeps no history of.
    source : str
        As it was typed.
    state : str
        ``done``, ``failed``, ``running`` (it is the one that asks) or ``unknown``.
    """

    count: int | None
    source: str
    state: str
    info: Any = None


@dataclass(frozen=True, slots=True)
class NotebookCapture:
    """The executed cells.

    Parameters
    ----------
    data : bytes
        The notebook, UTF-8.
    document : dict
        For the record: ``path`` in the source tree, ``cells``, ``failed`` and ``unknown`` (execution counts).
    left_out : dict
        What stands for a cell in messages, to the reason.
    """

    data: bytes
    document: dict[str, Any]
    left_out: dict[str, str]


class _Recorder:
    """Follows one shell from its first capture on."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.cells = _cells_so_far(shell)
        shell.events.register("pre_run_cell", self._begins)
        shell.events.register("post_run_cell", self._ended)

    def _begins(self, info: Any) -> None:
        # Its number is not told here: versions of IPython differ in when they count on.
        self.cells.append(Cell(None, info.raw_cell, RUNNING, info))

    def _ended(self, result: Any) -> None:
        running = [cell for cell in self.cells if cell.state == RUNNING]
        # The cell in which the first capture was made began before this recorder did.
        mine = [cell for cell in running if cell.info is result.info] or [cell for cell in running if cell.info is None]
        for cell in mine:
            cell.count = result.execution_count if result.info.store_history else None
            cell.info = None
            cell.state = DONE if result.success else FAILED

    def number_running(self) -> None:
        """Give the cell that is being executed the number that IPython's history has it under."""
        running = [cell for cell in self.cells if cell.state == RUNNING]
        if running and running[-1].info is not None and running[-1].info.store_history:
            running[-1].count = len(self.shell.history_manager.input_hist_raw) - 1


_recorder: _Recorder | None = None


def capture_notebook() -> NotebookCapture | None:
    """Return the cells that the IPython of this process has executed; None where there is none."""
    global _recorder
    shell = _shell()
    if shell is None:
        return None
    if _recorder is None or _recorder.shell is not shell:
        _recorder = _Recorder(shell)
    _recorder.number_running()
    return describe_cells(_recorder.cells)


def executed_since(count: int) -> list[dict[str, Any]]:
    """Return, as nbformat has them, the cells that were executed after the first `count`; the one that asks too."""
    if _recorder is None or _recorder.shell is not _shell():
        return []
    _recorder.number_running()
    return written_cells(_recorder.cells[count:], count)[0]


def describe_cells(cells: list[Cell]) -> NotebookCapture:
    """Write cells as a notebook, without those in which the secret scanner finds something."""
    written, left_out = written_cells(cells)
    notebook = {
        "cells": written,
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    data = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    document = {
        "path": PATH,
        "cells": len(cells),
        "failed": [cell.count for cell in cells if cell.state == FAILED],
        "unknown": [cell.count for cell in cells if cell.state == UNKNOWN],
    }
    return NotebookCapture(data, document, left_out)


def written_cells(cells: list[Cell], before: int = 0) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return cells as nbformat has them, and what is left out of them with the reason.

    Parameters
    ----------
    cells : list of Cell
        The cells.
    before : int
        How many were executed before them.
    """
    written: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for position, cell in enumerate(cells, before + 1):
        findings = find_secrets(cell.source.encode("utf-8", "surrogatepass"), "cell.py")
        facts: dict[str, Any] = {"state": cell.state}
        if findings:
            reason = "secret scanner: " + ", ".join(f"{found.kind} in line {found.line}" for found in findings)
            left_out[f"{PATH}, cell {position}"] = facts["left_out"] = reason
            # Of another type, so that nobody takes the notebook without it for what was executed.
            written.append({"cell_type": "raw", "metadata": {"repro": facts}, "source": f"left out: {reason}"})
            continue
        written.append(
            {
                "cell_type": "code",
                "execution_count": cell.count,
                "metadata": {"repro": facts},
                "outputs": [],
                "source": cell.source.encode("utf-8", "backslashreplace").decode("utf-8"),
            }
        )
    return written, left_out


def _shell() -> Any:
    """Return the shell of this process, which never is made, nor IPython imported, by asking."""
    module = sys.modules.get("IPython.core.interactiveshell")
    if module is None or not module.InteractiveShell.initialized():
        return None
    return module.InteractiveShell.instance()


def _cells_so_far(shell: Any) -> list[Cell]:
    history = shell.history_manager
    failures = getattr(history, "exceptions", None)
    ended = getattr(shell.last_execution_result, "execution_count", None) or 0
    cells = []
    # IPython's list begins with an empty one, so that its places are the counts.
    for count, source in list(enumerate(history.input_hist_raw))[1:]:
        state = UNKNOWN if failures is None else FAILED if count in failures else DONE
        cells.append(Cell(count, source, state))
    if cells and ended < len(cells):
        cells[-1].state = RUNNING
    return cells
