"""Two evaluations of the same items, compared item by item.

Laws: the items are matched by their ids, and evaluations of other items, labels or prices of a look are refused, not
compared; the difference of a figure is that of the two evaluations, first less second, with a paired bootstrap
interval; the draws depend on the seed alone, so a comparison is a function of two values and a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidInput
from repro_assets.training import scores
from repro_assets.training.bootstrap import CONFIDENCE, RESAMPLES, intervals

CONSUMER = "evaluation/comparison"


def compare_evaluations(
    one: Mapping[str, Any], other: Mapping[str, Any], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Compare two evaluations of the same items.

    Parameters
    ----------
    one, other : mapping
        What `repro_assets.training.evaluation.evaluate` returned.
    seed : int
        Root of the seed from which items are drawn.
    resamples : int
        Resamples of the bootstrap.

    Returns
    -------
    dict
        ``n``, ``benchmarks`` (those of both), ``bootstrap`` (``confidence``, ``resamples``, ``seed``) and ``figures``:
        by name a dict with ``one``, ``other``, ``difference``, ``low`` and ``high``; the last three are None where one
        of the two does not define the figure.

    Raises
    ------
    InvalidInput
        If one is no evaluation with items, or they are not of the same items.
    """
    for what, value in (("first", one), ("second", other)):
        if not isinstance(value, Mapping) or not isinstance(value.get("items"), Mapping):
            raise InvalidInput(f"the {what} of the two is no evaluation with its items", "evaluate the model again")
    order = _matched(one["items"], other["items"])
    if one["look_cost"] != other["look_cost"]:
        raise InvalidInput(
            f"a look costs {one['look_cost']} in one of them and {other['look_cost']} in the other",
            "evaluate with one look_cost",
        )
    shared = [name for name in one["benchmarks"] if name in other["benchmarks"]]
    scale = scores.scale(shared, float(one["look_cost"]))
    ours = scale.columns(one["items"])
    theirs = scale.columns({name: [column[place] for place in order] for name, column in other["items"].items()})
    width = ours.shape[1]

    def differences(sums: np.ndarray) -> np.ndarray:
        found: np.ndarray = scale.compute(sums[:, :width]) - scale.compute(sums[:, width:])
        return found

    ends = intervals(
        np.concatenate([ours, theirs], axis=1), differences, Seeds(seed).numpy(CONSUMER), resamples=resamples
    )
    return {
        "n": len(ours),
        "benchmarks": shared,
        "bootstrap": {"confidence": CONFIDENCE, "resamples": resamples, "seed": seed},
        "figures": {
            name: {
                "one": one[name],
                "other": other[name],
                "difference": found.value,
                "low": found.low,
                "high": found.high,
            }
            for name, found in zip(scale.names, ends, strict=True)
        },
    }


def _matched(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[int]:
    """Return where each item of the first stands in the second.

    Raises
    ------
    InvalidInput
        If they are not the same items with the same labels.
    """
    places = {image: place for place, image in enumerate(other["image_id"])}
    shared = set(one["image_id"]) & set(places)
    if len(shared) != len(one["image_id"]) or len(shared) != len(places):
        raise InvalidInput(
            f"the evaluations are of {len(one['image_id'])} and {len(places)} items, of which they share {len(shared)}",
            "compare evaluations on the same data set",
        )
    order = [places[image] for image in one["image_id"]]
    wrong = sum(label != other["label"][place] for label, place in zip(one["label"], order, strict=True))
    if wrong:
        raise InvalidInput(
            f"{wrong} of {len(order)} items have another label in the other evaluation",
            "compare evaluations on the same data set",
        )
    return order
