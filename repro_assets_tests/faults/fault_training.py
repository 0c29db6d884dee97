"""Trainings that are killed at any instant and continued from the newest checkpoint that the store has.

A recipe is one line of `RECIPES`: it trains on a run, from the value of a checkpoint or from the beginning, and returns
its product.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from repro_assets.artifacts import repository, retention
from repro_assets.determinism.global_rng import seeded_globals
from repro_assets.determinism.seeds import Seeds
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import CheckpointSaved, RunStarted
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.run import Run, new_run_id
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.training import digits, filtering, morphogenesis, policy, rft, sft, synthetic, traces, ttrl

SEED = 11
DIGITS_FILE = Path(__file__).parents[2] / "data" / "raw" / "digits.csv"
Train = Callable[[Run, Mapping[str, Any] | None], Any]


class _Aside:
    """What makes the inputs: seeds, and nobody who listens."""

    seeds = Seeds(SEED)

    def log_params(self, *_: Any) -> None: ...

    def log_metric(self, *_: Any) -> None: ...

    def log_metrics(self, *_: Any) -> None: ...


@functools.cache
def inputs() -> tuple[Mapping[str, Any], Any]:
    """Return the splits, the validation made small, and kept traces."""
    aside: Any = _Aside()
    splits = digits.split_digits(aside, digits.SplitConfig(), digits.read_digits(DIGITS_FILE))
    validation = {name: part[:8] for name, part in splits["validation"].items()}
    few = {name: part[:60] for name, part in splits["sft"].items()}
    raw = traces.generate_traces(aside, traces.TracesConfig(per_image=2), few)
    kept = filtering.filter_and_score(aside, filtering.FilterConfig(), raw)
    return {**splits, "sft": few, "validation": validation}, kept


def _train_sft(run: Run, resume: Mapping[str, Any] | None, **config: Any) -> Any:
    splits, kept = inputs()
    # Some 80 traces in batches of 16: nearly every checkpoint is in the middle of an epoch.
    settings = sft.SftConfig(steps=24, batch_size=16, warm_up=4, width=16, layers=1, feed_forward=32, **config)
    return sft.train_sft(run, settings, kept, splits["sft"], splits["validation"], resume=resume)


def _train_rft(run: Run, resume: Mapping[str, Any] | None, **config: Any) -> Any:
    splits, _ = inputs()
    settings = rft.RftConfig(steps=12, images_per_step=4, group_size=4, warm_up=2, **config)
    return rft.train_rft(run, settings, _policy(), splits["sft"], splits["validation"], resume=resume)


def _train_ttrl(run: Run, resume: Mapping[str, Any] | None, **config: Any) -> Any:
    splits, _ = inputs()
    few = {name: part[:40] for name, part in splits["stream"].items()}
    kept_aside = digits.read_digits(DIGITS_FILE)["labels"][few["image_ids"]]
    settings = ttrl.TtrlConfig(
        steps=10, images_per_step=6, group_size=4, agreement=0.2, neighbours=3, capacity=50, checkpoint_every=1,
        snapshot_every=2, warm_up=2, validate_every=5, **config,
    )  # fmt: skip
    return ttrl.train_ttrl(run, settings, _policy(), few, {"labels": kept_aside}, resume=resume)


def _train_morphogenesis(run: Run, resume: Mapping[str, Any] | None, **config: Any) -> Any:
    aside: Any = _Aside()
    data = synthetic.generate_synthetic(aside, synthetic.SyntheticConfig(problem="spirals", n_samples=200))
    # So short that warm-up, the blending of two seeds and what comes after it are all in 120 updates of 60 epochs.
    settings = morphogenesis.MorphogenesisConfig(
        steps=120, batch_size=55, patience=4, least_improvement=0.2, blending_epochs=6, seeds=2, **config
    )
    return morphogenesis.train_morphogenesis(run, settings, data, resume=resume)


def _policy() -> Any:
    shape = policy.Architecture(width=16, layers=1, feed_forward=32)
    return policy.to_value(policy.Policy(shape, Seeds(SEED).torch("the model to start from")))


_STAGES = {
    "stages": [
        {"name": "easy", "mix": {"simple": 0.8, "medium": 0.2, "hard": 0.0}, "exit": {"validation/accuracy": 0.05}},
        {"name": "all", "mix": {"simple": 0.2, "medium": 0.4, "hard": 0.4}},
    ],
    "advancement_interval": 4,
    "cooldown_cycles": 0,
    "smoothing_window_size": 2,
}
RECIPES: dict[str, Train] = {
    "sft": functools.partial(_train_sft, checkpoint_every=1, validate_every=8),
    "sft, best and few": functools.partial(
        _train_sft, checkpoint_every=1, checkpoint_keep=2, checkpoint_best="validation/reward", validate_every=2
    ),
    "sft, two workers": functools.partial(_train_sft, checkpoint_every=1, validate_every=8, workers=2),
    "sft, waiting for each": functools.partial(_train_sft, checkpoint_every=5, checkpoint_in_background=False),
    "sft, stages": functools.partial(
        _train_sft, checkpoint_every=1, curriculum="stages", curriculum_settings=_STAGES, curriculum_every=2
    ),
    "sft, losses": functools.partial(_train_sft, checkpoint_every=1, curriculum="loss", curriculum_every=4),
    "rft": functools.partial(_train_rft, checkpoint_every=1, validate_every=6),
    "ttrl": _train_ttrl,
    "ttrl, met once": functools.partial(_train_ttrl, transductive=False, arrivals=3),
    "morphogenesis": functools.partial(_train_morphogenesis, checkpoint_every=5),
}


def newest_checkpoint(home: Home) -> CheckpointSaved | None:
    """Return the checkpoint that a person would go on from."""
    saved = retention.read_ledger(home)
    alive = [item for item in saved.checkpoints if (item.run_id, item.name) not in saved.deleted_checkpoints]
    return max(alive, key=lambda item: item.step, default=None)


def work(folder: Path, recipe: str, told: Connection) -> None:
    """Train from the newest checkpoint to the end; say when the first step may begin, then the products' digests."""
    os.chdir(folder)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    inputs()
    home = open_store(folder / "store")
    saved = newest_checkpoint(home)
    resume = None if saved is None else repository.by_digest(home, Digest.parse(saved.digest)).load()
    run = begin(home, RunStarted(new_run_id(), "script", recipe, seed=SEED))
    told.send(None if saved is None else saved.step)
    with recorded(run), seeded_globals(run.seeds):
        product = RECIPES[recipe](run, resume)
    made = [repository.put(home, part) for part in (product.values() if "experience" in product else [product])]
    told.send(" ".join(str(artifact.digest) for artifact in made))


class Trainings:
    """Processes that train into one store, one after the other.

    Parameters
    ----------
    folder : Path
        Where the store is made.
    recipe : str
        Of `RECIPES`.
    start : str
        ``fork``, which is quick, or ``forkserver``: from a process that has imported this module and done no more.
    """

    def __init__(self, folder: Path, recipe: str, start: str) -> None:
        self.folder, self.recipe = folder, recipe
        self.home = make_store(folder / "store")
        self.context: Any = multiprocessing.get_context(start)
        self.context.set_forkserver_preload(["fault_training"])
        if start == "fork":
            # Done once here, and not in each process; torch imports its compiler for it.
            inputs()
            torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())

    def finish(self) -> tuple[str, int | None, float]:
        """Train to the end; return the products' digests, the step that was resumed from, and the seconds it took."""
        process, told = self._begin()
        step = told.recv()
        began = time.monotonic()
        digest = told.recv()
        seconds = time.monotonic() - began
        process.join()
        assert process.exitcode == 0
        return digest, step, seconds

    def kill_after(self, seconds: float) -> tuple[int | None, bool]:
        """Begin to train, kill the process so long after its first step began.

        Return what it resumed from, and whether it was at work still when it was killed.
        """
        process, told = self._begin()
        step: int | None = told.recv()
        time.sleep(seconds)
        process.kill()
        process.join()
        return step, process.exitcode == -signal.SIGKILL

    def _begin(self) -> tuple[Any, Connection]:
        here, there = self.context.Pipe(duplex=False)
        process = self.context.Process(target=work, args=(self.folder, self.recipe, there))
        process.start()
        there.close()
        return process, here


def instants(recipe: str, number: int, seconds: float) -> list[float]:
    """Return instants in a training that takes so long, the same for a recipe in every campaign."""
    return [random.Random(f"{recipe} {place}").uniform(0, seconds) for place in range(number)]
