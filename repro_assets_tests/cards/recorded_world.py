"""A store with a data set in three splits, two versions of a model, and an evaluation of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from evaluated import ITEMS, document, record_evaluation, record_model, split

import repro_assets
from repro_assets.artifacts import aliases, repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.journal.run_records import CheckMade, ReplayMade, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

RECIPE = '''"""Learns small things. It is no good for large ones.

Limits: nothing was tried above 8 x 8; ``` and <b> stay as they are.
"""


def learn(run, config, data):
    """Learn from the data.

    Returns
    -------
    dict
        ``weights``: a list.
    """
'''
HOSTILE = "x|y`z<b>\n# head"
GOOD = np.arange(ITEMS) % 10 != 0


@dataclass
class World:
    """A store whose records are known."""

    home: Home
    train: Artifact
    test: Artifact
    first: Artifact
    second: Artifact
    evaluation: Artifact
    cards: dict[str, str] = field(default_factory=dict)

    def card(self, name: str) -> str:
        """The card of what these records say, made once."""
        if name not in self.cards:
            self.cards[name] = repro_assets.card(name, self.home)
        return self.cards[name]


def make_world(folder: Path) -> World:
    """Make the store in a folder."""
    home = make_store(folder / "store")
    (folder / "source" / "small").mkdir(parents=True)
    (folder / "source" / "small" / "learning.py").write_text(RECIPE)
    source = str(repository.put(home, folder / "source").digest)
    raw = repository.claim(repository.put(home, b"1,2\n", "bytes"), "raw-numbers.csv")

    splitting = begin(home, RunStarted("5" * 16, "asset", HOSTILE, asset="data/train", recipe="small.gone:divide",
                                       source=source, seed=7, config={"sizes": [1, 2], "note": HOSTILE}))  # fmt: skip
    splitting.use("file", raw)
    parts = {name: split(first) for name, first in (("train", 1000), ("test", 0), ("leaky", 1100))}
    made = {
        name: splitting.log_output(name, value, name=f"dataset-{name}-v1", collection=f"dataset-{name}",
                                   asset=f"data/{name}")
        for name, value in parts.items()
    }  # fmt: skip
    splitting.end()

    facts: dict[str, Any] = {"recipe": "small.learning:learn", "source": source, "config": {"steps": 3, "rate": 0.5}}
    facts |= {"mode": {"deterministic": True}, "settings": {"torch": "2.13.0"}, "device": "a | b"}
    facts |= {"source_facts": {"commit": "c" * 40, "dirty": True}}
    first = record_model(home, "a" * 16, [1.0], **facts)
    training = begin(home, RunStarted("b" * 16, "asset", "rft-seed1", asset="models/rft", seed=1,
                                      environment=document(home), capture_level="basic", **facts))  # fmt: skip
    training.use("data", made["train"])
    training.use("start", first)
    for step, loss, accuracy in ((1, 2.0, 0.5), (2, 0.5, 0.75), (3, 1.0, 0.7)):
        training.log_metrics({"train/loss": loss, "validation/accuracy": accuracy, "train/rate": 0.1 * step}, step)
    shown = {"name": "model-" + "b" * 16, "collection": "model-rft", "asset": "models/rft"}
    second = training.log_output("result", {"weights": np.arange(6.0)}, **shown)
    training.end()
    record_evaluation(home, "d" * 16, first, made["test"], GOOD & (np.arange(ITEMS) % 10 != 1))
    evaluation = record_evaluation(home, "e" * 16, second, made["test"], GOOD)
    products = [
        {"name": "model", "verdict": "identical", "original": str(second.digest), "replayed": str(second.digest)}
    ]
    journal_at(home.journal).append(
        ReplayMade("b" * 16, "f" * 16, "identical", products=products),
        CheckMade("good_enough", False, "b" * 16, "models/candidate", details={"reason": "0.5 | 0.9"}),
    )
    aliases.move(home, repository.version_of(second), "production")
    return World(home, made["train"], made["test"], first, second, evaluation)
