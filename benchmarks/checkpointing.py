"""What a checkpoint after every step costs a training on the CPU whose steps take a second and more."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from benchmarks.measuring import REPETITIONS, Figure, Section, timed
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.run import new_run_id
from repro_assets.recording.tracers import tracers
from repro_assets.store.home import Home, make_store
from repro_assets.training.loop import Generators, Loop
from repro_assets.training.loop_config import LoopConfig

WIDTHS = (784, 2048, 2048, 512, 10)
SHORTEST = 1.0
STEPS = 6
LIMIT = 5.0
_SELDOM = 1_000_000


class _Training:
    """A network of some seven million parameters that learns noise, and its AdamW."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.draws = torch.Generator().manual_seed(0)
        layers = [nn.Linear(inner, outer) for inner, outer in itertools.pairwise(WIDTHS)]
        self.model = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), foreach=False, fused=False)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def step(self) -> None:
        seen = torch.randn(self.batch, WIDTHS[0], generator=self.draws)
        wanted = torch.randint(WIDTHS[-1], (self.batch,), generator=self.draws)
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(seen), wanted).backward()
        self.optimizer.step()

    def seconds_of_a_step(self, home: Home, *, every: int, background: bool) -> tuple[float, float]:
        """Mean of the steps between the first one and the last, and the time that leaving the loop takes."""
        config = LoopConfig(
            log_every=_SELDOM,
            fingerprint_every=_SELDOM,
            checkpoint_every=every,
            checkpoint_in_background=background,
        )
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "generators": Generators({"draws": self.draws}),
        }
        begun: list[float] = []
        with recorded(begin(home, RunStarted(new_run_id(), "script", "measured", seed=0))) as run:
            with Loop(run, "measured", config, STEPS, parts, tensors=self.model.state_dict) as loop:
                for _ in loop:
                    begun.append(time.perf_counter())
                    self.step()
                    ended = time.perf_counter()
            left = time.perf_counter()
        return (begun[-1] - begun[1]) / (STEPS - 2), left - ended


def measure() -> Section:
    """Measure."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured()
    finally:
        torch.set_num_threads(threads)


def _measured() -> Section:
    training = _Training(_batch())
    plain, saving, waiting, leaving = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        home = make_store(Path(folder, "home"))
        for _ in range(REPETITIONS):
            plain.append(training.seconds_of_a_step(home, every=0, background=True)[0])
            step, last = training.seconds_of_a_step(home, every=1, background=True)
            saving.append(step)
            leaving.append(last)
            waiting.append(training.seconds_of_a_step(home, every=1, background=False)[0])
        tracers.flush_files()
    shares = tuple(100 * (with_it / without - 1) for without, with_it in zip(plain, saving, strict=True))
    return Section(
        title="Checkpoints while training",
        about=(
            f"{training.parameters:,} parameters with AdamW, batches of {training.batch:,}, one thread on the CPU; the "
            "checkpoint holds parameters and both moments. A step is the mean of those between the first and the last "
            f"of {STEPS}; the share is of steps that follow those without a checkpoint."
        ),
        figures=[
            Figure("a step without checkpoints", tuple(plain)),
            Figure("a step with a checkpoint after each, in the background", tuple(saving)),
            Figure("what that adds, in per cent of a step", shares, LIMIT),
            Figure("a step with a checkpoint after each that is waited for", tuple(waiting)),
            Figure("from the last step to the end of the loop, with the last checkpoint", tuple(leaving)),
        ],
    )


def _batch() -> int:
    """Return the first power of two with which a step takes long enough."""
    batch = 256
    while True:
        training = _Training(batch)
        training.step()
        if min(timed(training.step) for _ in range(3)) >= SHORTEST:
            return batch
        batch *= 2
