"""Words that several commands share."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from repro_assets.errors import InvalidValue

TIMES = "90m, 12h, 30d or 4w; a bare number is hours"
"""How a length of time is written."""
_TIME = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[smhdw]?)", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 3600.0, "d": 86400.0, "w": 604800.0}
_LONGEST = 100 * 365 * 86400.0

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the whole log of the executing process on stderr.")]
ArtifactName = Annotated[
    str,
    typer.Argument(
        metavar="ARTIFACT",
        help="NAME, NAME:v3, NAME@alias, a display name, a digest or 8 or more of its digits, or a file.",
    ),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="An id, 8 or more of its digits, a name, last, or last~1.")]


def seconds_of(text: str) -> float:
    """Return a length of time in seconds, written as `TIMES` says.

    Raises
    ------
    InvalidValue
        If it does not read, or is longer than 100 years.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidValue(f"{text!r} is no length of time", f"write it as {TIMES}")
    seconds = float(match["number"]) * _SECONDS[match["unit"]]
    if seconds > _LONGEST:
        raise InvalidValue(f"{text!r} is longer than 100 years", f"write it as {TIMES}")
    return seconds
