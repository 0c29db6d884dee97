from __future__ import annotations

from collections.abc import Iterator

import pytest

from repro_assets.artifacts import repository
from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.store.home import Home, make_store


@pytest.fixture
def home(tmp_path) -> Home:
    return make_store(tmp_path / "store")


class Chain:
    """Records runs that turn stored values into others."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.journal = Journal(home.journal)

    def value(self, value: object) -> str:
        return str(repository.put(self.home, value).digest)

    def run(self, run: str, inputs: dict[str, str | tuple[str, str]], outputs: dict[str, str]) -> None:
        self.journal.append(run_records.RunStarted(run, "asset", f"name of {run}"))
        for slot, given in inputs.items():
            digest, maker = given if isinstance(given, tuple) else (given, None)
            self.journal.append(run_records.RunInput(run, slot, digest, made_by=maker))
        for slot, digest in outputs.items():
            self.journal.append(run_records.RunOutput(run, slot, digest, f"{slot}-{run}"))
        self.journal.append(run_records.RunEnded(run, "COMPLETED"))


@pytest.fixture
def chain(home) -> Iterator[Chain]:
    made = Chain(home)
    yield made
    made.journal.close()


@pytest.fixture
def diamond(chain) -> dict[str, str]:
    """A raw file, two data sets made from it, one model made from both, and an evaluation."""
    names = {name: chain.value({"is": name}) for name in ("raw", "left", "right", "model", "scores")}
    chain.run("run-left", {"raw": names["raw"]}, {"left": names["left"]})
    chain.run("run-right", {"raw": names["raw"]}, {"right": names["right"]})
    chain.run(
        "run-model",
        {"a": (names["left"], "run-left"), "b": (names["right"], "run-right")},
        {"model": names["model"]},
    )
    chain.run("run-scores", {"model": (names["model"], "run-model")}, {"scores": names["scores"]})
    return names
