"""``python -m benchmarks.growth``: what growth is worth on the synthetic problems, as recorded runs.

Every training is a run of the store (REPRO_HOME), with its data set, model and evaluation; the tables are made of what
the evaluations say. The three ways of `growth` are trained on equal data from equal initial weights with equally many
updates.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro_assets.capture.code_version import code_version
from repro_assets.capture.level import Level
from repro_assets.determinism.global_rng import seeded_globals
from repro_assets.determinism.mode import Mode, applied, settings_record
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.capturing import Captured, capture
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.run import Run, new_run_id
from repro_assets.store.home import Home, find_store

WAYS = ("none", "seeds", "large")
EXPERIMENT = "growth"
# Student's t at 97.5 % for 2 to 10 values.
_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def main() -> None:
    """Train, evaluate, and print the tables."""
    from repro_assets.training.synthetic import PROBLEMS

    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--steps", type=int, help="updates of each training; the recipe's own if left out")
    parser.add_argument("--json", type=Path, help="write what was measured to this file, too")
    asked = parser.parse_args()
    if not 2 <= len(set(asked.seeds)) <= len(_QUANTILES) + 1:
        parser.error(f"an interval needs 2 to {len(_QUANTILES) + 1} seeds")
    found = []
    for row in study(find_store(make=True), asked.problems, asked.seeds, asked.steps):
        print(json.dumps(row), file=sys.stderr, flush=True)
        found.append(row)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    print("\n".join(tables(found)))


def study(home: Home, problems: list[str], seeds: list[int], steps: int | None) -> Iterator[dict[str, Any]]:
    """Yield the figures of each training."""
    from repro_assets.training.growth_evaluation import GrowthEvaluationConfig, evaluate_growth
    from repro_assets.training.morphogenesis import MorphogenesisConfig, train_morphogenesis
    from repro_assets.training.synthetic import SyntheticConfig, generate_synthetic

    mode = Mode()
    with applied(mode):
        captured = capture(home, Level.STANDARD)
        for problem in problems:
            for seed in seeds:
                config = SyntheticConfig(problem=problem)
                with _run(home, captured, mode, generate_synthetic, config, problem, seed) as run:
                    points = generate_synthetic(run, config)
                    dataset = run.log_output("dataset", points, name=f"dataset-synthetic-{problem}-seed{seed}")
                for way in WAYS:
                    words = {} if steps is None else {"steps": steps}
                    training = MorphogenesisConfig(growth=way, checkpoint_every=0, **words)  # type: ignore[arg-type]
                    started = time.perf_counter(), time.process_time()
                    with _run(home, captured, mode, train_morphogenesis, training, f"{problem}-{way}", seed) as run:
                        run.use("dataset", dataset)
                        value = train_morphogenesis(run, training, dataset.load())
                        model = run.log_output("model", value, name=f"model-{run.run_id}")
                        run.flush()
                        result = evaluate_growth(run, GrowthEvaluationConfig(), value, points)
                        stored = run.log_output("evaluation", result, name=f"eval-{model.name}-on-{dataset.name}")
                        numbers = {name: number for name, number in result.items() if name != "classes"}
                        run.log_evaluation(str(stored.name), model, dataset, stored, numbers)
                    yield {
                        "problem": problem,
                        "growth": way,
                        "seed": seed,
                        "run_id": run.run_id,
                        "digest": str(model.digest),
                        **numbers,
                        "seconds": round(time.perf_counter() - started[0], 2),
                        "processor_seconds": round(time.process_time() - started[1], 2),
                    }


def _run(home: Home, captured: Captured, mode: Mode, recipe: Any, config: Any, name: str, seed: int) -> Any:
    run_id = new_run_id()
    started = RunStarted(
        run_id=run_id,
        run_kind="script",
        name=f"{name}-seed{seed}-{run_id[:6]}",
        recipe=f"{recipe.__module__}:{recipe.__qualname__}",
        experiment=EXPERIMENT,
        trial=True,
        seed=seed,
        mode=dataclasses.asdict(mode),
        settings=settings_record(),
        capture_level=captured.level.value,
        config=config.model_dump(mode="json"),
        code_version=code_version(recipe.__module__).value,
        environment=str(captured.environment.digest),
        source=None if captured.source is None else str(captured.source.digest),
        source_facts=captured.source_facts,
        host_facts=captured.host_facts,
        warnings=captured.warnings,
    )
    return _seeded(begin(home, started))


class _seeded:
    """A recorded run under global generators that its seeds govern."""

    def __init__(self, run: Run) -> None:
        self._run, self._recorded, self._globals = run, recorded(run), seeded_globals(run.seeds)

    def __enter__(self) -> Run:
        self._recorded.__enter__()
        self._globals.__enter__()
        return self._run

    def __exit__(self, *error: Any) -> None:
        self._globals.__exit__(*error)
        self._recorded.__exit__(*error)


def tables(found: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of two tables: test accuracy of each way, and what growth gains over each control."""
    yield "| problem | growth | accuracy, mean | sd | 95 % interval | parameters | seeds grown |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    problems = list(dict.fromkeys(row["problem"] for row in found))
    accuracy = {(row["problem"], row["growth"], row["seed"]): row["accuracy_test"] for row in found}
    for problem in problems:
        for way in WAYS:
            rows = [row for row in found if (row["problem"], row["growth"]) == (problem, way)]
            mean, spread, half = interval([row["accuracy_test"] for row in rows])
            grown = statistics.mean(row["seeds_grown"] for row in rows)
            size = statistics.mean(row["parameters"] for row in rows)
            yield (
                f"| {problem} | {way} | {mean:.3f} | {spread:.3f} | {mean - half:.3f} to {mean + half:.3f} "
                f"| {size:,.0f} | {grown:.1f} |"
            )
    yield ""
    yield "| problem | growth less no growth | 95 % interval | growth less large | 95 % interval |"
    yield "| --- | --- | --- | --- | --- |"
    for problem in problems:
        seeds = sorted({row["seed"] for row in found if row["problem"] == problem})
        cells = []
        for control in ("none", "large"):
            gains = [accuracy[problem, "seeds", seed] - accuracy[problem, control, seed] for seed in seeds]
            mean, _, half = interval(gains)
            cells.append(f"{mean:+.3f} | {mean - half:+.3f} to {mean + half:+.3f}")
        yield f"| {problem} | {' | '.join(cells)} |"


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return mean, sample standard deviation and half the 95 % interval of the mean by Student's t."""
    spread = statistics.stdev(values)
    return statistics.mean(values), spread, _QUANTILES[len(values) - 2] * spread / len(values) ** 0.5


if __name__ == "__main__":
    main()
