"""From the trace files to the table of spans.

Laws: the rows of a file and how far it was read change in one transaction; a file that is gone, or shorter than what
was read of it, takes its rows with it; a line that does not read is named among the damages and hides no other; a last
line without its newline is being written and is read later. Trace files are no home of facts: no other table is made
from them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro_assets.catalog.loading import Tables
from repro_assets.catalog.parameters import execute
from repro_assets.catalog.rows import Row, json_of, microseconds, text_of

LINES_AT_ONCE = 64
_STATUS = {0: "unset", 1: "ok", 2: "error"}
_RUN, _KIND = "repro.run_id", "repro.kind"


def read_traces(folder: Path, sizes: dict[str, int], tables: Tables) -> bool:
    """Read what the files have beyond what was read; return whether any row changed.

    Parameters
    ----------
    folder : Path
        The store's ``traces``.
    sizes : dict
        Bytes of each file.
    tables : Tables
        The open work file.
    """
    connection = tables.connection
    known = dict(connection.execute("SELECT file, read_to FROM trace_files").fetchall())
    changed = False
    for name, read_to in known.items():
        if sizes.get(name, -1) < read_to:
            connection.execute("BEGIN")
            for table, column in (("spans", "file"), ("trace_files", "file")):
                execute(connection, f"DELETE FROM {table} WHERE {column} = ?", [name])
            execute(connection, "DELETE FROM damages WHERE kind = 'trace' AND segment = ?", [name])
            connection.execute("COMMIT")
            changed = True
    for name, size in sorted(sizes.items()):
        read_to = known.get(name, 0)
        if size < read_to:
            read_to = 0
        if size > read_to:
            # A file may be deleted, or made unreadable, at any time: what cannot be read is lost, as spans may be.
            with contextlib.suppress(OSError):
                for spans, damages, end in _pieces(folder / name, read_to):
                    _keep(tables, name, spans, damages, end)
                    changed = True
    return changed


def _keep(tables: Tables, name: str, spans: list[Row], damages: list[Row], end: int) -> None:
    connection = tables.connection
    connection.execute("BEGIN")
    tables.insert("spans", spans)
    tables.insert("damages", damages)
    execute(
        connection, "INSERT INTO trace_files SELECT ?, 0, 0 WHERE ? NOT IN (SELECT file FROM trace_files)", [name, name]
    )
    execute(
        connection,
        "UPDATE trace_files SET read_to = ?, spans = spans + ? WHERE file = ?",
        [end, len(spans), name],
    )
    connection.execute("COMMIT")


def _pieces(path: Path, offset: int) -> Iterator[tuple[list[Row], list[Row], int]]:
    spans: list[Row] = []
    damages: list[Row] = []
    lines = 0
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                spans += list(_spans(json.loads(line), path.name))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                # Anything may stand in a file that anybody can write to.
                damages.append(
                    {
                        "kind": "trace",
                        "segment": path.name,
                        "byte_offset": offset,
                        "subject": None,
                        "reason": text_of(f"no spans: {type(error).__name__}: {' '.join(str(error).split())}"),
                    }
                )
            offset += len(line)
            lines += 1
            if lines % LINES_AT_ONCE == 0:
                yield spans, damages, offset
                spans, damages = [], []
    if lines % LINES_AT_ONCE:
        yield spans, damages, offset


def _spans(request: Any, file: str) -> Iterator[Row]:
    for resource in request["resourceSpans"]:
        common = _attributes(resource.get("resource", {}))
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield _row(span, common, file)


def _row(span: Any, common: dict[str, Any], file: str) -> Row:
    start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    attributes = _attributes(span)
    run_id, kind = attributes.pop(_RUN, None), attributes.pop(_KIND, None)
    if "repro.rank" in common:
        attributes["repro.rank"] = common["repro.rank"]
    status = span.get("status", {})
    return {
        "run_id": text_of(run_id),
        "trace_id": _needed(span["traceId"]),
        "span_id": _needed(span["spanId"]),
        "parent_span_id": text_of(span.get("parentSpanId") or None),
        "name": _needed(span["name"]),
        "kind": text_of(kind),
        "started_at": microseconds(start / 1e9),
        "seconds": (end - start) / 1e9,
        "status": _STATUS[status.get("code", 0)],
        "error": text_of(status.get("message")),
        "attributes": json_of(attributes),
        "file": file,
    }


def _needed(value: Any) -> str:
    text = text_of(value)
    if text is None:
        raise ValueError("a span without a name or an id")
    return text


def _attributes(owner: Any) -> dict[str, Any]:
    return {item["key"]: _value(item["value"]) for item in owner.get("attributes", [])}


def _value(value: Any) -> Any:
    ((kind, content),) = value.items()
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [_value(item) for item in content.get("values", [])]
    return content
