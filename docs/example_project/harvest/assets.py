"""A table from a CSV file, its halves, a linear model that scikit-learn trains, and how wrong it is."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
from sklearn.linear_model import SGDRegressor
from sklearn.model_selection import train_test_split

from repro_assets.orchestration import Run, reproducible_asset, reproducible_multi_asset

MEASURED = ["rain_mm", "sun_hours", "nitrogen_kg"]


@reproducible_asset(group_name="harvest", kinds={"csv", "pandas"}, files={"file": "fields.csv"})
def fields(file: Path) -> pd.DataFrame:
    """Sixty fields: what was measured on them, and what they yielded."""
    return pd.read_csv(file)


@reproducible_multi_asset(outs={"training_fields": dg.AssetOut(), "test_fields": dg.AssetOut()}, group_name="harvest")
def halves(fields: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fields to learn from, and fields to be measured with."""
    training, test = train_test_split(fields, test_size=0.25)
    return training.reset_index(drop=True), test.reset_index(drop=True)


class ModelConfig(dg.Config):
    """Settings of the model."""

    alpha: float = 0.001
    epochs: int = 50


@reproducible_asset(group_name="harvest", kinds={"scikitlearn"}, collection="model-harvest")
def model(training_fields: pd.DataFrame, config: ModelConfig, run: Run) -> dict[str, np.ndarray]:
    """A linear model, trained in an order that nobody gave a seed to."""
    measured, target = training_fields[MEASURED].to_numpy(float), training_fields["tonnes"].to_numpy(float)
    mean, spread = measured.mean(axis=0), measured.std(axis=0)
    learner = SGDRegressor(alpha=config.alpha)
    for epoch in range(config.epochs):
        learner.partial_fit((measured - mean) / spread, target)
        run.log_metric("loss", float(np.mean((learner.predict((measured - mean) / spread) - target) ** 2)), epoch)
    return {"mean": mean, "spread": spread, "weights": learner.coef_, "bias": learner.intercept_}


@reproducible_asset(group_name="harvest", kinds={"json"})
def evaluation(model: dict[str, np.ndarray], test_fields: pd.DataFrame, run: Run) -> dict[str, float]:
    """Mean error of the model on fields that it has not seen, in tonnes, beside that of the plain mean."""
    measured, target = test_fields[MEASURED].to_numpy(float), test_fields["tonnes"].to_numpy(float)
    said = (measured - model["mean"]) / model["spread"] @ model["weights"] + model["bias"]
    errors = {"error": np.abs(said - target).mean(), "error_of_mean": np.abs(target.mean() - target).mean()}
    run.log_metrics({name: float(value) for name, value in errors.items()})
    return {name: float(value) for name, value in errors.items()}
