"""Where two trainings part that a command, a notebook or an outer experiment encloses, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from persons import QUICK, Person

from repro_assets import Experiment
from repro_assets.cli.diverge import lines_of
from repro_assets.errors import InvalidValue
from repro_assets.replay.diverging import Divergence, between, diverge
from repro_assets.replay.looking import Seen

FIT = """import torch
from repro_assets import Experiment

def fit(run, factor):
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = run.watch(model, optimizer, every=4)
    for step in range(1, 9):
        rows = torch.full((2, 3), float(step))
        if step == 6:
            rows = rows * factor
        loss = model(rows).square().mean()
        seen.note(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
SCRIPT = f"""
import sys
with Experiment("fit", {QUICK}) as run:
    fit(run, float(sys.argv[1]))
"""
PARTING = FIT.splitlines().index("            rows = rows * factor")


def parted(person: Person, one: str, other: str | None = None) -> tuple[Divergence, list[str]]:
    told: list[str] = []
    with person.log.open("wb") as log:
        return diverge(person.home, one, other, log=log, told=told.append), told


def check(found: Divergence, line: str) -> None:
    assert (found.verdict, found.reason) == ("diverged", None)
    assert (found.first_step, found.first_quantity, found.tensor) == (6, "data", "data.0")
    assert (found.found, found.op, found.argument) == ("input", "aten.mul.Tensor", "other: 1.0 and 1.5")
    assert found.source_line == line


@pytest.mark.slow
def test_a_command_stands_for_the_training_that_its_process_recorded(person: Person) -> None:
    person.write("train.py", FIT + SCRIPT)
    commands = []
    for factor in ("1", "1.5"):
        person.repro(
            "exec", "--name", f"with-{factor}", "--", "sh", "-c", f"{sys.executable} train.py {factor} && echo done"
        )
        commands.append(person.last(f"with-{factor}"))
    trainings = [row["run_id"] for row in person.runs() if row["name"] == "fit"]
    found, told = parted(person, *commands)
    assert found.runs == trainings
    assert told[0] == f"run {commands[0]} recorded the training {trainings[0]}, which is compared"
    check(found, f"train.py:{PARTING + 1}")
    again = [row for row in person.runs() if row["replay_of"] in trainings]
    assert {row["state"] for row in again} == {"INTERRUPTED"}


NOTEBOOK = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def cell(source):
    assert shell.run_cell(source, store_history=True).success
cell({FIT!r})
cell("with Experiment('earlier', {QUICK}) as run: fit(run, 1.0)")
cell("with Experiment('later', {QUICK}) as run: fit(run, 1.5)")
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython, of the extra dev, is not installed")
def test_each_training_of_a_notebook_is_found_among_the_others(person: Person, tmp_path: Path) -> None:
    person.python("-c", NOTEBOOK, IPYTHONDIR=str(tmp_path / "ipython"))
    found, _ = parted(person, person.last("earlier"), person.last("later"))
    check(found, f"cell 1:{PARTING + 1}")


def test_of_a_run_that_was_resumed_only_the_steps_that_both_made_are_compared() -> None:
    def seen(first: int) -> Seen:
        place: dict[str, Any] = {"op": "aten.mul.Tensor", "phase": "forward", "in": [], "out": [{"tensor": "ab"}]}
        kept = {"step": 3, "quantity": "loss", "tensor": "loss", "xxh3": "cd"}
        return Seen(Path(), [kept], [{"step": step, **place} for step in range(first, 4)])

    found = between(seen(1), seen(2))
    assert (found.again, found.op) == (False, None)


def test_what_names_no_training_or_several_is_refused_before_anything_starts(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    person.repro("exec", "--output", "made", "--", "sh", "-c", "echo hi > made")
    command = person.last()
    with pytest.raises(InvalidValue, match=f"run {command} recorded no training"):
        parted(person, command)
    monkeypatch.chdir(person.root)
    options: dict[str, Any] = {"capture_environment": False, "monitor": None, "home": person.home}
    with Experiment("outer", **options) as outer:
        for name in ("one", "two"):
            with Experiment(name, **options) as run:
                run.watch(torch.nn.Linear(1, 1)).step()
    with pytest.raises(InvalidValue, match=r"recorded several trainings: .* \(one\), .* \(two\)") as refused:
        parted(person, outer.run_id)
    assert refused.value.remedy == "name one of them"
    assert len(person.runs()) == 4


RANKS = f"""
import sys
import torch
from torch import distributed
from repro_assets import Experiment

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(1)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
with Experiment(sys.argv[1], {QUICK}) as run:
    seen = run.watch(model, optimizer, every=4)
    for step in range(1, 9):
        rows = torch.full((2, 3), float(step + rank))
        if step == 6 and rank == 1:
            rows = rows * float(sys.argv[2])
        optimizer.zero_grad()
        model(rows).square().mean().backward()
        optimizer.step()
distributed.destroy_process_group()
"""


@pytest.mark.soak
def test_ranks_of_torchrun_end_together_and_part_where_their_gradients_are_added_up(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    person.write("ranks.py", RANKS)
    for name, factor in (("plain", "1"), ("other", "1.5")):
        launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "ranks.py", name, factor)
        person.python(*launch)
    found, _ = parted(person, person.last("plain"), person.last("other"))
    assert (found.verdict, found.reason, found.first_step, found.first_quantity) == ("diverged", None, 6, "gradient")
    assert (found.found, found.op, found.phase) == ("op", "c10d.allreduce_.default", "backward")
    again = [row for row in person.runs() if row["replay_of"] is not None]
    assert [row["state"] for row in again] == ["INTERRUPTED"] * 2


LOGS = f"""
import sys
from repro_assets import Experiment

with Experiment("logs", {QUICK}) as run:
    for step in range(4):
        run.log_metric("loss", 1 / (step + 1) - (step > 1) * float(sys.argv[1]), step=step)
    run.log_artifact([sys.argv[2]], "value")
"""


def test_runs_that_nothing_watches_are_compared_by_what_they_logged_and_made(person):
    person.write("logs.py", LOGS)
    for words in (("0", "a"), ("0.5", "b"), ("0.5", "b"), ("0.5", "a")):
        person.python("logs.py", *words)
    one, other, same, equal = (row["run_id"] for row in person.runs())
    found = diverge(person.home, one, other)
    assert (found.verdict, found.first_step, found.last_equal_step) == ("diverged", 2, 1)
    assert (found.first_quantity, found.tensor) == ("metric", None)
    assert {"part": "run", "name": "arguments", "values": ['["0","a"]', '["0.5","b"]']} in found.differences
    assert lines_of(found)[-2:] == ["metric: loss", "product: value"]
    assert found.quantities == {"metric": ["loss"], "product": ["value"]}
    assert found.reason == "they share no fingerprints, so what they logged and made is compared"
    assert diverge(person.home, other, same).verdict == "identical"
    # What both made is what counts.
    assert diverge(person.home, one, equal).verdict == "identical"
    assert len(person.runs()) == 4, "nothing was executed"
    person.python("-c", f"from repro_assets import Experiment\nwith Experiment('n', {QUICK}): 0")
    with pytest.raises(InvalidValue, match=r"nor metrics in common .*repro runs compare"):
        diverge(person.home, one, person.last())


def test_a_run_that_nothing_watches_is_not_compared_with_itself(person):
    person.write("logs.py", LOGS)
    person.python("logs.py", "0", "a")
    with pytest.raises(InvalidValue, match=r"recorded no training .*repro replay"):
        diverge(person.home, person.last())
    assert len(person.runs()) == 1, "nothing was executed"
