"""What a report says of a replay: the tolerance that was asked for, and how far each product was off.

Laws: the errors are the greatest of all places that differ, and are there only where they were measured; the places
themselves stay in the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from repro_assets.catalog.queries import Rows
from repro_assets.replay.deviation import ERRORS


def shown_replay(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `replays` with its tolerance in words and its products without the places that differ."""
    return {
        **row,
        "tolerance": tolerance_words(row["tolerance"]),
        "products": [_shown_product(product) for product in row["products"] or []],
    }


def replayed_products(replays: Iterable[Mapping[str, Any]]) -> Rows:
    """Return one row for each product of replays, which `shown_replay` made."""
    return [{"replay_run": replay["replay_run"], **product} for replay in replays for product in replay["products"]]


def tolerance_words(tolerance: Mapping[str, Any] | None) -> str | None:
    """Return a tolerance as a person reads it; None where none was stated."""
    if tolerance is None:
        return None
    return f"absolute {tolerance['absolute']:g}, relative {tolerance['relative']:g}, {tolerance['ulp']} ULP"


def _shown_product(product: Mapping[str, Any]) -> dict[str, Any]:
    absolute, relative, ulp = (_greatest(product, name) for name in ERRORS)
    return {
        "product": product.get("name"),
        "verdict": product.get("verdict"),
        "places_that_differ": product.get("deviating"),
        "greatest_absolute_error": absolute,
        "greatest_relative_error": relative,
        "greatest_distance_in_ULP": ulp,
        "not_measured_because": product.get("unmeasured"),
    }


def _greatest(product: Mapping[str, Any], name: str) -> Any:
    places = product.get("deviations") or []
    if name in product or len(places) < product.get("deviating", 0):
        return product.get(name)
    # Records of before the greatest errors were part of them have all places, as a rule.
    return max((place[name] for place in places if place[name] is not None), key=float, default=None)
