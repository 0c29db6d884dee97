"""A record of the journal as a line of bytes, and back.

Laws: a record is one line of JSON that ends in a newline; its last member ``xxh3`` is the XXH3-64 of all bytes of the
line before ``,"xxh3"``, so a changed bit is seen; a line without its newline is not a record; every record carries
``v`` (schema of its kind), ``kind``, ``seq`` (its number within its segment, from 0), ``time`` (wall clock, for
display only), ``follows`` (ids of records it builds on) and ``data``, whose members are the fields of its kind
(`payloads`). Records of older schemas are upcast when read, for ever; one of a newer schema is an error that names it.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import xxhash

from repro_assets.errors import CorruptRecord, InvalidValue, UnsupportedFormat
from repro_assets.journal.records import Payload, Record

SCHEMA_VERSION = 2
"""The greatest version of any kind."""
_SEAL = b',"xxh3":"'


def write_line(payload: Payload, *, seq: int, time: float, follows: tuple[str, ...] = (), part: str = "") -> bytes:
    """Encode one record as its line, newline included; `part` is a member of the first line of a part (`parts`).

    Raises
    ------
    InvalidValue
        If the payload holds something that JSON cannot.
    """
    record = {
        "v": payload.schema,
        "kind": payload.kind,
        "seq": seq,
        "time": time,
        "follows": list(follows),
        "data": {f.name: getattr(payload, f.name) for f in dataclasses.fields(payload)},
    }
    if part:
        record["part"] = part
    try:
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        try:
            body = text.encode()[:-1]
        except UnicodeEncodeError:
            # A lone surrogate, as in a file name that is not UTF-8: only an escape can write it.
            body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"a record of the kind {payload.kind!r} cannot be written: {error}") from error
    return body + _SEAL + xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n'


def read_line(line: bytes, segment: str) -> Record:
    """Decode one complete line.

    Raises
    ------
    CorruptRecord
        If the line is not what was written.
    UnsupportedFormat
        If a newer version of this project wrote it.
    """
    body, seal, rest = line.rpartition(_SEAL)
    if not seal or rest.rstrip(b"\n") != xxhash.xxh3_64_hexdigest(body).encode() + b'"}':
        raise CorruptRecord(f"a line of journal segment {segment} does not match its checksum")
    try:
        raw = json.loads(body.decode() + "}")
        if raw["v"] > SCHEMA_VERSION:
            raise UnsupportedFormat(
                f"record {segment}:{raw['seq']} has schema version {raw['v']}",
                "read it with a newer repro-assets",
            )
        kind = _payloads().get(raw["kind"])
        if kind is None:
            raise UnsupportedFormat(f"record {segment}:{raw['seq']} is of the unknown kind {raw['kind']!r}")
        data = raw["data"] if raw["v"] == kind.schema else kind.upcast(raw["data"])
        return Record(segment, raw["seq"], raw["time"], tuple(raw["follows"]), kind(**data))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecord(f"a line of journal segment {segment} is no record: {error!r}") from error


@cache
def _payloads() -> dict[str, type[Payload]]:
    # A process that only writes needs two or three of them, and making all takes as long as a short put may.
    from repro_assets.journal.payloads import PAYLOADS

    return PAYLOADS
