"""The journal in a remote: segments as stretches, so that each push sends only what is new.

Laws: ``journal/<segment>/<from>-<to>.<SHA-256>`` holds the bytes of a segment between two ends of records; a segment
only ever grows, so no stretch is ever replaced, and stretches of one segment that overlap agree; a stretch counts only
when its SHA-256 is right. Here a segment is only ever made longer, and never one whose process lives. Two that disagree
are named, and the one that is here stays. What was merged here is sent, and made longer, as the file that it was.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import BinaryIO

from repro_assets.artifacts.merged_points import open_segment
from repro_assets.errors import CorruptRecord
from repro_assets.journal.merged import Form, alone, form_of, forms, length_of
from repro_assets.journal.segments import Liveness, liveness
from repro_assets.store import durable
from repro_assets.store.home import Home
from repro_assets.store.remote.bucket import Bucket

_STRETCH = re.compile(r"journal/([A-Za-z0-9_][A-Za-z0-9_.-]*\.jsonl)/(\d{1,18})-(\d{1,18})\.([0-9a-f]{64})")
_AT_MOST = 32 << 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a segment, from one end of a record to another."""

    segment: str
    start: int
    end: int
    sha256: str

    @property
    def path(self) -> str:
        """Where it is in a remote."""
        return f"journal/{self.segment}/{self.start}-{self.end}.{self.sha256}"


@dataclass(frozen=True, slots=True)
class Growth:
    """What a segment gains: its bytes from `start` on."""

    segment: str
    start: int
    data: bytes


def lengths(home: Home) -> dict[str, int]:
    """Return the length of each segment of a store, up to the end of its last record."""
    return {name: length_of(home, form) for name, form in forms(home).items()}


def stretches(bucket: Bucket) -> dict[str, list[Stretch]]:
    """Return the stretches in a remote, by segment, in the order of their starts.

    Raises
    ------
    MachineError, UnknownName
        If the remote does not answer, refuses, or has no such bucket.
    """
    found: dict[str, list[Stretch]] = {}
    for item in bucket.list("journal"):
        match = _STRETCH.fullmatch(item.path)
        if match and int(match[2]) < int(match[3]):
            found.setdefault(match[1], []).append(Stretch(match[1], int(match[2]), int(match[3]), match[4]))
    return {segment: sorted(listed, key=lambda s: (s.start, -s.end)) for segment, listed in found.items()}


def covered(listed: list[Stretch]) -> int:
    """Return how far stretches reach from the start of their segment without a gap."""
    reached = 0
    for stretch in listed:
        if stretch.start > reached:
            break
        reached = max(reached, stretch.end)
    return reached


def send_segment(bucket: Bucket, home: Home, segment: str, start: int, end: int) -> int:
    """Send the bytes of a segment between `start` and `end` and return how many they are.

    Raises
    ------
    MachineError, UnknownName
        As `stretches`.
    """
    with _open(home, segment) as file:
        while start < end:
            file.seek(start)
            data = file.read(min(_AT_MOST, end - start))
            last = data.rfind(b"\n") + 1
            # A record longer than the limit travels whole.
            data = data[:last] if last else data + file.read(end - start - len(data))
            stretch = Stretch(segment, start, start + len(data), hashlib.sha256(data).hexdigest())
            # What is there under this name has these bytes.
            bucket.create(stretch.path, data)
            start += len(data)
    return end


def fetch_growth(bucket: Bucket, home: Home, segment: str, listed: list[Stretch]) -> Growth | None:
    """Return what a remote knows of a segment and this store does not; None if nothing.

    Raises
    ------
    CorruptRecord
        If a stretch has other bytes than those that were sent, or the remote's segment is not this one.
    MachineError, UnknownName
        As `stretches`.
    """
    form = form_of(home, segment)
    start = reached = 0 if form is None else length_of(home, form)
    data = b""
    for stretch in listed:
        if stretch.start > reached or stretch.end <= reached:
            continue
        got = bucket.read(stretch.path)
        if got is None or len(got) != stretch.end - stretch.start or hashlib.sha256(got).hexdigest() != stretch.sha256:
            raise CorruptRecord(f"{bucket}/{stretch.path} has wrong bytes", "remove it there, and push again")
        if stretch.start < start:
            with _open(home, segment) as file:
                file.seek(stretch.start)
                if file.read(start - stretch.start) != got[: start - stretch.start]:
                    raise CorruptRecord(
                        f"the segment {segment} of {bucket} is not the one that is here", "see: repro store fsck"
                    )
        data += got[reached - stretch.start :]
        reached = stretch.end
    return Growth(segment, start, data) if data else None


def keep_growth(home: Home, growth: Growth) -> bool:
    """Write what a segment gained; False if a living process of this store writes to it.

    Raises
    ------
    MachineError
        If it cannot be written.
    """
    path = home.journal / growth.segment
    with alone(home):
        if path.is_file() and liveness(path) is Liveness.ALIVE:
            return False
        before = b""
        if growth.start:
            with _open(home, growth.segment) as file:
                before = file.read(growth.start)
        return durable.write_file(path, [before, growth.data], home.temporary)


def _open(home: Home, segment: str) -> BinaryIO:
    form = form_of(home, segment)
    try:
        return open_segment(home, form or Form(segment, 0))
    except FileNotFoundError:
        # It was merged since.
        return open_segment(home, form_of(home, segment) or Form(segment, 0))
