"""Publishing the catalog, and knowing in a few milliseconds that there is nothing to publish.

Laws: the published file is replaced by rename, whole and on the disk, so a reader keeps the file that it opened and is
never refused; one process at a time builds and publishes; a note beside the work file says what was published from
which bytes of the journal, and it is written after the file, so it never says more than the file holds. Nothing here
imports DuckDB.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from repro_assets.errors import from_os_error
from repro_assets.journal.merged import forms
from repro_assets.journal.segments import liveness
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home

SCHEMA_VERSION = 9
"""Bump it when tables or the way of making rows change; a catalog of another version is rebuilt from the journal."""


@dataclass(frozen=True, slots=True)
class Note:
    """What the published file was made from.

    Parameters
    ----------
    schema_version, schema_digest : int and str
        What its tables look like.
    published : tuple of int
        Inode, size and modification time (ns) of the published file.
    segments : dict
        Size in bytes of each segment when it was read.
    watched : dict
        Liveness of each journal file on which the state of a run without an end record depends.
    damages : int
        Rows in the table of damages.
    traces : dict
        Size in bytes of each trace file when it was read.
    """

    schema_version: int
    schema_digest: str
    published: tuple[int, int, int]
    segments: dict[str, int]
    watched: dict[str, str]
    damages: int
    traces: dict[str, int]


@cache
def schema_text() -> str:
    """Return the SQL that makes tables, views and macros."""
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text("utf-8") for name in ("schema.sql", "views.sql"))


@cache
def schema_digest() -> str:
    """Return the SHA-256 of `schema_text`, in hexadecimal."""
    return sha256(schema_text().encode()).hexdigest()


def work_file(home: Home) -> Path:
    """Return the private file that the projection writes.

    It bears the published file's name, because DuckDB names a database after its file.
    """
    return home.cache / "catalog" / home.catalog.name


def segment_sizes(home: Home) -> dict[str, int]:
    """Return the size in bytes of every segment of the journal, in whatever form it is.

    Raises
    ------
    CorruptRecord, UnsupportedFormat
        If a merge of segments does not read.
    """
    return {name: form.size for name, form in forms(home).items()}


def trace_sizes(home: Home) -> dict[str, int]:
    """Return the size in bytes of every trace file; none where the folder cannot be read: they are no facts."""
    try:
        with os.scandir(home.traces) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".jsonl")}
    except OSError:
        return {}


def file_facts(path: Path) -> tuple[int, int, int] | None:
    """Return inode, size and modification time (ns) of a file, None where there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def current_note(home: Home) -> Note | None:
    """Return the note of the published file if nothing has happened since; None where a projection is due."""
    note = _read_note(home)
    if (
        note is None
        or (note.schema_version, note.schema_digest) != (SCHEMA_VERSION, schema_digest())
        or note.published != file_facts(home.catalog)
        or note.segments != segment_sizes(home)
        or note.traces != trace_sizes(home)
    ):
        return None
    return note if observe(home, note.watched) == note.watched else None


def was_touched(home: Home) -> bool:
    """Tell whether the published file is another one than that which was published last; False where no note says."""
    note = _read_note(home)
    return note is not None and note.published != file_facts(home.catalog)


def observe(home: Home, names: Iterable[str]) -> dict[str, str]:
    """Return the liveness of the processes that write these journal files."""
    found = {}
    for name in names:
        # What was merged, or belongs to a journal that was taken away, has no process.
        with contextlib.suppress(FileNotFoundError):
            found[name] = liveness(home.journal / name).value
    return found


@contextlib.contextmanager
def exclusively(home: Home) -> Iterator[None]:
    """Be the only process, and the only thread, that builds and publishes this store's catalog; waits for its turn.

    Raises
    ------
    MachineError
        If the store cannot be written.
    """
    try:
        durable.ensure_folder(work_file(home).parent)
    except OSError as error:
        raise from_os_error(error, work_file(home).parent) from error
    with durable.locked(home.cache / "catalog.lock"):
        yield


def publish(home: Home) -> tuple[int, int, int]:
    """Copy the closed work file and rename the copy over the published one; return the new file's facts.

    To be called by the process that holds the lock.

    Raises
    ------
    MachineError
        If the disk is full or read-only; the published file is the old one then.
    """
    partial = home.temporary / f"catalog-{uuid.uuid4().hex}.duckdb"
    try:
        durable.ensure_folder(home.temporary)
        for left_behind in home.temporary.glob("catalog-*.duckdb"):
            left_behind.unlink()
        try:
            shutil.copyfile(work_file(home), partial)
            with partial.open("rb") as file:
                durable.sync_descriptor(file.fileno())
            facts = partial.stat()
            partial.rename(home.catalog)
        finally:
            partial.unlink(missing_ok=True)
        durable.sync_folder(home.root)
    except OSError as error:
        raise from_os_error(error, home.catalog) from error
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def write_note(home: Home, note: Note) -> None:
    """Write the note; a kill leaves the old one or the new one."""
    path = _note_file(home)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        for left_behind in path.parent.glob(f"{path.name}.*"):
            left_behind.unlink()
        partial.write_bytes(sealed.seal(asdict(note)))
        partial.rename(path)
    except OSError as error:
        raise from_os_error(error, path) from error


def _note_file(home: Home) -> Path:
    return work_file(home).parent / "published.json"


def _read_note(home: Home) -> Note | None:
    try:
        raw = sealed.unseal(_note_file(home).read_bytes())
        return Note(**{**raw, "published": tuple(raw["published"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        # The note can be deleted at any time, so one that does not read is as good as none.
        return None
