"""Where two runs of a script part, by executing both again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.replay.diverging import diverge
from repro_assets.store.home import Home

pytestmark = pytest.mark.slow

LOOP = """
import sys
import torch
from repro_assets import Experiment

torch.manual_seed(1)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with Experiment("fit", capture_environment=False) as run:
    open(sys.argv[2]).close()
    seen = run.watch(model, optimizer, every=4)
    for step in range(1, 9):
        rows = torch.full((2, 3), float(step))
        if step == 6:
            rows = rows * float(sys.argv[1])
        loss = model(rows).square().mean()
        seen.note(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def test_two_runs_of_a_script_part_where_a_word_of_theirs_counts(
    project: Home, script: Callable[..., Any], runs: Callable[[], list[dict[str, Any]]], tmp_path: Path
) -> None:
    cache = tmp_path.parent / f"{tmp_path.name}.cache"
    for word in ("1", "1.5"):
        cache.write_text(word)
        process = script(LOOP, word, str(cache))
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    one, other = (run["run_id"] for run in runs())
    with (tmp_path / "diverge.log").open("wb") as log:
        found = diverge(project, one, other, log=log)
    assert (found.verdict, found.reason) == ("diverged", None)
    assert (found.first_step, found.first_quantity, found.tensor) == (6, "data", "data.0")
    assert (found.found, found.op, found.argument) == ("input", "aten.mul.Tensor", "other: 1.0 and 1.5")
    line = LOOP.splitlines().index("            rows = rows * float(sys.argv[1])") + 1
    assert found.source_line == f"theirs.py:{line}"
    why = "both read it, and it had another size or time"
    assert {"part": "undeclared file", "name": str(cache), "values": [why]} in found.differences
    assert {run["state"] for run in runs()[2:]} == {"INTERRUPTED"}
    assert {run["replay_of"] for run in runs()[2:]} == {one, other}
