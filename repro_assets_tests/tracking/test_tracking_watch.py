"""Fingerprints of a PyTorch loop in an experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from repro_assets import Experiment
from repro_assets.catalog.queries import rows
from repro_assets.determinism.fingerprints import fingerprint_of
from repro_assets.determinism.probe import Orders
from repro_assets.replay import looking
from repro_assets.store.home import Home

LOOP = """
import torch
from repro_assets import Experiment

torch.manual_seed(1)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with Experiment("fit", capture_environment=False) as run:
    seen = run.watch(model, optimizer)
    for step in range(1, 6):
        loss = model(torch.full((2, 3), float(step))).square().mean()
        seen.note(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def kept(home: Home, quantity: str) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for row in rows(home, f"SELECT * FROM fingerprints WHERE quantity = '{quantity}' ORDER BY step, tensor"):
        found.setdefault(row["step"], {})[row["tensor"]] = row["xxh3"]
    return found


def test_steps_are_those_of_the_optimizer_and_the_last_is_always_fingerprinted(project: Home) -> None:
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    with Experiment("fit", capture_source=False, capture_environment=False, monitor=None) as run:
        seen = run.watch(model, optimizer, every=2, gradients=True)
        for step in range(1, 6):
            data = torch.full((2, 3), float(step))
            with torch.no_grad():
                model(torch.zeros(1, 3))
            loss = model(data).square().mean()
            seen.note(loss=loss, batch=[step, step + 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    assert list(kept(project, "parameter")) == [2, 4, 5]
    assert kept(project, "parameter")[5] == {
        name: fingerprint_of(tensor) for name, tensor in model.state_dict().items()
    }
    assert kept(project, "loss") == {step: {"loss": fingerprint_of(losses[step - 1])} for step in (2, 4)}
    assert kept(project, "data")[4] == {"data.0": fingerprint_of(torch.full((2, 3), 4.0))}, "validation is no step"
    assert kept(project, "gradient")[4].keys() == {"weight", "bias"}
    assert {"python", "numpy", "torch"} <= kept(project, "rng")[4].keys()
    assert set(kept(project, "batch")) == {2, 4}
    # The hooks are gone with the experiment.
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()


def test_a_script_under_orders_shows_every_step_and_ends_after_the_last_one(
    project: Home, script: Callable[..., Any], tmp_path: Path, runs: Callable[[], list[dict[str, Any]]]
) -> None:
    folder = tmp_path / "seen"
    folder.mkdir()
    variables = Orders(str(folder), 0, 3, trace=2, every=1).written(tmp_path / "orders.json")
    process = script(LOOP, **variables)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    seen = looking.read(folder)
    assert sorted({row["step"] for row in seen.fingerprints}) == [0, 1, 2, 3]
    assert {row["quantity"] for row in seen.fingerprints} >= {"rng", "data", "output", "loss", "gradient", "parameter"}
    assert {row["step"] for row in seen.ops} == {2, 3}
    phases = {row["phase"]: row for row in seen.ops}
    assert set(phases) == {"forward", "backward", "optimizer"}
    assert str(phases["optimizer"]["source"]).endswith(
        f"theirs.py:{LOOP.splitlines().index('        optimizer.step()') + 1}"
    )
    assert any(part.get("name") == "weight" for row in seen.ops for part in row["out"])
    (run,) = runs()
    assert (run["state"], run["error_message"]) == ("INTERRUPTED", "ended after step 3, as was asked")


def test_a_training_that_goes_on_counts_on(project: Home) -> None:
    model = torch.nn.Linear(2, 1)
    with Experiment("fit", monitor=None) as run:
        seen = run.watch(model, every=1, done=3)
        seen.step()
        seen.step()
    assert list(kept(project, "parameter")) == [4, 5]


def test_without_an_optimizer_the_loop_says_where_a_step_ends(project: Home) -> None:
    model = torch.nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="as the test asked"), Experiment("fit", monitor=None) as run:
        seen = run.watch(model, every=2)
        for _ in range(3):
            seen.step()
        raise RuntimeError("as the test asked")
    assert list(kept(project, "parameter")) == [2, 3], "also of a run that fails"
