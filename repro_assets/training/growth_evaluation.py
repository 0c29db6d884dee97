"""What a growing network reaches on each split of its data set.

Law: nothing is fitted or chosen here; inputs are scaled by the scaler that the model brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.errors import InvalidInput
from repro_assets.training import growing, synthetic

if TYPE_CHECKING:
    from repro_assets.recording.run import Run


class GrowthEvaluationConfig(BaseModel):
    """Settings of an evaluation of a growing network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes_of: Literal["train", "validation", "test"] = Field(
        default="test", description="split whose classes are told apart"
    )


@torch.no_grad()
def evaluate_growth(
    run: Run, config: GrowthEvaluationConfig, model: Mapping[str, Any], dataset: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure a model.

    Parameters
    ----------
    run : Run
        Takes every number as a metric.
    config : GrowthEvaluationConfig
        Settings.
    model : mapping
        What `repro_assets.training.morphogenesis.train_morphogenesis` returned.
    dataset : mapping
        What `repro_assets.training.synthetic.generate_synthetic` made.

    Returns
    -------
    dict
        JSON value: ``accuracy_train``, ``accuracy_validation``, ``accuracy_test``, ``loss_test`` (nats), ``n`` (points
        of the test split), ``classes`` (``label``, ``support`` and ``recall`` on the split that the config names),
        ``parameters`` (that have an effect: dormant seeds do not count) and ``seeds_grown``.

    Raises
    ------
    InvalidInput
        If the model or the data set is malformed, or they do not fit each other.
    """
    network = growing.from_value(model)
    result: dict[str, Any] = {}
    classes: list[dict[str, Any]] = []
    for split in synthetic.SPLITS:
        points, truth = synthetic.split_of(split, dataset)
        inputs, labels = torch.tensor(points), torch.tensor(truth)
        if inputs.shape[1] != network.shape.inputs:
            raise InvalidInput(
                f"the model takes {network.shape.inputs} inputs and the {split} split has {inputs.shape[1]}",
                "evaluate it on the data set that it was trained on",
            )
        logits = network(network.scaled(inputs))
        right = logits.argmax(dim=1) == labels
        result[f"accuracy_{split}"] = float(right.double().mean())
        if split == "test":
            result["loss_test"] = float(torch.nn.functional.cross_entropy(logits, labels))
            result["n"] = len(labels)
        if split == config.classes_of:
            for label in range(network.shape.classes):
                of_class = labels == label
                recall = float(right[of_class].double().mean()) if bool(of_class.any()) else 0.0
                classes.append({"label": label, "support": int(of_class.sum()), "recall": recall})
    dormant = [seed for alpha, seed in zip(network.alphas, network.seeds, strict=True) if not alpha]
    unused = sum(parameter.numel() for seed in dormant for parameter in seed.parameters())
    result["parameters"] = sum(parameter.numel() for parameter in network.parameters()) - unused
    result["seeds_grown"] = len(network.alphas) - len(dormant)
    run.log_metrics(result)
    return {**result, "classes": classes}
