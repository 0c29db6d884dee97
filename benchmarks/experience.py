"""What an experience buffer costs: insert, search, sample, and making it durable."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import REPETITIONS, Figure, Section, timed
from repro_assets.artifacts import repository
from repro_assets.store.home import Home, make_store
from repro_assets.training.experience import ExperienceBuffer
from repro_assets.training.experience_rows import Layout

HELD = 10_000
CALLS = 200
LARGE = 100_000
SHARE = 100
LIMIT = 1.0
SNAPSHOT_LIMIT = 0.1
HORIZON = 10_000


def measure() -> Section:
    """Measure."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    figures = []
    for title, capacity in (("with room", 2 * HELD), ("full, so each insert evicts", HELD)):
        buffer = ExperienceBuffer(Layout(), capacity, HORIZON)
        buffer.insert(_some(HELD, 0, random))
        fresh = iter([_some(1, number, random) for number in range(1, REPETITIONS * CALLS + 1)])
        figures.append(_figure(f"insert one into {HELD:,}, {title}", lambda: buffer.insert(next(fresh)), LIMIT))  # noqa: B023
    buffer = ExperienceBuffer(Layout(), 2 * HELD, HORIZON)
    buffer.insert(_some(HELD, 0, random))
    generator = torch.Generator().manual_seed(0)
    query, both = random.standard_normal((1, 64)), random.standard_normal((1, 128))
    for metric in ("cosine", "euclidean", "manhattan"):
        buffer.search(query, 5, space="visual", metric=metric)
        figures.append(
            _figure(
                f"5 nearest of {HELD:,}, {metric}",
                lambda: buffer.search(query, 5, space="visual", metric=metric),  # noqa: B023
                LIMIT,
            )
        )
    buffer.search(both, 5)
    figures += [
        _figure(f"5 nearest of {HELD:,} in the combined space of 128, cosine", lambda: buffer.search(both, 5)),
        _figure(f"32 of {HELD:,} drawn by priority", lambda: buffer.sample(32, generator), LIMIT),
        *_snapshots(random),
    ]
    return Section(
        title="Experience buffer",
        about=(
            f"Embeddings of 64 numbers. What is done 1,000 times is 1,000 times the median of {CALLS} calls, so its "
            "seconds are the milliseconds of one. "
            "An insert is in memory; it becomes durable with the others of its update, which is the figure of 32. An "
            f"experience has {Layout().dtype().itemsize:,} bytes. A full buffer evicts in a snapshot, too."
        ),
        figures=figures,
    )


def _figure(what: str, call: Callable[[], object], limit: float | None = None) -> Figure:
    def median() -> float:
        times = []
        for _ in range(CALLS):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        return 1000 * statistics.median(times)

    return Figure(f"1,000 times: {what}", tuple(median() for _ in range(REPETITIONS)), limit)


def _snapshots(random: np.random.Generator) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        home = make_store(Path(folder, "home"))
        buffer = ExperienceBuffer(Layout(), LARGE, HORIZON)
        buffer.insert(_some(LARGE - LARGE // SHARE, 0, random))
        first = timed(lambda: repository.put(home, buffer.snapshot()))
        durable = tuple(_durable(home, buffer, random) for _ in range(REPETITIONS))
        later = tuple(_later(home, buffer, random) for _ in range(REPETITIONS))
    return [
        Figure("32 experiences on the disk", durable),
        Figure(f"first snapshot of {LARGE:,}", (first,)),
        Figure(f"snapshot of {LARGE:,}, 1 % new", later, SNAPSHOT_LIMIT),
    ]


def _durable(home: Home, buffer: ExperienceBuffer, random: np.random.Generator) -> float:
    ids = buffer.insert(_some(32, buffer.position, random))
    return timed(lambda: repository.put(home, buffer.inserted(ids)))


def _later(home: Home, buffer: ExperienceBuffer, random: np.random.Generator) -> float:
    repository.put(home, buffer.snapshot())
    buffer.insert(_some(LARGE // SHARE, buffer.position, random))
    return timed(lambda: repository.put(home, buffer.snapshot()))


def _some(count: int, position: int, random: np.random.Generator) -> dict[str, Any]:
    layout = Layout()
    return {
        "source": np.arange(count),
        "timestamp": np.full(count, position),
        "features": random.random((count, *layout.features), np.float32),
        "question": random.random((count, layout.question), np.float32),
        "trajectory": random.integers(-1, 26, (count, layout.trajectory)).astype(np.int8),
        "vote": random.random((count, layout.answers), np.float32),
        "confidence": random.random(count, np.float32),
        "reward": random.random(count, np.float32),
        "visual": random.standard_normal((count, layout.visual), np.float32),
        "text": random.standard_normal((count, layout.text), np.float32),
    }
