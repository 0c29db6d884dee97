"""Words that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

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
