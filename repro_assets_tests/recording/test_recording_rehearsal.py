"""One run of a verification: what the target is given, and whose fault a failure is."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.process_start import hash_seed_in_effect
from repro_assets.determinism.results import Written
from repro_assets.determinism.verification import Rehearsal
from repro_assets.recording.rehearsal import main
from repro_assets.store.home import make_store

MODULE = """
from __future__ import annotations
import random
from typing import TYPE_CHECKING
import numpy, torch
from pydantic import BaseModel, Field
if TYPE_CHECKING:
    from nowhere import Run

class Config(BaseModel):
    size: int = Field(default=3, le=10)

def nothing(): return [random.random(), numpy.random.rand(), torch.rand(2)]
def seeded(seed, seeds): return [seed, seeds.derive("a")]
def recipe(run: Run, config: Config, source):
    run.log_metric("m", 1.0, 1)
    run.checkpoint("step", 1, {"a": torch.zeros(2)}, step=1)
    return {"drawn": run.seeds.numpy("x").random(config.size), "source": source}
def untyped(run, config): return 1
def fails(): raise KeyError("lost")
def leaves(): raise SystemExit(3)
def unknown(): return {"a": object()}
number = 3
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answers a plan in this process, and returns the answer and the result's leaves by path."""
    (tmp_path / "rehearsed.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "rehearsed", raising=False)

    numbers = itertools.count()

    def answer(target: str, rehearsal: Rehearsal | None = None, **more: Any) -> tuple[Any, dict[str, str]]:
        plan = {
            "target": target,
            "seed": 7,
            "path": [str(tmp_path)],
            "mode": dataclasses.asdict(Mode(hash_seed=hash_seed_in_effect() or "0")),
            "rehearsal": dataclasses.asdict(rehearsal or Rehearsal()),
            "strict": False,
            "store": str(tmp_path / f"store-{next(numbers)}"),
            **more,
        }
        folder = tmp_path / "result"
        folder.mkdir(exist_ok=True)
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        assert main([str(tmp_path / name) for name in ("plan.json", "answer.json", "result")]) == 0
        found = json.loads((tmp_path / "answer.json").read_text())
        leaves = [] if found["error"] else Written.read(folder).leaves
        return found, {leaf["path"]: leaf["sha256"] for leaf in leaves}

    return answer


def test_the_global_generators_are_seeded_whether_the_target_asks_or_not(asked: Any) -> None:
    first, second, other = asked("rehearsed:nothing"), asked("rehearsed:nothing"), asked("rehearsed:nothing", seed=8)
    assert first == second and not set(first[1].values()) - {first[1][""]} & set(other[1].values())


def test_parameters_are_given_by_their_names(asked: Any) -> None:
    found, leaves = asked("rehearsed:seeded")
    assert found["error"] is None and set(leaves) == {"", "[0]", "[1]"}


def test_a_recipe_gets_a_run_its_config_and_its_inputs(asked: Any, tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    source = repository.put(home, {"numbers": [1, 2]})
    rehearsal = Rehearsal({"size": 5}, str(home.root), {"source": str(source.digest)})
    found, leaves = asked("rehearsed:recipe", rehearsal)
    assert found["error"] is None and {"drawn", "source.numbers[1]"} <= set(leaves)
    assert asked("rehearsed:recipe", rehearsal)[1] == leaves
    other = dataclasses.replace(rehearsal, config={"size": 4})
    assert asked("rehearsed:recipe", other)[1]["drawn"] != leaves["drawn"]


@pytest.mark.parametrize(
    ("target", "kind", "word"),
    [
        ("nowhere_at_all:function", 2, "no module"),
        ("rehearsed:absent", 2, "no 'absent'"),
        ("rehearsed:number", 2, "cannot be called"),
        ("rehearsed:recipe", 2, "needs source"),
        ("rehearsed:untyped", 2, "has no class"),
        ("rehearsed:unknown", 2, "a is a builtins.object"),
        ("rehearsed:fails", "target", "KeyError: 'lost' ("),
        ("rehearsed:leaves", "target", "SystemExit: 3"),
        ("broken:function", "target", "No module named 'nowhere_at_all'"),
    ],
)
def test_a_failure_says_whose_it_is(asked: Any, target: str, kind: Any, word: str) -> None:
    found, _ = asked(target)
    assert found["error"]["kind"] == kind
    assert word in found["error"]["message"]


def test_a_config_that_does_not_fit_is_a_wrong_request(asked: Any, tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    source = repository.put(home, [1])
    found, _ = asked("rehearsed:recipe", Rehearsal({"size": 11}, str(home.root), {"source": str(source.digest)}))
    assert found["error"]["kind"] == 2 and "size" in found["error"]["message"]


def test_a_late_setting_is_said_and_strict_ends_it(asked: Any) -> None:
    mode = dataclasses.asdict(Mode(hash_seed="4242"))
    found, _ = asked("rehearsed:nothing", mode=mode)
    assert any("PYTHONHASHSEED" in line for line in found["late"]) and found["error"] is None
    found, _ = asked("rehearsed:nothing", mode=mode, strict=True)
    assert found["error"]["kind"] == 1 and "PYTHONHASHSEED" in found["error"]["message"]
