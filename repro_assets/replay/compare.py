"""The verdict: pure decisions over digests, manifests and settings; nothing is read here.

Laws: equal digests are ``identical``, whatever the settings, and the settings that differ are listed. Unequal digests
are ``equivalent`` if all that differs is within a stated tolerance, whatever the settings; else ``not_comparable`` if
wrong code ran or a setting that decides bits differs; else ``diverged``. A run takes the worst of its products:
diverged, not_comparable, equivalent, identical; a product that was not made again is diverged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

IDENTICAL = "identical"
EQUIVALENT = "equivalent"
NOT_COMPARABLE = "not_comparable"
DIVERGED = "diverged"

_WORST_FIRST = (DIVERGED, NOT_COMPARABLE, EQUIVALENT, IDENTICAL)


@dataclass(frozen=True, slots=True)
class ProductVerdict:
    """One product, before and after."""

    name: str
    slot: str
    verdict: str
    original: str
    replayed: str | None


def compare_products(
    originals: Mapping[str, tuple[str, str]],
    replayed: Mapping[str, str],
    *,
    comparable: bool,
    near: Collection[str] = (),
) -> list[ProductVerdict]:
    """Give a verdict on each product.

    Parameters
    ----------
    originals : mapping
        Name and digest of each original product, by slot.
    replayed : mapping
        Digest of each product that was made again, by slot.
    comparable : bool
        False if wrong code ran or a setting that decides bits differs.
    near : collection of str
        Slots of those that are within the stated tolerance.
    """
    found = []
    for slot, (name, digest) in sorted(originals.items()):
        again = replayed.get(slot)
        if again == digest:
            verdict = IDENTICAL
        elif again is not None and slot in near:
            verdict = EQUIVALENT
        elif again is None or comparable:
            verdict = DIVERGED
        else:
            verdict = NOT_COMPARABLE
        found.append(ProductVerdict(name, slot, verdict, digest, again))
    return found


def worst(verdicts: list[str]) -> str:
    """Return the worst verdict; of none it is diverged, because nothing was shown."""
    return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), DIVERGED)


def metric_pairs(original: Mapping[str, float], replayed: Mapping[str, float]) -> list[dict[str, Any]]:
    """Put the last values of each metric side by side."""
    return [
        {"name": name, "original": original.get(name), "replayed": replayed.get(name)}
        for name in sorted(original.keys() | replayed.keys())
    ]
