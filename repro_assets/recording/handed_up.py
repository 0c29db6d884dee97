"""What forked children say to the process that they were forked from, whose record of the run's end can tell it.

Laws: it is memory that both share, with a slot for each child in turn, so nobody waits and nothing is left behind; a
child of a child says nothing here. All of it is on record too, so what is overwritten is lost to a warning only.
"""

from __future__ import annotations

import json
import mmap
from typing import Any

SLOTS, SLOT_BYTES = 64, 1024


class HandedUp:
    """Slots for what children say; there is no memory for them before the first fork."""

    def __init__(self) -> None:
        self._area: mmap.mmap | None = None
        self._forks = 0
        self._own: int | None = None
        self._is_child = False

    def give_slot(self) -> None:
        """Give a slot to the child that is about to be forked."""
        if not self._is_child:
            if self._area is None:
                self._area = mmap.mmap(-1, SLOTS * SLOT_BYTES)
            self._forks += 1

    def become_child(self) -> None:
        """Take the slot that was given; in a child of a child there is none."""
        self._own = None if self._is_child else (self._forks - 1) % SLOTS * SLOT_BYTES
        self._is_child = True

    def say(self, about: str, items: list[Any]) -> None:
        """Say as many of the first items about something as a slot holds."""
        if self._area is None or self._own is None:
            return
        for count in range(len(items), 0, -1):
            data = json.dumps([about, items[:count]]).encode()
            if len(data) <= SLOT_BYTES:
                self._area[self._own : self._own + SLOT_BYTES] = data.ljust(SLOT_BYTES, b"\0")
                return

    def heard(self, about: str) -> list[Any]:
        """Return what children have said about something until now."""
        if self._area is None or self._is_child:
            return []
        found: list[Any] = []
        for begin in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES):
            try:
                subject, items = json.loads(self._area[begin : begin + SLOT_BYTES].rstrip(b"\0") or b'["", []]')
            except ValueError:
                continue  # It is being written.
            found += items if subject == about else []
        return found
