"""What fingerprints add to a step of training: for a small, a middle and a large model.

Laws: both ways train the same model in the same process, in blocks that take turns (without, with, with, without), so
that what else the machine does falls on both; each block with fingerprints begins as a run does, with the state before
its first step, and ends with the last.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Section

ROUNDS = 9
# Width, layers, examples in a batch, steps in a block.
MODELS = {"small": (32, 1, 32, 600), "middle": (128, 4, 64, 80), "large": (512, 6, 16, 12)}


def measure() -> Section:
    """Measure all three."""
    import torch

    from repro_assets.journal.run_records import RunStarted
    from repro_assets.recording.lifetime import begin
    from repro_assets.store.home import make_store

    torch.set_num_threads(1)
    figures: list[Figure] = []
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        home = make_store(Path(folder) / "data")
        for name, (width, layers, size, steps) in MODELS.items():
            run = begin(home, RunStarted(f"{name:0<16}", "script", name))
            model, step = _training(width, layers, size)
            count = sum(parameter.numel() for parameter in model.parameters())
            kept: list[int] = []
            plain: list[float] = []
            watched: list[float] = []
            _block(step, steps)
            for _ in range(ROUNDS):
                blocks = [
                    _block(step, steps),
                    _watched(run, model, step, steps, kept),
                    _watched(run, model, step, steps, kept),
                    _block(step, steps),
                ]
                plain.append((blocks[0] + blocks[3]) / 2)
                watched.append((blocks[1] + blocks[2]) / 2)
            run.end()
            share = [100 * (with_ / without - 1) for without, with_ in zip(plain, watched, strict=True)]
            said.append(
                f"{name} ({count / 1e6:.2f} million parameters, {steps} steps, {len(kept) / 2 / ROUNDS:.0f} of them "
                f"fingerprinted): {statistics.median(share):+.1f} % ({min(share):+.1f} to {max(share):+.1f})"
            )
            figures += [
                Figure(f"a step of the {name} model, fingerprinted as time allows", tuple(watched)),
                Figure(f"a step of the {name} model, not fingerprinted", tuple(plain)),
            ]
    about = (
        f"A transformer on one thread; {ROUNDS} rounds of four blocks that take turns. Parameters, loss, batch, its "
        f"data and the generators are fingerprinted; limit 2 %. {'; '.join(said)}."
    )
    return Section("Fingerprints while training", about, figures, repetitions=ROUNDS)


def _training(width: int, layers: int, size: int) -> tuple[Any, Callable[[Any], None]]:
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    layer = torch.nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
    model = torch.nn.Sequential(torch.nn.TransformerEncoder(layer, layers), torch.nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False)
    inputs = torch.randn(512, 9, width, generator=generator)
    labels = torch.randint(0, 10, (512,), generator=generator)

    def step(watch: Any) -> None:
        chosen = torch.randint(0, 512, (size,), generator=generator)
        rows = inputs[chosen]
        loss = functional.cross_entropy(model(rows)[:, 0], labels[chosen])
        if watch is not None:
            watch.note(batch=chosen, data=rows, loss=loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return model, step


def _block(step: Callable[[Any], None], steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        step(None)
    return (time.perf_counter() - began) / steps


def _watched(run: Any, model: Any, step: Callable[[Any], None], steps: int, kept: list[int]) -> float:
    from repro_assets.determinism.watching import Watch

    def keep(at: int, tensors: Any, quantity: str) -> None:
        if quantity == "parameter":
            kept.append(at)
        run.log_fingerprints(at, tensors, quantity)

    began = time.perf_counter()
    watch = Watch(keep, model.state_dict, model=model)
    watch.start(0)
    for number in range(1, steps + 1):
        watch.before(number)
        step(watch)
        watch.after(number, last=number == steps)
    watch.close()
    return (time.perf_counter() - began) / steps
