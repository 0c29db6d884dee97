"""Which rows a record becomes; those of metric points are made by `points`.

Laws: a record becomes the same rows whenever it is read, whatever was read before it; a record with a value that its
table cannot hold becomes no row and raises `Unfit`, so that it can be named and the next one still counts; text that is
not Unicode and numbers that JSON cannot write are spelt out, never dropped.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from functools import singledispatch
from typing import Any

from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.records import Payload, Process, Record, segment_of

Row = dict[str, Any]
TableRow = tuple[str, Row]

_SMALLEST, _GREATEST = -(2**63), 2**63 - 1
# Years 1 to 9999, which is what every reader of a TIMESTAMP can show.
EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0


class Unfit(ValueError):
    """A value that no column can hold."""


def rows_of(record: Record, time: int) -> Iterator[TableRow]:
    """Yield (table, row) for each row of a record.

    Parameters
    ----------
    record : Record
        What was read.
    time : int
        Its time in microseconds since 1970, UTC, not before that of earlier records of its segment.

    Raises
    ------
    Unfit
        If a value has an impossible type or size; rows that were yielded before are not to be kept.
    """
    yield from _rows(record.payload, record, time)


def microseconds(seconds: Any) -> int:
    """Convert seconds since 1970 to microseconds.

    Raises
    ------
    Unfit
        If `seconds` is not a number, or a time outside the years 1 to 9999.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not EARLIEST <= seconds <= LATEST:
        raise Unfit(f"{seconds!r} is not a time")
    return round(seconds * 1_000_000)


def text_of(value: Any) -> str | None:
    """Return a string as Unicode text (bytes that were none are spelt ``\\udcXX``), None as None.

    Raises
    ------
    Unfit
        If `value` is neither.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unfit(f"{value!r} is not text")
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


def json_of(value: Any) -> str:
    """Write a value as JSON; NaN and infinities become strings, because SQL's JSON has no way to write them."""
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        written.encode("utf-8")
    except ValueError:
        return json.dumps(_writable(value), ensure_ascii=False, allow_nan=False)
    return written


def integer_of(value: Any) -> int | None:
    """Return a 64-bit integer, None as None.

    Raises
    ------
    Unfit
        If `value` is neither.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not _SMALLEST <= value <= _GREATEST:
        raise Unfit(f"{value!r} is not a 64-bit integer")
    return value


def number_of(value: Any) -> float:
    """Return a float.

    Raises
    ------
    Unfit
        If `value` is no number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unfit(f"{value!r} is not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise Unfit(f"{value!r} is too large for a float") from error


def boolean_of(value: Any) -> bool | None:
    """Return a truth value, None as None.

    Raises
    ------
    Unfit
        If `value` is neither.
    """
    if value is not None and not isinstance(value, bool):
        raise Unfit(f"{value!r} is not true or false")
    return value


def texts_of(value: Any) -> list[str | None]:
    """Return a list of strings.

    Raises
    ------
    Unfit
        If `value` is none.
    """
    if not isinstance(value, list):
        raise Unfit(f"{value!r} is not a list")
    return [text_of(item) for item in value]


def _writable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if isinstance(value, dict):
        return {text_of(name): _writable(item) for name, item in value.items()}
    return value


_JSON_FIELDS = {
    "config", "mode", "settings", "plan", "host_facts", "details", "products", "differences", "metrics", "mix", "cells",
}  # fmt: skip
_INTEGER_FIELDS = {
    "seed", "size", "parts", "version", "step", "first", "count", "position", "held", "new", "left_out", "last",
}  # fmt: skip
_BOOLEAN_FIELDS = {"trial", "pinned", "passed"}
_LIST_FIELDS = {"tags", "warnings", "edited_sources", "supersedes", "added", "removed"}
_NAMED_DIFFERENTLY = {"artifact_kind": "kind"}


def _converter(name: str) -> Callable[[Any], Any]:
    if name in _JSON_FIELDS:
        return json_of
    if name in _INTEGER_FIELDS:
        return integer_of
    if name in _BOOLEAN_FIELDS:
        return boolean_of
    return texts_of if name in _LIST_FIELDS else text_of


def _plain(payload: Payload, leave_out: tuple[str, ...] = ()) -> Row:
    """Return a row with one column for each field."""
    assert dataclasses.is_dataclass(payload)
    row: Row = {}
    for field in dataclasses.fields(payload):
        if field.name in leave_out:
            continue
        value = _converter(field.name)(getattr(payload, field.name))
        if value is None and "None" not in str(field.type):
            raise Unfit(f"{field.name} is missing")
        row[_NAMED_DIFFERENTLY.get(field.name, field.name)] = value
    return row


def _recorded(row: Row, record: Record, time: int) -> Row:
    row["record"], row["time"] = record.id, time
    return row


@singledispatch
def _rows(payload: Payload, record: Record, time: int) -> Iterator[TableRow]:
    table = _PLAIN_TABLES.get(type(payload))
    if table is not None:
        yield table, _recorded(_plain(payload), record, time)


_PLAIN_TABLES: dict[type[Payload], str] = {
    run_records.RunInput: "run_inputs",
    run_records.RunOutput: "run_outputs",
    artifact_records.VersionClaimed: "versions",
    run_records.CheckpointSaved: "checkpoints",
    run_records.EvaluationMade: "evaluations",
    run_records.CurriculumChanged: "curriculum",
    run_records.TrainingEvent: "events",
    run_records.ExperiencesInserted: "experience_inserts",
    run_records.ExperienceSnapshot: "experience_snapshots",
    run_records.CheckMade: "checks",
    artifact_records.VersionDeleted: "deleted_versions",
    run_records.RunDeleted: "deleted_runs",
    run_records.RunTagged: "tag_changes",
    run_records.RunNoted: "notes",
    run_records.CheckpointDeleted: "deleted_checkpoints",
    artifact_records.ArtifactEvicted: "evictions",
    run_records.RunTraced: "run_traces",
    run_records.RunResumed: "resumes",
    run_records.ConsoleKept: "consoles",
    run_records.NotebookCells: "notebook_cells",
    run_records.WorkReused: "reused_work",
    run_records.FingerprintsKept: "fingerprint_tables",
}


@_rows.register
def _(payload: Process, record: Record, time: int) -> Iterator[TableRow]:
    row = {
        # A part belongs to the process of its segment.
        "segment": segment_of(record.segment),
        "host": text_of(payload.host),
        "account": text_of(payload.account),
        "pid": integer_of(payload.pid),
        "program": " ".join(str(text_of(word)) for word in payload.argv) or None,
    }
    yield "processes", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.RunStarted, record: Record, time: int) -> Iterator[TableRow]:
    facts = payload.source_facts
    row = _plain(payload, leave_out=("source_facts",))
    row["commit"], row["branch"] = text_of(facts.get("commit")), text_of(facts.get("branch"))
    row["dirty"] = boolean_of(facts.get("dirty"))
    row["record"], row["segment"] = record.id, record.segment
    yield "runs", row
    yield (
        "journal.run_starts",
        {
            "run_id": row["run_id"],
            "record": record.id,
            "segment": record.segment,
            "warnings": row["warnings"],
            "time": time,
        },
    )
    if payload.source is not None or facts:
        yield (
            "sources",
            {
                "run_id": row["run_id"],
                "source": row["source"],
                "commit": row["commit"],
                "branch": row["branch"],
                "tags": texts_of(facts.get("tags") or []),
                "remote": text_of(facts.get("remote")),
                "dirty": row["dirty"],
                "message": text_of(facts.get("message")),
                "left_out": json_of(facts.get("left_out") or []),
                "diff": text_of(facts.get("diff")),
                "record": record.id,
            },
        )


@_rows.register
def _(payload: run_records.RunEnded, record: Record, time: int) -> Iterator[TableRow]:
    row = _plain(payload, leave_out=("error",))
    if row["state"] not in {"COMPLETED", "FAILED", "INTERRUPTED"}:
        raise Unfit(f"{row['state']!r} is not a state in which a run ends")
    row.update(_error(payload.error))
    yield "journal.run_ends", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.ParentState, record: Record, time: int) -> Iterator[TableRow]:
    row = _plain(payload, leave_out=("started", "ended", "error"))
    row.update(_error(payload.error))
    if row["state"] not in {"RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"}:
        raise Unfit(f"{row['state']!r} is not a state of a run")
    for name, moment in (("started", payload.started), ("ended", payload.ended)):
        row[name] = None if moment is None else microseconds(moment)
    yield "journal.parent_states", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.RunImported, record: Record, time: int) -> Iterator[TableRow]:
    row = _plain(payload, leave_out=("started", "ended"))
    for name, moment in (("started_at", payload.started), ("ended_at", payload.ended)):
        row[name] = None if moment is None else microseconds(moment)
    yield "run_imports", _recorded(row, record, time)


@_rows.register
def _(payload: artifact_records.ArtifactStored, record: Record, time: int) -> Iterator[TableRow]:
    yield "artifacts", {**_plain(payload), "readable": False, "record": record.id, "stored_at": time}


@_rows.register
def _(payload: artifact_records.AliasMoved, record: Record, time: int) -> Iterator[TableRow]:
    yield "journal.alias_moves", _recorded(_plain(payload), record, time)


@_rows.register
def _(payload: run_records.Params, record: Record, time: int) -> Iterator[TableRow]:
    for name, value in payload.params.items():
        row = {"run_id": _run(payload.run_id), "name": text_of(name), "value": json_of(value)}
        yield "params", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.ReadingsMissing, record: Record, time: int) -> Iterator[TableRow]:
    for name, reason in payload.reasons.items():
        row = {"run_id": _run(payload.run_id), "name": text_of(name), "reason": text_of(reason)}
        yield "missing_readings", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.SeedsUsed, record: Record, time: int) -> Iterator[TableRow]:
    for name, seed in {"root": payload.root, **payload.derived}.items():
        if seed is None:
            raise Unfit(f"the seed {name!r} is missing")
        row = {"run_id": _run(payload.run_id), "name": text_of(name), "seed": integer_of(seed)}
        yield "seeds", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.PackagesUsed, record: Record, time: int) -> Iterator[TableRow]:
    for name, version in payload.packages.items():
        if not isinstance(version, str):
            raise Unfit(f"{version!r} is no version of {name}")
        row = {"run_id": _run(payload.run_id), "name": text_of(name), "version": text_of(version)}
        yield "used_packages", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.UndeclaredInputs, record: Record, time: int) -> Iterator[TableRow]:
    for item in payload.inputs:
        nanoseconds = integer_of(item.get("mtime_ns"))
        row: Row = {"run_id": _run(payload.run_id), **{part: text_of(item.get(part)) for part in ("kind", "name")}}
        row |= {part: integer_of(item.get(part)) for part in ("size", "count")}
        if row["kind"] is None or row["count"] is None:
            raise Unfit("the kind or the count of an undeclared input is missing")
        row["mtime"] = None if nanoseconds is None else nanoseconds // 1000
        yield "undeclared_inputs", _recorded(row, record, time)


@_rows.register
def _(payload: run_records.Fingerprints, _record: Record, _time: int) -> Iterator[TableRow]:
    step = integer_of(payload.step)
    if step is None:
        raise Unfit("the step is missing")
    for tensor, value in payload.tensors.items():
        yield (
            "fingerprints",
            {
                "run_id": _run(payload.run_id),
                "step": step,
                "quantity": "parameter",
                "tensor": text_of(tensor),
                "xxh3": text_of(value),
            },
        )


@_rows.register
def _(payload: run_records.ReplayMade, record: Record, time: int) -> Iterator[TableRow]:
    row = _plain(payload, leave_out=("seconds", "tolerance"))
    row["seconds"] = None if payload.seconds is None else number_of(payload.seconds)
    row["tolerance"] = None if payload.tolerance is None else json_of(payload.tolerance)
    yield "replays", _recorded(row, record, time)


def _error(error: dict[str, str] | None) -> Row:
    return {f"error_{part}": text_of((error or {}).get(part)) for part in ("type", "message", "trace")}


def _run(run_id: str) -> str:
    run = text_of(run_id)
    if run is None:
        raise Unfit("run_id is missing")
    return run
