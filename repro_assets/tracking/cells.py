"""Executing the cells of a notebook in a new process: ``python -m repro_assets.tracking.cells NOTEBOOK``.

Laws: the cells are executed in their order, in one namespace that is ``__main__``, by IPython where it is installed and
else as plain Python; one that had failed may fail again, and any other that fails ends the process.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import json
import linecache
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro_assets.capture.notebook import FAILED
from repro_assets.errors import InvalidInput


def main(arguments: list[str]) -> int:
    """Execute the notebook at a path and return an exit code."""
    cells = read(Path(arguments[0]))
    sys.argv = [arguments[0]]
    execute = _by_ipython() if importlib.util.find_spec("IPython") is not None else _plainly()
    for number, cell in enumerate(cells, 1):
        failed = execute(cell["source"], number)
        expected = cell.get("metadata", {}).get("repro", {}).get("state")
        if failed is not None and expected != FAILED:
            print(f"cell {number} failed: {type(failed).__name__}: {failed}", file=sys.stderr)
            return 1
    return 0


def read(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook that hold code.

    Raises
    ------
    InvalidInput
        If the file is no notebook.
    """
    try:
        found = json.loads(path.read_text("utf-8"))["cells"]
        return [{**cell, "source": "".join(cell["source"])} for cell in found if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is no notebook: {error}") from error


def _by_ipython() -> Callable[[str, int], BaseException | None]:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()

    def execute(source: str, _number: int) -> BaseException | None:
        result = shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call, unused-ignore]
        error: BaseException | None = result.error_before_exec or result.error_in_exec
        return error

    return execute


def _plainly() -> Callable[[str, int], BaseException | None]:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module

    def execute(source: str, number: int) -> BaseException | None:
        name = f"<cell {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        try:
            code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            answer = eval(code, module.__dict__)
            if inspect.iscoroutine(answer):
                asyncio.run(answer)
        except Exception as error:  # noqa: BLE001 (whatever a cell raises is its answer)
            traceback.print_exc()
            return error
        return None

    return execute


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
