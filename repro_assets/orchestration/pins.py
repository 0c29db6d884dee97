"""What a replay lays down before it executes: pinned inputs, and what its runs are replays of.

Laws: pins are set once, by the replay child, before any definition is loaded; while they are set every asset input is
the recorded one, nothing is reused, no version is claimed, and every run says which run it replays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from repro_assets.errors import InvalidValue

Slot = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Pins:
    """The recorded world of the runs that are replayed.

    Parameters
    ----------
    inputs : dict
        For each original run the digest of each of its inputs, by slot and partition.
    originals : dict
        The original run of each (asset key, partition) that is executed.
    source : str or None
        Digest of the source tree that was laid out.
    source_facts : dict
        What the original record said of it.
    parent : str
        Id of the replay's own parent run.
    """

    inputs: dict[str, dict[Slot, str]]
    originals: dict[Slot, str]
    source: str | None
    parent: str
    source_facts: dict[str, object] = field(default_factory=dict)

    def original(self, asset: str, partition: str | None) -> str:
        """Return the run that is replayed by the step of this asset.

        Raises
        ------
        InvalidValue
            If the plan does not name the asset.
        """
        try:
            return self.originals[asset, partition]
        except KeyError as error:
            raise InvalidValue(f"the replay plan does not name {asset} {partition or ''}".rstrip()) from error

    def input(self, asset: str, partition: str | None, slot: str, slot_partition: str | None) -> str:
        """Return the recorded digest of an input.

        Raises
        ------
        InvalidValue
            If the original run recorded no such input.
        """
        run = self.original(asset, partition)
        try:
            return self.inputs[run][slot, slot_partition]
        except KeyError as error:
            raise InvalidValue(f"run {run} recorded no input {slot!r} {slot_partition or ''}".rstrip()) from error

    def find(self, asset: str, partition: str | None, slot: str) -> str | None:
        """Return the recorded digest of an input that not every run has; None where it has none."""
        return self.inputs[self.original(asset, partition)].get((slot, None))


_active: Pins | None = None


def activate(pins: Pins) -> None:
    """Make every input of this process a pinned one."""
    global _active
    _active = pins


def active() -> Pins | None:
    """Return the pins of this process, if it replays."""
    return _active
