"""A notebook is replayed from the cells that it had executed by the end of the run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest
from persons import QUICK, verdicts

from repro_assets.catalog import queries

NOTEBOOK = f"""
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def cell(source, fails=False):
    result = shell.run_cell(source, store_history=True)
    assert fails or result.success
cell("from repro_assets import Experiment\\nimport random\\nnumbers = [1]")
cell("numbers.append(2); raise ValueError('wrong')", fails=True)
cell("%time numbers.append(5)")
cell("earlier = Experiment('earlier', {QUICK}).start()")
cell("earlier.log_artifact(numbers, 'first')")
cell("run = Experiment('later', seed=1, {QUICK}).start()")
cell("numbers.append(random.random())")
cell("run.log_artifact(numbers, 'second'); run.finish()")
cell("numbers.clear(); earlier.finish()")
"""


@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython, of the extra dev, is not installed")
def test_a_notebook_replays_with_and_without_ipython(person, tmp_path):
    person.write("rows.txt", "")
    person.python("-c", NOTEBOOK, IPYTHONDIR=str(tmp_path / "ipython"))
    (later,), (earlier,) = (
        [row["run_id"] for row in person.runs() if row["name"] == name] for name in ("later", "earlier")
    )
    cells = queries.rows(person.home, "SELECT cells FROM notebook_cells WHERE run_id = ?", [later])
    assert [cell["source"] for cell in json.loads(cells[0]["cells"])] == [
        "numbers.append(random.random())",
        "run.log_artifact(numbers, 'second'); run.finish()",
    ]
    person.gone()
    report = person.replay(later)
    assert verdicts(report) == {"second": "identical"}, (report.document(), person.log.read_text())
    report = person.replay(earlier)
    # `earlier` is the parent of `later`, which began while it was open.
    assert verdicts(report) == {"first": "identical", "second": "identical"}
    assert report.document()["notes"][1:] == ["cell 3 is no plain Python: %time numbers.append(5)"]

    # The cells in an interpreter that has no IPython.
    hidden = (
        "import importlib.util as u; find = u.find_spec; u.find_spec = lambda n: None if n == 'IPython' else find(n)"
    )
    notebook = tmp_path / "cells.ipynb"
    cells = [
        {"cell_type": "code", "source": text}
        for text in ("a = 2", "import asyncio\nawait asyncio.sleep(0)", "print(a)")
    ]
    notebook.write_text(json.dumps({"cells": cells}))
    run = f"{hidden}\nfrom repro_assets.tracking.cells import main\nimport sys; sys.exit(main([{str(notebook)!r}]))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    notebook.write_text(json.dumps({"cells": [*cells, {"cell_type": "code", "source": "1/0"}]}))
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "cell 4 failed: ZeroDivisionError" in done.stderr
