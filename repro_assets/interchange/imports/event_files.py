"""TensorBoard's event files, record by record.

Laws: every record's checksums are looked at, with TensorBoard's own code; a record that is damaged refuses the whole; a
last one that is cut short, because its writer died or still writes, ends the file and is told.

A record is its length (64 bits, little-endian), a checksum of that, an event of TensorBoard's as a protocol buffer, and
a checksum of this.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro_assets.errors import InvalidInput
from repro_assets.store.sources import unreadable

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


def is_event_file(name: str) -> bool:
    """Tell whether TensorBoard takes a file of this name for one of events."""
    return "tfevents" in name


def events_of(file: Path, cut_short: list[Path]) -> Iterator[Any]:
    """Yield the events of a file, in order.

    Parameters
    ----------
    file : Path
        The event file.
    cut_short : list of Path
        Gets the file if its last record is not all there.

    Raises
    ------
    InvalidInput
        If a record is damaged, or the file cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    try:
        data = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error
    place = 0
    while place < len(data):
        begin = place + _HEADER.size
        if begin > len(data):
            cut_short.append(file)
            return
        length, check = _HEADER.unpack_from(data, place)
        if masked_crc32c(data[place : place + 8]) != check:
            raise _damaged(file, place)
        end = begin + length
        if end + _FOOTER.size > len(data):
            cut_short.append(file)
            return
        if masked_crc32c(data[begin:end]) != _FOOTER.unpack_from(data, end)[0]:
            raise _damaged(file, place)
        try:
            yield Event.FromString(data[begin:end])
        except DecodeError as error:
            raise _damaged(file, place) from error
        place = end + _FOOTER.size


def _damaged(file: Path, place: int) -> InvalidInput:
    return InvalidInput(f"the event file {file} is damaged at byte {place}", "restore a copy, or take it out")
