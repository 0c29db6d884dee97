"""The format ``card``: a model or data card as a Markdown file."""

from __future__ import annotations

from repro_assets.cards.card import render
from repro_assets.cards.provenance import card_file
from repro_assets.cards.records import opened
from repro_assets.cards.subject import subject_of
from repro_assets.interchange.formats import Exported, Request
from repro_assets.interchange.presence import gone
from repro_assets.interchange.subjects import ended_runs
from repro_assets.interchange.targets import target_file
from repro_assets.store import outside


def export(request: Request) -> Exported:
    """Write the card of a run's product or an artifact.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, it is neither a model nor a data set, or the run goes on or was deleted.
    InvalidInput, ReusedElsewhere, MachineError
        If the file cannot be written.
    """
    (name,) = request.names
    with opened(request.home) as records:
        subject = subject_of(records, name)
        if subject.asked_run is not None:
            ended_runs(request.home, [subject.asked_run])
        path = target_file(request.path, card_file(subject.name), force=request.force)
        written = render(records, subject)
    notes = gone([subject.artifact])
    outside.write(path, written.encode())
    digest = str(subject.artifact.digest)
    return Exported(path, "card", subject.name, digest, not notes, {"kind": subject.kind}, notes)
