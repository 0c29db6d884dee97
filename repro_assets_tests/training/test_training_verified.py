"""Every recipe of the project is deterministic: verified as `repro verify-determinism` does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from repro_assets.determinism.mode import Mode
from repro_assets.determinism.process_start import hash_seed_in_effect
from repro_assets.determinism.results import Written
from repro_assets.determinism.verification import Rehearsal, verify_determinism
from repro_assets.recording.rehearsal import main

TARGET = "every_recipe:every_recipe"
DRAWN = (
    "split_digits", "shift_splits", "generate_traces", "train_sft", "train_rft", "train_ttrl", "evaluate", "baselines",
    "generate_synthetic", "train_morphogenesis",
)  # fmt: skip


def leaves(folder: Path, seed: int) -> dict[str, str]:
    """Execute them once in this process, and return the digest of all that each recipe made."""
    folder.mkdir()
    plan = {
        "target": TARGET,
        "seed": seed,
        "path": [str(Path(__file__).parent)],
        "mode": dataclasses.asdict(Mode(hash_seed=hash_seed_in_effect() or "0")),
        "rehearsal": dataclasses.asdict(Rehearsal()),
        "strict": False,
        "store": str(folder / "store"),
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "result").mkdir()
    assert main([str(folder / name) for name in ("plan.json", "answer.json", "result")]) == 0
    assert json.loads((folder / "answer.json").read_text())["error"] is None
    found: dict[str, str] = {}
    for leaf in Written.read(folder / "result").leaves:
        name = leaf["path"].partition(".")[0].partition("[")[0]
        found[name] = found.get(name, "") + leaf["sha256"]
    return found


def test_every_recipe_has_equal_bits_in_other_processes_and_other_bits_for_another_seed(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        verified = verify_determinism(TARGET, seed=3, path=[Path(__file__).parent], timeout=550, log=log)
    assert verified.deterministic, str(verified)
    one, other = leaves(tmp_path / "one", 3), leaves(tmp_path / "other", 4)
    assert one.keys() == other.keys()
    assert {name for name in DRAWN if one[name] == other[name]} == set()
