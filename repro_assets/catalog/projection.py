"""From the journal to the catalog.

Laws: the catalog is a function of the journal and of the objects that it names, of which processes live, and, in the
tables `spans` and `trace_files` alone, of the trace files; it can be deleted at any time. Offsets move in the
transaction that adds the rows, so a kill at any instant loses nothing and counts nothing twice. Work is done on a
private file, by one process at a time, and shows by rename. Where nothing has happened since, nothing is written, and
DuckDB is not even imported. A work file that is missing, corrupt or of another schema is rebuilt from the journal.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro_assets.catalog import publication
from repro_assets.catalog.loading import Tables, settle
from repro_assets.catalog.merging import merge_when_many
from repro_assets.catalog.opening import interruptible
from repro_assets.catalog.parameters import execute
from repro_assets.catalog.publication import Note, work_file
from repro_assets.catalog.reading import Piece, Segment, Unusable, files_of, group, longest_of, pieces
from repro_assets.catalog.referenced import read_referenced
from repro_assets.catalog.traces import read_traces
from repro_assets.errors import DiskFull, MachineError
from repro_assets.journal.merged import Form, forms
from repro_assets.journal.segments import list_segments
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "threads": 2,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


_TORN = "torn"
_as_published: set[Home] = set()
"""Stores whose catalog this process reads as it was published, because it cannot be written."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a refresh did.

    Parameters
    ----------
    changed : bool
        True if a new file was published.
    records : int
        Records that were read.
    damages : int
        Lines, records and objects in the catalog that could not be read; the table `damages` names them. Torn lines are
        not counted: what was acknowledged is never among them.
    rebuilt : str or None
        Why everything was read again, where it was.
    seconds : float
        Wall time, waiting for another refresh included.
    """

    changed: bool
    records: int
    damages: int
    rebuilt: str | None
    seconds: float


def refresh(home: Home) -> Published:
    """Bring the published catalog up to date; a refresh that had to wait looks again before it works.

    Nothing is done, and no damage counted, where `take_as_published` was called.

    Raises
    ------
    MachineError
        If the store cannot be written or the disk is full; the published file is the old one then.
    """
    begin = time.perf_counter()
    if home in _as_published:
        return Published(False, 0, 0, None, time.perf_counter() - begin)
    note = publication.current_note(home)
    if note is not None:
        return Published(False, 0, note.damages, None, time.perf_counter() - begin)
    with publication.exclusively(home), interruptible():
        note = publication.current_note(home)
        if note is not None:
            return Published(False, 0, note.damages, None, time.perf_counter() - begin)
        done = _project(home, None, begin)
    merge_when_many(home, len(list_segments(home.journal)))
    return done


def take_as_published(home: Home) -> bool:
    """Answer this process's further questions from the catalog as it is; return False where none can be read.

    For a store that cannot be written: its catalog is a whole one of some earlier moment, or of this one.
    """
    if _published_revision(home) is None:
        return False
    _as_published.add(home)
    return True


def rebuild(home: Home) -> Published:
    """Make the catalog again from the whole journal; the published file stays until the new one is there.

    Raises
    ------
    MachineError
        As for `refresh`.
    """
    begin = time.perf_counter()
    with publication.exclusively(home), interruptible():
        return _project(home, "asked for", begin)


def _project(home: Home, reason: str | None, begin: float) -> Published:
    import duckdb

    try:
        if reason is None and work_file(home).is_file():
            try:
                return _advance(home, None, begin)
            except Unusable as error:
                reason = str(error)
            except duckdb.Error as error:
                _machine_error(error, home)
                reason = f"the work file cannot be continued: {str(error).splitlines()[0]}"
        return _advance(home, reason or "there was no work file", begin)
    except duckdb.Error as error:
        _machine_error(error, home)
        if isinstance(error, duckdb.IOException):
            # The file is a new one, so what fails is the machine.
            raise MachineError(f"cannot write {work_file(home)}: {str(error).splitlines()[0]}") from error
        raise


def _machine_error(error: duckdb.Error, home: Home) -> None:
    """Raise what the person can do something about; return for any other error."""
    import duckdb

    if "No space left" in str(error):
        raise DiskFull(
            f"no space left while writing {work_file(home)}", "free some space and run the command again"
        ) from error
    if "Could not write" in str(error):
        raise MachineError(f"cannot write {work_file(home)}: {str(error).splitlines()[0]}") from error
    if isinstance(error, duckdb.OutOfMemoryException):
        raise MachineError(f"not enough memory for {work_file(home)}: {str(error).splitlines()[0]}") from error


def _advance(home: Home, rebuilt: str | None, begin: float) -> Published:
    import duckdb

    work = work_file(home)
    if rebuilt is not None:
        for path in (work, work.with_name(work.name + ".wal")):
            path.unlink(missing_ok=True)
    with duckdb.connect(str(work), config=_CONFIG) as connection:
        if rebuilt is not None:
            _make_schema(connection)
        else:
            _check_schema(connection)
        tables = Tables(connection)
        found = forms(home)
        sizes = {name: form.size for name, form in found.items()}
        segments = group(home, found, _known_segments(connection))
        records = 0
        for piece in pieces(home, found, segments):
            _keep(tables, piece)
            records += piece.records
        _keep_copies(tables, segments)
        _summarize(tables)
        if read_referenced(home, tables):
            _draw_revision(connection)
        traces = publication.trace_sizes(home)
        if read_traces(home.traces, traces, tables):
            _draw_revision(connection)
        watched = _observe_processes(home, tables, found, segments) | _name_torn(home, tables, found, segments)
        damages = _one(connection, f"SELECT count(*) FROM damages WHERE kind <> '{_TORN}'")
        revision = str(_one(connection, "SELECT revision FROM catalog_info"))
        # A file that somebody else has written to is replaced, whatever it says.
        changed = publication.was_touched(home) or revision != _published_revision(home)
        if changed:
            connection.execute("CHECKPOINT")
    facts = publication.publish(home) if changed else publication.file_facts(home.catalog)
    assert facts is not None
    seen = {
        name: max(size, segments[name].read_to if name in segments and segments[name].copy_of is None else 0)
        for name, size in sizes.items()
    }
    publication.write_note(
        home,
        Note(publication.SCHEMA_VERSION, publication.schema_digest(), facts, seen, watched, damages, traces),
    )
    return Published(changed, records, damages, rebuilt, time.perf_counter() - begin)


def _make_schema(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("BEGIN")
    connection.execute(publication.schema_text())
    execute(
        connection,
        "INSERT INTO catalog_info VALUES (?, ?, ?)",
        [publication.SCHEMA_VERSION, publication.schema_digest(), uuid.uuid4().hex],
    )
    connection.execute("COMMIT")


def _check_schema(connection: duckdb.DuckDBPyConnection) -> None:
    found = connection.execute("SELECT schema_version, schema_digest FROM catalog_info").fetchall()
    if found != [(publication.SCHEMA_VERSION, publication.schema_digest())]:
        raise Unusable("the schema is another one")


def _known_segments(connection: duckdb.DuckDBPyConnection) -> dict[str, Segment]:
    return {
        row[0]: Segment(*row)
        for row in connection.execute(
            "SELECT segment, header, copy_of, read_to, records, epoch_us(last_time), process, last_seq FROM segments "
            "ORDER BY segment"
        ).fetchall()
    }


def _keep(tables: Tables, piece: Piece) -> None:
    connection = tables.connection
    connection.execute("BEGIN")
    tables.add(piece.batch)
    tables.insert("damages", piece.damages)
    _replace_segments(tables, list(piece.segments.values()))
    _draw_revision(connection)
    connection.execute("COMMIT")


def _summarize(tables: Tables) -> None:
    tables.connection.execute("BEGIN")
    if tables.summarize():
        _draw_revision(tables.connection)
    tables.connection.execute("COMMIT")


def _keep_copies(tables: Tables, segments: dict[str, Segment]) -> None:
    connection = tables.connection
    known = {name for (name,) in connection.execute("SELECT segment FROM segments").fetchall()}
    fresh = [segment for segment in segments.values() if segment.name not in known]
    if fresh:
        connection.execute("BEGIN")
        _replace_segments(tables, fresh)
        _draw_revision(connection)
        connection.execute("COMMIT")


def _replace_segments(tables: Tables, segments: list[Segment]) -> None:
    connection = tables.connection
    connection.register("fresh_segments", tables.arrow("segments", [segment.row() for segment in segments]))
    connection.execute("DELETE FROM segments WHERE segment IN (SELECT segment FROM fresh_segments)")
    connection.execute("INSERT INTO segments BY NAME SELECT * FROM fresh_segments")
    connection.unregister("fresh_segments")


def _observe(home: Home, names: list[str], found: dict[str, Form]) -> dict[str, str]:
    """Look at the processes that write these files; one that is gone counts as alive until all it wrote is read."""
    seen = publication.observe(home, names)
    for name, word in seen.items():
        if word == "gone":
            with contextlib.suppress(FileNotFoundError):
                if (home.journal / name).stat().st_size > found[name].size:
                    seen[name] = "alive"
    return seen


def _observe_processes(
    home: Home, tables: Tables, found: dict[str, Form], segments: dict[str, Segment]
) -> dict[str, str]:
    """Look at the processes on which runs without an end depend; return what must be looked at again, by file."""
    connection = tables.connection
    open_runs = "SELECT run_id FROM runs WHERE state_source = 'process'"
    needed = {
        name
        for (name,) in connection.execute(
            f"""
            WITH open AS ({open_runs})
            SELECT segment FROM journal.run_starts SEMI JOIN open USING (run_id)
            UNION
            SELECT s.segment FROM runs child JOIN journal.run_starts s USING (run_id)
            WHERE child.parent_run_id IN (SELECT run_id FROM open)
            """
        ).fetchall()
    }
    files = files_of(segments)
    watched: dict[str, str] = {}
    moved = []
    for name, segment in segments.items():
        process = segment.process
        if name not in needed:
            process = None
        elif process != "gone":
            # Gone is for ever: nothing is appended to a segment whose process has let go of it.
            seen = _observe(home, files[name], found)
            process = next((word for word in ("alive", "unknown") if word in seen.values()), "gone")
            if process != "gone":
                watched.update(seen)
        if process != segment.process:
            segment.process = process
            moved.append(segment)
    connection.execute("BEGIN")
    if moved:
        _replace_segments(tables, moved)
    changed = int(connection.execute(settle(open_runs)).fetchall()[0][0])
    if moved or changed:
        _draw_revision(connection)
    connection.execute("COMMIT")
    return watched


def _name_torn(home: Home, tables: Tables, found: dict[str, Form], segments: dict[str, Segment]) -> dict[str, str]:
    """Keep a row for each last line that its writer left unfinished; return the writers that may still finish one."""
    connection, files = tables.connection, files_of(segments)
    torn: dict[tuple[str, int], int] = {}
    watched: dict[str, str] = {}
    for name, form in longest_of(found, segments).items():
        if form.size > segments[name].read_to:
            going = {file: word for file, word in _observe(home, files[name], found).items() if word != "gone"}
            watched.update(going)
            if not going:
                torn[name, segments[name].read_to] = form.size - segments[name].read_to
    ours = f"FROM damages WHERE kind = '{_TORN}'"
    if set(torn) != set(connection.execute(f"SELECT segment, byte_offset {ours}").fetchall()):
        connection.execute("BEGIN")
        connection.execute(f"DELETE {ours}")
        said = "its writer is gone and left this last line unfinished: {} bytes that are no record"
        tables.insert(
            "damages",
            [
                {"kind": _TORN, "segment": name, "byte_offset": offset, "reason": said.format(size)}
                for (name, offset), size in sorted(torn.items())
            ],
        )
        _draw_revision(connection)
        connection.execute("COMMIT")
    return watched


def _draw_revision(connection: duckdb.DuckDBPyConnection) -> None:
    execute(connection, "UPDATE catalog_info SET revision = ?", [uuid.uuid4().hex])


def _published_revision(home: Home) -> str | None:
    import duckdb

    if not home.catalog.is_file():
        return None
    try:
        # Attached to a database of its own: a connection to the path itself would share, and keep, the file that
        # another connection of this process opened before the last rename.
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"ATTACH '{_quoted(home.catalog)}' AS published (READ_ONLY)")
            return str(_one(connection, "SELECT revision FROM published.catalog_info"))
    except duckdb.Error:
        # What cannot be read is replaced.
        return None


def _quoted(path: object) -> str:
    return str(path).replace("'", "''")


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
