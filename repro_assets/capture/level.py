"""How much a capture takes.

Law: each level holds everything of the level before it.
"""

from __future__ import annotations

from enum import StrEnum

from repro_assets.errors import InvalidValue

_NUMBERS = {"1": "basic", "2": "standard", "3": "complete"}


class Level(StrEnum):
    """What a capture takes.

    ``basic``: commit, packages, Python, operating system. ``standard``: also the source files and the diff, the
    hardware, the mathematical libraries, and the environment variables that change bits. ``complete``: also the
    container, the loaded shared libraries, installed files that were edited, the cloud, and how fast the machine is.
    """

    BASIC = "basic"
    STANDARD = "standard"
    COMPLETE = "complete"

    @classmethod
    def parse(cls, given: str | int | Level) -> Level:
        """Read a level from its name or its number (1, 2 or 3).

        Raises
        ------
        InvalidValue
            If `given` names no level.
        """
        text = str(given).strip().lower() if not isinstance(given, bool) else repr(given)
        try:
            return cls(_NUMBERS.get(text, text))
        except ValueError as error:
            raise InvalidValue(
                f"{given!r} is not a capture level", "basic, standard or complete, or 1, 2, 3"
            ) from error

    def takes(self, level: Level) -> bool:
        """Whether what belongs to `level` is taken at this level."""
        order = list(Level)
        return order.index(self) >= order.index(level)
