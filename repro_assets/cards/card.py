"""The card of anything that can have one."""

from __future__ import annotations

from repro_assets.cards.data_card import data_card
from repro_assets.cards.model_card import model_card
from repro_assets.cards.records import Records, opened
from repro_assets.cards.subject import Subject, subject_of
from repro_assets.store.home import Home, find_store

CARDS = {"model": model_card, "dataset": data_card}


def card(name: str, home: Home | None = None) -> str:
    """Return the card of a model or a data set: Markdown that begins with YAML, from the records alone.

    Parameters
    ----------
    name : str
        What the artifact is called (`resolve_artifact`), or the run that made it.
    home : Home, optional
        The store; that of this folder if left out.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing is called so, or several things fit.
    InvalidValue
        If what is called so has no card.
    """
    with opened(home or find_store()) as records:
        return render(records, subject_of(records, name))


def render(records: Records, subject: Subject) -> str:
    """Return the card of a subject."""
    return CARDS[subject.kind](records, subject)
