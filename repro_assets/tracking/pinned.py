"""What a replay pins: which run is executed again, and what it read.

Laws: whoever replays names a file in the variable `PINS`; the experiment that is called so reads the pinned artifacts
whatever it asks for, claims no version, and is recorded as a replay; a slot that the first run did not read is refused.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from repro_assets.errors import InvalidInput

PINS = "REPRO_PINS"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Pins:
    """What is pinned.

    Parameters
    ----------
    name : str
        What the experiment is called.
    replay_of : str
        Id of the run that is executed again.
    inputs : dict
        Digest of what it read, by slot.
    source : str or None
        Digest of its source tree, which is the one that is executed.
    source_facts : dict
        What its record says of the source.
    folder : Path
        Where pinned files are laid out.
    """

    name: str
    replay_of: str
    inputs: dict[str, str]
    source: str | None
    source_facts: dict[str, Any]
    folder: Path

    def written(self, path: Path) -> dict[str, str]:
        """Write them into a file and return the variable that a process needs to find it."""
        document = {
            "format": FORMAT, "name": self.name, "replay_of": self.replay_of, "inputs": self.inputs,
            "source": self.source, "source_facts": self.source_facts, "folder": str(self.folder),
        }  # fmt: skip
        path.write_text(json.dumps(document), "utf-8")
        return {PINS: str(path)}


def pins_of(name: str) -> Pins | None:
    """Return what is pinned for an experiment of this process that is called `name`; None where nothing is.

    Raises
    ------
    InvalidInput
        If the file of pins does not read.
    """
    path = os.environ.get(PINS)
    found = _read(path) if path else None
    return found if found is not None and found.name == name else None


@lru_cache(maxsize=1)
def _read(path: str) -> Pins:
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        if document.pop("format") != FORMAT:
            raise ValueError("its format is another one")
        return Pins(**{**document, "folder": Path(document["folder"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"the pins in {path} do not read: {error}", f"unset {PINS}") from error
