"""A softmax regression of three kinds of wine, by gradient descent: python fit.py [capture level]."""

import csv
import sys
from pathlib import Path

import numpy as np
from scaling import standardized

from repro_assets import Experiment


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return features, one row a bottle, and kinds."""
    with path.open() as file:
        rows = [[float(word) for word in row] for row in list(csv.reader(file))[1:]]
    table = np.asarray(rows)
    return table[:, :-1], table[:, -1].astype(int)


level = sys.argv[1] if len(sys.argv) > 1 else "standard"
with Experiment(
    "wine", project="demo", seed=0, capture_level=level, config={"rate": 0.5, "steps": 60}, tags=["demo"]
) as run:
    folder = run.use_path("wine")
    features, kinds = read(Path(folder) / "train.csv")
    run.track_dataset({"features": features, "kinds": kinds}, "wine")
    generator = np.random.default_rng(0)
    weights = generator.normal(scale=0.01, size=(features.shape[1] + 1, 3))
    inputs = np.hstack([standardized(features, features), np.ones((len(features), 1))])
    for step in range(60):
        scores = inputs @ weights
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        run.log_metric("loss", float(-np.log(chances[np.arange(len(kinds)), kinds]).mean()), step)
        chances[np.arange(len(kinds)), kinds] -= 1
        weights -= 0.5 * inputs.T @ chances / len(kinds)
    unseen, truth = read(Path(folder) / "test.csv")
    found = np.hstack([standardized(unseen, features), np.ones((len(unseen), 1))]) @ weights
    run.log_metric("accuracy", float((found.argmax(axis=1) == truth).mean()), 60)
    run.track_model({"weights": weights}, "wine")
