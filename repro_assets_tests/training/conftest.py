"""A run held in memory, the real digits and their splits, for the recipes' tests."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repro_assets.determinism.seeds import Seeds
from repro_assets.training import digits

DIGITS_FILE = Path(__file__).parents[2] / "data" / "raw" / "digits.csv"


class MemoryArtifact:
    """A stored value; every load is a copy."""

    def __init__(self, kind: str, value: Any) -> None:
        self.kind = kind
        self._value = copy.deepcopy(value)
        self.digest = digest_of(value)

    def load(self) -> Any:
        return copy.deepcopy(self._value)


class MemoryRun:
    """The run handle's protocol, kept in memory; it refuses what a store would refuse."""

    def __init__(self, seed: int = 0) -> None:
        self.run_id = f"memory-{seed}"
        self.replay_of = None
        self.seeds = Seeds(seed)
        self.params: dict[str, Any] = {}
        self.curves: dict[str, list[tuple[int | None, float]]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.checkpoints: dict[str, MemoryArtifact] = {}
        self.checkpoint_metrics: dict[str, dict[str, float]] = {}
        self.parents: dict[str, str | None] = {}
        self.forgotten: list[str] = []
        self.resumed_from: str | None = None
        self.fingerprints: dict[int, dict[str, str]] = {}
        self.changes: list[dict[str, Any]] = []

    def log_params(self, params: Any) -> None:
        self.params.update(params)

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        assert isinstance(value, int | float), f"{name} is a {type(value)}"
        self.curves.setdefault(name, []).append((step, float(value)))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        for name, value in metrics.items():
            self.log_metric(name, value, step)

    def log_event(self, event: str, step: int, **details: Any) -> None:
        assert_plain(details)
        self.events.append((step, event, details))

    def last(self, name: str) -> float:
        return self.curves[name][-1][1]

    def checkpoint(
        self, kind: str, identifier: Any, value: Any, *, step: int, metrics: Any = None, parent: str | None = None
    ) -> MemoryArtifact:
        name = f"checkpoint_{kind}_{identifier}"
        if not isinstance(value, MemoryArtifact):
            assert_plain(value)
            value = MemoryArtifact("tensors", value)
        self.checkpoints[name], self.parents[name] = value, parent
        self.checkpoint_metrics[name] = dict(metrics or {})
        return value

    def forget_checkpoint(self, name: str) -> None:
        assert name in self.checkpoints
        self.forgotten.append(name)

    def flush(self) -> None:
        """Everything is where it stays."""

    def log_curriculum(self, **change: Any) -> None:
        self.changes.append(change)

    def log_fingerprints(self, step: int, tensors: Any, quantity: str = "parameter") -> None:
        if quantity != "parameter":
            return
        self.fingerprints[step] = {
            name: hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()
            for name, tensor in tensors.items()
        }


def assert_plain(value: Any) -> None:
    """Only dictionaries with names or numbers, lists, tuples, tensors, arrays and JSON scalars can be stored."""
    if isinstance(value, dict):
        assert all(isinstance(name, str | int) for name in value), list(value)
        for part in value.values():
            assert_plain(part)
    elif isinstance(value, list | tuple):
        for part in value:
            assert_plain(part)
    else:
        assert value is None or isinstance(value, bool | int | float | str | torch.Tensor | np.ndarray), type(value)


def digest_of(value: Any) -> str:
    """A digest of the content of a plain value, for want of a store."""
    digest = hashlib.sha256()

    def take(part: Any) -> None:
        if isinstance(part, dict):
            for name in sorted(part, key=repr):
                digest.update(repr(name).encode())
                take(part[name])
        elif isinstance(part, list | tuple):
            for item in part:
                take(item)
        elif isinstance(part, torch.Tensor):
            digest.update(part.detach().contiguous().numpy().tobytes())
        else:
            digest.update(repr(part).encode())

    take(value)
    return digest.hexdigest()


def assert_equal_bits(one: Any, other: Any) -> None:
    """Two models have the same tensors, bit for bit."""
    assert set(one["state"]) == set(other["state"])
    for name, tensor in one["state"].items():
        assert torch.equal(tensor.view(torch.int32), other["state"][name].view(torch.int32)), name


@pytest.fixture(autouse=True, scope="module")
def _deterministic_single_thread():
    """The mode that the caller of a recipe sets."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


@pytest.fixture
def globals_as_before():
    """Whatever a test draws from the global generators, the next one finds them as they were."""
    before = torch.get_rng_state(), np.random.get_state()
    yield
    torch.set_rng_state(before[0])
    np.random.set_state(before[1])


@pytest.fixture(scope="session")
def new_run():
    return MemoryRun


@pytest.fixture(scope="session")
def equal_bits():
    return assert_equal_bits


@pytest.fixture(scope="session")
def raw_digits():
    return digits.read_digits(DIGITS_FILE)


@pytest.fixture(scope="session")
def splits(raw_digits):
    return digits.split_digits(MemoryRun(0), digits.SplitConfig(), raw_digits)
