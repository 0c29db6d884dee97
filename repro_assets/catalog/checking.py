"""Is the catalog right, as far as its bytes and the journal tell?

Laws: nothing is written; every table of the published file, and of the work file from which the next one is made, is
read whole, and DuckDB compares each block that it reads with the block's checksum; what the file says of the journal is
held against the journal. Blocks that no table uses are not read: nothing reads them. The catalog is a projection, so
the remedy is always the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from repro_assets.artifacts.soundness import Soundness
from repro_assets.catalog import publication
from repro_assets.catalog.opening import interruptible
from repro_assets.errors import CorruptObject, MachineError, MissingObject
from repro_assets.journal.merged import forms, read_form
from repro_assets.journal.segments import Damage
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

REMEDY = "make it again: repro catalog rebuild"


def with_catalog(home: Home, found: Soundness) -> Soundness:
    """Return the findings of a check with those of the catalog among its damaged files."""
    files = [{"file": name, "reason": f"{reason} ({REMEDY})"} for name, reason in check_catalog(home)]
    return dataclasses.replace(found, ok=found.ok and not files, files=found.files + files)


def check_catalog(home: Home) -> list[tuple[str, str]]:
    """Return the damaged ones of the two catalog files, relative to the store, and what is wrong with each."""
    found = [("catalog.duckdb", _problem(home, home.catalog))]
    work = publication.work_file(home)
    if work.is_file():
        # A refresh writes to it. Where no lock can be had, the store cannot be written, and there is none.
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(MachineError):
                stack.enter_context(publication.exclusively(home))
            found.append((str(work.relative_to(home.root)), _problem(home, work)))
    return [(name, problem) for name, problem in found if problem is not None]


def _problem(home: Home, path: Path) -> str | None:
    if not path.is_file():
        return None
    import duckdb

    try:
        # Attached to a database of its own, as in `projection`: this process may have the path open already.
        with interruptible(), duckdb.connect(":memory:") as connection:
            connection.execute(f"ATTACH '{str(path).replace(chr(39), 2 * chr(39))}' AS checked (READ_ONLY)")
            _read_all(connection)
            if _schema_of(connection) != (publication.SCHEMA_VERSION, publication.schema_digest()):
                # Another version's; the next refresh makes it again.
                return None
            return _contradiction(home, connection)
    except duckdb.Error as error:
        return f"it does not read: {' '.join(str(error).split())[:300]}"


def _read_all(connection: duckdb.DuckDBPyConnection) -> None:
    tables = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'checked' ORDER BY ALL"
    ).fetchall()
    for schema, table in tables:
        connection.execute(f'SELECT bit_xor(hash(t)) FROM checked."{schema}"."{table}" t').fetchall()
    connection.execute("SELECT sql FROM duckdb_views() WHERE database_name = 'checked'").fetchall()


def _schema_of(connection: duckdb.DuckDBPyConnection) -> tuple[int, str] | None:
    row = connection.execute("SELECT schema_version, schema_digest FROM checked.catalog_info").fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def _contradiction(home: Home, connection: duckdb.DuckDBPyConnection) -> str | None:
    """Hold what the catalog has read of each segment against the journal."""
    rows = connection.execute(
        """
        SELECT segment, read_to, records + (SELECT count(*) FROM checked.damages d
            WHERE d.segment = s.segment AND d.kind = 'record'), [segment] || (SELECT coalesce(list(c.segment), [])
            FROM checked.segments c WHERE c.copy_of = s.segment)
        FROM checked.segments s WHERE copy_of IS NULL ORDER BY segment
        """
    ).fetchall()
    there = forms(home)
    for segment, read_to, known, files in rows:
        longest = max((there[name] for name in files if name in there), key=lambda form: form.size, default=None)
        if longest is None or longest.size < read_to:
            return f"it has read {read_to} bytes of the journal segment {segment}, which has not so many"
        try:
            items = [item for item, end in read_form(home, longest) if end <= read_to]
        except (CorruptObject, MissingObject):
            # A merge; the check of the objects says so.
            continue
        # Where the journal itself is damaged, the check of the journal says so, and the catalog may know more.
        if len(items) != known and not any(isinstance(item, Damage) for item in items):
            return f"it knows {known} records of the journal segment {segment}, which has {len(items)} up to there"
    return None
