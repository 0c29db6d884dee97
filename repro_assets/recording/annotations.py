"""Tags and notes that a person gives to runs afterwards.

Laws: each is a record, so who gave it when is known and nothing is lost; the latest counts; what looks like a
credential is refused, as the person is there to write it differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue
from repro_assets.journal.run_records import RunNoted, RunTagged
from repro_assets.journal.segments import journal_at
from repro_assets.recording.redaction import redact, redact_message
from repro_assets.store.home import Home

LONGEST_TAG = 200
"""Letters of a tag at most: it is a word to choose by, and a column of every list of runs."""
LONGEST_NOTE = 10_000
"""Letters of a note at most: every list of runs reads all of them."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def tag_run(home: Home, run: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> dict[str, Any]:
    """Give tags to a run and take tags from it.

    Parameters
    ----------
    home : Home
        The store.
    run : str
        What `catalog.queries.resolve_run` takes.
    add, remove : iterable of str
        Tags. One that it has, or does not have, already is no change.

    Returns
    -------
    dict
        ``run_id``, ``tags`` (those it has now), ``added`` and ``removed`` (what this changed).

    Raises
    ------
    UnknownName, AmbiguousName
        As `resolve_run`.
    InvalidValue
        If a tag is empty or longer than `LONGEST_TAG`, has a comma or a line break, begins with a sign, looks like a
        credential, or is both added and removed; nothing is recorded then.
    """
    run_id = queries.resolve_run(home, run)
    wanted, unwanted = (list(dict.fromkeys(words)) for words in (add, remove))
    for tag in wanted:
        _refuse_long(tag, "tag", LONGEST_TAG)
    for tag in (*wanted, *unwanted):
        _check_tag(tag)
    both = set(wanted) & set(unwanted)
    if both:
        raise InvalidValue(f"the tag {min(both)!r} is both added and removed", "give it once")
    had = _tags(home, run_id)
    added, removed = [tag for tag in wanted if tag not in had], [tag for tag in unwanted if tag in had]
    if added or removed:
        journal_at(home.journal).append(RunTagged(run_id, added, removed))
    return {"run_id": run_id, "tags": _tags(home, run_id), "added": added, "removed": removed}


def note_run(home: Home, run: str, text: str) -> dict[str, Any]:
    """Write a note about a run; it replaces the one before, which stays on record.

    Parameters
    ----------
    home : Home
        The store.
    run : str
        What `catalog.queries.resolve_run` takes.
    text : str
        The note, of at most `LONGEST_NOTE` letters; empty to take the last one away.

    Returns
    -------
    dict
        ``run_id`` and ``note``, None where there is none now.

    Raises
    ------
    UnknownName, AmbiguousName
        As `resolve_run`.
    InvalidValue
        If it is longer than that, or something in it looks like a credential; nothing is recorded then.
    """
    run_id = queries.resolve_run(home, run)
    text = text.strip()
    _refuse_long(text, "note", LONGEST_NOTE)
    _refuse_secrets(text, "note")
    journal_at(home.journal).append(RunNoted(run_id, text))
    return {"run_id": run_id, "note": text or None}


def _tags(home: Home, run_id: str) -> list[str]:
    found = queries.rows(home, "SELECT tag FROM run_tags WHERE run_id = $run ORDER BY tag", {"run": run_id})
    return [row["tag"] for row in found]


def _check_tag(tag: str) -> None:
    if not tag.strip() or tag != tag.strip() or tag[0] in "+-" or "," in tag or _CONTROL.search(tag):
        raise InvalidValue(
            f"{tag!r} is no tag", "a tag has no comma and no line break, and begins with neither +, - nor a space"
        )
    _refuse_secrets(tag, "tag")


def _refuse_long(text: str, what: str, longest: int) -> None:
    if len(text) > longest:
        raise InvalidValue(f"the {what} has {len(text):,} letters, and {longest:,} are allowed", "shorten it")


def _refuse_secrets(text: str, what: str) -> None:
    if redact(text, what)[1] or redact_message(text) != text:
        raise InvalidValue(f"the {what} holds what looks like a credential", "leave it out")
