"""The cells of docs/notebook.ipynb, and executing them: ``python notebook_page.py`` writes the page.

It is executed in the store of ``REPRO_HOME``, in which `repro train --mode sft` has run with several seeds and two
learning rates.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
CELLS = (
    "# Runs in a notebook\n\nExecuted on a store in which a small reader of digits was trained with two learning rates "
    "and three seeds each. [runs.md](runs.md) has the same on the command line.",
    "import repro_assets\n\nruns = repro_assets.runs(where=\"asset = 'models/sft' AND state = 'COMPLETED'\")\n"
    'runs[["name", "seed", "config.learning_rate", "metrics.validation/accuracy", "seconds"]]',
    "## Seeds as replications",
    'runs.groupby("config.learning_rate")["metrics.validation/accuracy"].agg(["count", "mean", "std"])',
    "The same in SQL, over everything that is on record:",
    'repro_assets.query("""\n    SELECT asset, config ->> \'learning_rate\' AS learning_rate, count(*) AS n, '
    "avg(value) AS mean\n    FROM runs JOIN metrics_last m USING (run_id)\n    WHERE m.name = 'validation/accuracy' "
    'AND state = \'COMPLETED\' AND replay_of IS NULL\n    GROUP BY ALL ORDER BY mean DESC\n""")',
    "## The best run of each learning rate",
    'best = runs.sort_values("metrics.validation/accuracy", ascending=False)\n'
    'best = best.groupby("config.learning_rate").head(1)["run_id"].tolist()\n'
    "run = repro_assets.run(best[0])\nrun",
    'run.metrics("validation/accuracy")[["step", "value"]].set_index("step").T',
    "## What differs from the other, and what it made",
    "run.compare(best[-1])",
    'run.outputs()[["slot", "name", "collection", "version"]]',
    'sorted(run.artifact("result").load())',
)

TEXTS = {0, 2, 4, 6, 9}


def execute() -> dict[str, Any]:
    """Execute the cells in IPython and return the notebook."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    made: list[dict[str, Any]] = []
    for number, source in enumerate(CELLS):
        lines = source.splitlines(keepends=True)
        if number in TEXTS:
            made.append({"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}, "source": lines})
            continue
        result = shell.run_cell(source, store_history=True)
        result.raise_error()
        count = shell.execution_count - 1
        outputs = []
        if result.result is not None:
            data, metadata = shell.display_formatter.format(result.result)
            shown = {kind: text.splitlines(keepends=True) for kind, text in data.items()}
            outputs.append(
                {"output_type": "execute_result", "execution_count": count, "data": shown, "metadata": metadata}
            )
        cell = {"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "execution_count": count}
        made.append({**cell, "source": lines, "outputs": outputs})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


if __name__ == "__main__":
    PAGE.write_text(json.dumps(execute(), indent=1, ensure_ascii=False) + "\n")
