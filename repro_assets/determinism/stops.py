"""How far an interrupted training is executed again.

Laws: whoever executes interrupted runs again says in the variable `VARIABLE` how far each of them came, by its id; a
training that executes none of these again goes on to its own end. Of several ranks all read the same, so all end after
the same step. Nothing that decides bits is changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

VARIABLE = "REPRO_STOPS"


@dataclass(frozen=True, slots=True)
class Stop:
    """How far an interrupted run came.

    Parameters
    ----------
    step : int
        After which it saved its last checkpoint.
    signal : bool
        Whether a signal asked for that checkpoint, which no policy saves.
    ends : bool
        Whether nothing that comes after it is compared with anything.
    """

    step: int
    signal: bool
    ends: bool


def written(stops: Mapping[str, Stop]) -> dict[str, str]:
    """Return the variable that says how far each run came, by its id; nothing where there are none."""
    return {VARIABLE: json.dumps({run: asdict(stop) for run, stop in stops.items()})} if stops else {}


def stop_of(replay_of: str | None) -> Stop | None:
    """Return how far the run came that is executed again; None where that is not said."""
    said = os.environ.get(VARIABLE)
    if not said or replay_of is None:
        return None
    found = json.loads(said).get(replay_of)
    return None if found is None else Stop(**found)
