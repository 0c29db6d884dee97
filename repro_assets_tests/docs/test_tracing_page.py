"""The examples of the page about traces: Python in one process, then its SQL on what that left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.store.home import make_store

PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_example_works_and_every_query_is_answered(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks("python")) + "\nprint(run.run_id)\nprint(header['traceparent'])\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "REPRO_HOME": str(home.root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run_id, header = done.stdout.split()
    record = show_run(home, run_id)
    assert record["state"] == "COMPLETED"
    names = sorted(row["name"] for row in record["slowest_spans"])
    assert names == [
        "answer",
        "epoch",
        "epoch",
        "evaluate",
        "example",
        "prepare",
        "prepare",
        "serve",
        "train",
        "translate",
    ]
    line = re.compile(r"^\S+ \S+ - repro_assets\.trainer - INFO - \[[0-9a-f]{32}\|trainer\] - (.*)$", re.MULTILINE)
    (shown,) = blocks("text")
    assert line.findall(done.stderr) == line.findall(shown) == ["accuracy is measured images=400"]
    statements = [text.strip() for block in blocks("sql") for text in block.split(";") if text.strip()]
    assert len(statements) == 5
    for statement in statements:
        assert queries.rows(home, statement), statement
    (tree,) = (statement for statement in statements if "RECURSIVE" in statement)
    paths = {row["path"] for row in queries.rows(home, tree)}
    assert {"example / train / epoch", "example / prepare", "serve / answer", "serve / translate"} <= paths
    served = queries.rows(home, "SELECT trace_id, span_id FROM spans WHERE name = 'serve'")
    assert header.split("-")[1:3] == [served[0]["trace_id"], served[0]["span_id"]]
