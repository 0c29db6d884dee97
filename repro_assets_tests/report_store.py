"""A small store for the tests of reports: two settings over three seeds, a failure, a replay, and names that attack."""

from __future__ import annotations

import math
import time
from pathlib import Path

from repro_assets.artifacts import repository
from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home, make_store

ATTACK = '</script><img src=x onerror=document.title="attacked"><!-- {{7*7}} ${7*7}'
STEPS = 900
ODD = {100: math.nan, 200: math.inf, 300: -math.inf}
LARGE_SEED = (1 << 63) - 1
ENVIRONMENT = {
    "level": "standard",
    "python": {"version": "3.11.9", "implementation": "CPython"},
    "torch": {"version": "2.13.0", "cuda": None},
    "os": {"system": "Linux", "name": "Debian"},
    "packages": [{"name": "numpy", "version": "2.1.0"}, {"name": "torch", "version": "2.13.0"}],
    "hardware": {"cpu": {"model": "A processor", "logical_cores": 4}, "memory_bytes": 1 << 35, "gpus": []},
    "variables": {"PYTHONHASHSEED": "0"},
    "unavailable": {},
}
SOURCE = {"commit": "c0ffee" * 6, "branch": "main", "tags": [], "remote": None, "dirty": False, "left_out": []}


def run_id(rate: float, seed: int) -> str:
    """Return the id of a training of this store."""
    return f"{'a' if rate == 0.1 else 'b'}{seed}" * 8


def value_at(rate: float, seed: int, step: int) -> float:
    """Return the loss that a training logs at a step."""
    return ODD.get(step, rate + (seed + 1) / (step + 1)) if seed == 0 else rate + (seed + 1) / (step + 1)


def fill(root: Path) -> Home:
    """Make the store."""
    home = make_store(root)
    journal = Journal(home.journal)
    environments = [
        str(repository.put(home, {**ENVIRONMENT, "level": level}).digest) for level in ("basic", "standard")
    ]
    data = repository.claim(repository.put(home, {"rows": 3}), "dataset-digits", run_id=None)
    parent = "d0" * 8
    journal.append(run_records.RunStarted(parent, "parent", "the-parent"))
    for rate, environment in zip((0.1, 0.2), environments, strict=True):
        for seed in range(3):
            _train(home, journal, rate, seed, environment, str(data.digest), parent)
    journal.append(
        run_records.ConsoleKept(run_id(0.1, 0), "stderr", f"\x1b[31mstep\x1b[0m 1\rstep 2\n{ATTACK}\n", 99, 0)
    )
    journal.append(run_records.ParentState(parent, "COMPLETED", "SUCCESS"), run_records.RunEnded(parent, "COMPLETED"))
    journal.append(
        run_records.RunStarted("e0" * 8, "asset", ATTACK, asset=ATTACK, seed=LARGE_SEED, config={ATTACK: ATTACK}),
        run_records.Params("e0" * 8, {"__proto__": ATTACK, "text": ATTACK}),
        run_records.Metrics.of("e0" * 8, [[ATTACK, step, float(step), time.time()] for step in range(3)]),
        run_records.RunEnded("e0" * 8, "FAILED", {"type": ATTACK, "message": ATTACK, "trace": ATTACK}),
    )
    first = run_id(0.1, 0)
    journal.append(
        run_records.ReplayMade(
            first, "f0" * 8, "identical", None, [{"name": f"model-{first}", "verdict": "identical"}], [], [], 2.5
        ),
        run_records.RunStarted(
            "f0" * 8, "asset", "a replay", asset="models/sft", replay_of=first, seed=0, config={"lr": 0.1}
        ),
        run_records.Metrics.of("f0" * 8, [["loss", 0, 99.0, time.time()]]),
        run_records.RunEnded("f0" * 8, "COMPLETED"),
    )
    journal.append(_near("e0" * 8))
    journal.append(
        run_records.RunTagged(run_id(0.2, 1), ["kept"], ["study=s1"]),
        run_records.RunNoted(run_id(0.2, 1), "a first note"),
        run_records.RunNoted(run_id(0.2, 1), f"looks right {ATTACK}"),
    )
    journal.close()
    return home


def _near(run: str) -> run_records.ReplayMade:
    """Return the replay of a run within a tolerance, one product of which was measured and one could not be."""
    place = {"max_absolute": 2.5e-7, "max_relative": 1e-6, "max_ulp": 3.0}
    measured = {"deviations": [], "deviating": 1234, "max_absolute": 2.5e-7, "max_relative": "Infinity", "max_ulp": 3.0}
    # As it was recorded before the greatest errors of a product were.
    older = {"deviations": [place, {**place, "max_ulp": 7.0}, dict.fromkeys(place)], "deviating": 3}
    return run_records.ReplayMade(
        run,
        None,
        "not_comparable",
        None,
        [
            {"name": "measured", "verdict": "equivalent", **measured, "unmeasured": None},
            {"name": "older", "verdict": "equivalent", **older, "unmeasured": None},
            {"name": "unread", "verdict": "not_comparable", "deviating": 0, "unmeasured": "it has no form"},
        ],
        tolerance={"absolute": 1e-6, "relative": 0.5, "ulp": 4},
    )


def _train(home: Home, journal: Journal, rate: float, seed: int, environment: str, data: str, parent: str) -> None:
    run = run_id(rate, seed)
    model = repository.claim(repository.put(home, {"weights": [rate, seed]}), "model-sft", run_id=run)
    now = time.time()
    reading = [["cpu_percent", step, 50.0 + seed, now + step / 10] for step in range(20)]
    journal.append(
        run_records.RunStarted(
            run,
            "asset",
            f"sft-{rate}-{seed}",
            parent_run_id=parent,
            asset="models/sft",
            seed=seed,
            config={"lr": rate, "nested": {"layers": 2}},
            environment=environment,
            source_facts=SOURCE,
            tags=["study=s1"],
        ),
        run_records.Params(run, {"lr": rate}),
        run_records.SeedsUsed(run, seed, {"shuffle": seed + 1}),
        run_records.PackagesUsed(run, {"numpy": "2.1.0"}),
        run_records.RunInput(run, "traces", data, asset="data/digits"),
        run_records.Metrics.of(
            run, [["loss", step, value_at(rate, seed, step), now + step / 1000] for step in range(STEPS)]
        ),
        run_records.Metrics.of(run, [["accuracy", STEPS, 0.9 - rate + seed / 100, now + 1]]),
        run_records.Metrics.of(run, reading, system=True),
        run_records.RunOutput(
            run, "result", str(model.digest), f"model-{run}", collection="model-sft", version=model.version
        ),
        run_records.EvaluationMade(
            run, f"eval-{run}", str(model.digest), data, data, {"accuracy": 0.9 - rate + seed / 100, "n": 400}
        ),
        run_records.CheckMade("verifies", seed != 2, run),
        run_records.RunEnded(run, "COMPLETED"),
    )
