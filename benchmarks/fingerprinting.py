"""What fingerprints add to a step of training: for a small, a middle and a large model.

Laws: two equal trainings in one process take turns step by step, one fingerprinted and one not, and whose step comes
first takes turns too, so that what else the machine does falls on both; all that a run's watching takes counts, from
the state before the first step to that after the last.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Section

ROUNDS = 5
# Width, layers, examples in a batch, steps of a training.
MODELS = {"small": (32, 1, 32, 4000), "middle": (128, 4, 64, 320), "large": (512, 6, 16, 60)}


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
            kept: list[int] = []
            plain: list[float] = []
            watched: list[float] = []
            for _ in range(ROUNDS):
                model, with_ = _training(width, layers, size)
                _, without = _training(width, layers, size)
                times = _both(run, model, with_, without, steps, kept)
                watched.append(times[0] / steps)
                plain.append(times[1] / steps)
            run.end()
            count = sum(parameter.numel() for parameter in model.parameters())
            share = [100 * (with_ / without - 1) for without, with_ in zip(plain, watched, strict=True)]
            said.append(
                f"{name} ({count / 1e6:.2f} million parameters, {steps} steps, {len(kept) / ROUNDS:.0f} of them "
                f"fingerprinted): {statistics.median(share):+.1f} % ({min(share):+.1f} to {max(share):+.1f})"
            )
            figures += [
                Figure(f"a step of the {name} model, fingerprinted as time allows", tuple(watched)),
                Figure(f"a step of the {name} model, not fingerprinted", tuple(plain)),
            ]
    about = (
        f"A transformer on one thread; two equal trainings take turns step by step, one of them fingerprinted, "
        f"{ROUNDS} times. Parameters, loss, batch, its data and the generators are fingerprinted; limit 2 %. "
        f"Longer by: {'; '.join(said)}."
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


def _both(
    run: Any, model: Any, with_: Callable[[Any], None], without: Callable[[Any], None], steps: int, kept: list[int]
) -> tuple[float, float]:
    """Return the seconds of a training that is fingerprinted, and those of one that is not."""
    from repro_assets.determinism.watching import Watch

    def keep(at: int, tensors: Any, quantity: str) -> None:
        if quantity == "parameter":
            kept.append(at)
        run.log_fingerprints(at, tensors, quantity)

    began = time.perf_counter()
    watch = Watch(keep, model.state_dict, model=model)
    watch.start(0)
    watched, plain = time.perf_counter() - began, 0.0
    for number in range(1, steps + 1):
        for is_watched in (True, False) if number % 2 else (False, True):
            began = time.perf_counter()
            if is_watched:
                watch.before(number)
                with_(watch)
                watch.after(number, last=number == steps)
                watched += time.perf_counter() - began
            else:
                without(None)
                plain += time.perf_counter() - began
    began = time.perf_counter()
    watch.close()
    return watched + time.perf_counter() - began, plain
