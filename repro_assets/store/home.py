"""Where a store is.

Laws: a store is known by its marker file, never by the name of its folder; ``REPRO_HOME`` decides; without it the
nearest folder upwards that holds a marker, or whose ``data`` folder does. Making a store twice changes nothing.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from repro_assets.errors import (
    CorruptRecord,
    InvalidInput,
    InvalidValue,
    NoStore,
    NotWritable,
    UnsupportedFormat,
    from_os_error,
)
from repro_assets.store import durable, sealed

MARKER = "repro-store.json"
FORMAT = 2
"""The greatest that is read."""
MERGED_FORMAT = 2
"""That of a store of which a part of the journal is merged; who does not know merges must not collect there."""
_NEW_FORMAT = 1
VARIABLE = "REPRO_HOME"
IGNORING = ".gitignore"
"""The file in a new store's folder that hides the store, and itself, from git."""
PROJECT_MARKS = ("workspace.yaml", "pyproject.toml", ".git")
"""Any of these makes a folder a project's top."""
_NO_OTHERS = frozenset({"raw", IGNORING, ".gitkeep", "lost+found"})
_UNSEALED = frozenset({"format", "store_id"})


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of a store and the places in it.

    Parameters
    ----------
    root : Path
        The folder.
    """

    root: Path

    @property
    def objects(self) -> Path:
        """Loose objects, ``ab/<62 hex>``."""
        return self.root / "objects"

    @property
    def packs(self) -> Path:
        """Small objects, many in a file: ``<id>.pack`` and its index ``<id>.idx``."""
        return self.root / "packs"

    @property
    def leases(self) -> Path:
        """What living processes rely on: one file of digests each."""
        return self.root / "leases"

    @property
    def trash(self) -> Path:
        """Objects that collection took away and has not deleted yet."""
        return self.root / "trash"

    @property
    def temporary(self) -> Path:
        """Files that are being written; safe to delete when no process lives."""
        return self.root / "tmp"

    @property
    def quarantine(self) -> Path:
        """Objects whose bytes did not match."""
        return self.root / "quarantine"

    @property
    def journal(self) -> Path:
        """Segments of records."""
        return self.root / "journal"

    @property
    def traces(self) -> Path:
        """Spans, one file for each process; they can be deleted at any time."""
        return self.root / "traces"

    @property
    def names(self) -> Path:
        """Claimed versions, ``<collection>/<N>``."""
        return self.root / "names"

    @property
    def remotes(self) -> Path:
        """Names and addresses of remotes."""
        return self.root / "remotes.json"

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return self.root / "cache"

    @property
    def catalog(self) -> Path:
        """The published DuckDB file."""
        return self.root / "catalog.duckdb"

    @property
    def dagster(self) -> Path:
        """Dagster's own storage (its DAGSTER_HOME)."""
        return self.root / "dagster"


def make_store(root: Path) -> Home:
    """Make a store in `root`, or open the one that is there.

    Parameters
    ----------
    root : Path
        The folder.

    Raises
    ------
    InvalidInput
        If `root` is a file.
    MachineError
        If the folder cannot be written.
    """
    root = root.expanduser().absolute()
    _refuse_file(root)
    if not (root / MARKER).is_file():
        content = sealed.seal({"format": _NEW_FORMAT, "store_id": uuid.uuid4().hex})
        _hide(root)
        # Exclusively: of two processes that make one store, the first one's id stays.
        durable.write_file(root / MARKER, [content], Home(root).temporary, exclusive=True)
        try:
            # Collection needs it when the disk is full, and then it could not be made.
            durable.ensure_folder(Home(root).trash)
        except OSError as error:
            raise from_os_error(error, root) from error
    return open_store(root)


def _hide(root: Path) -> None:
    """Have git leave alone what the store in `root` will hold, unless a person's own file says what it leaves alone.

    It hides itself, too, so that a clean worktree stays clean.
    """
    lines = ["# The store is no part of the repository; what else lies in this folder may be.", f"/{IGNORING}"]
    lines += [f"/{name}" for name in sorted(own_names())]
    try:
        durable.write_file(
            root / IGNORING, ["".join(f"{line}\n" for line in lines).encode()], Home(root).temporary, exclusive=True
        )
    except OSError as error:
        raise from_os_error(error, root) from error


def open_store(root: Path) -> Home:
    """Open the store in `root`.

    Parameters
    ----------
    root : Path
        The folder.

    Raises
    ------
    NoStore
        If there is none.
    InvalidInput
        If `root` is a file.
    UnsupportedFormat
        If a newer version made it.
    """
    _refuse_file(root)
    marker = root / MARKER
    try:
        facts = sealed.unseal(marker.read_bytes(), _UNSEALED)
        version = int(facts["format"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoStore(f"there is no store in {root}", f"make one with: repro init {root}") from error
    except PermissionError as error:
        raise NotWritable(f"cannot read {marker}", "check its owner and mode") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecord(f"{marker} is damaged", f"remove it and run: repro init {root}") from error
    if version > FORMAT:
        raise UnsupportedFormat(f"the store in {root} has format {version}", "use a newer repro-assets")
    return Home(root)


def require_format(home: Home, number: int) -> None:
    """Say durably in the marker of a store that whoever opens it must know the format `number`.

    Raises
    ------
    CorruptRecord
        If the marker does not read.
    MachineError
        If it cannot be written.
    """
    marker = home.root / MARKER
    try:
        facts = sealed.unseal(marker.read_bytes(), _UNSEALED)
        if int(facts["format"]) < number:
            durable.write_file(marker, [sealed.seal({**facts, "format": number})], home.temporary)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecord(f"{marker} is damaged", f"remove it and run: repro init {home.root}") from error


def find_project(folder: Path) -> Path | None:
    """Return the nearest folder from `folder` upwards that is a project's top (`PROJECT_MARKS`), if there is one."""
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in PROJECT_MARKS):
            return candidate
    return None


def find_store(start: Path | None = None, *, make: bool = False) -> Home:
    """Find the store that a command in the folder `start` means.

    Parameters
    ----------
    start : Path, optional
        Where to look from; the current folder if left out.
    make : bool
        Make the store where it belongs (``REPRO_HOME``, else ``data`` beside one of `PROJECT_MARKS`) if none is
        found. A folder that ``REPRO_HOME`` names must be new or empty for
        that, or be a project's ``data``.

    Raises
    ------
    NoStore
        If there is none, and `make` is false, there is no project to make it in, or the folder that ``REPRO_HOME``
        names is no project's ``data`` and has other things in it.
    """
    named = os.environ.get(VARIABLE)
    if named:
        root = Path(named).expanduser().absolute()
        if make and not (root / MARKER).is_file():
            _refuse_other_things(root)
            return make_store(root)
        return open_store(root)
    folder = (start or Path.cwd()).absolute()
    for candidate in (folder, *folder.parents):
        for root in (candidate, candidate / "data"):
            if (root / MARKER).is_file():
                return open_store(root)
    project = find_project(folder) if make else None
    if project is not None:
        return make_store(project / "data")
    raise NoStore(f"no store was found from {folder} upwards", f"set {VARIABLE} or run: repro init")


def _refuse_other_things(root: Path) -> None:
    """Refuse a folder in which a store would stand among somebody's files, unless that is asked for by its name."""
    _refuse_file(root)
    if root.name == "data" and any((root.parent / mark).exists() for mark in PROJECT_MARKS):
        return
    try:
        others = sorted({path.name for path in root.iterdir()} - own_names() - _NO_OTHERS)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, root) from error
    if others:
        raise NoStore(
            f"{VARIABLE} names {root}, which is no store and has {others[0]} in it",
            f"name another folder, or make a store there all the same: repro init {root}",
        )


def _refuse_file(root: Path) -> None:
    if root.is_file():
        raise InvalidInput(f"{root} is a file, not a folder", f"name a folder, or the one that {VARIABLE} should name")


def refuse_own(path: Path) -> None:
    """Refuse to write a person's file over what a store holds; other files in its folder, such as ``raw/``, may be.

    Raises
    ------
    InvalidValue
        If `path` is the marker of a store, or one of the places that `Home` names, or in it.
    """
    root = store_of(path)
    if root is not None:
        raise InvalidValue(f"{path} belongs to the store in {root}", "give another place")


def store_of(path: Path) -> Path | None:
    """Return the folder of the store whose marker or own place `path` is, or is in; None for any other path."""
    target = path.expanduser().resolve()
    for root in target.parents:
        if (root / MARKER).is_file() and target.relative_to(root).parts[0] in own_names():
            return root
    return None


def own_names() -> frozenset[str]:
    """Return the names of the files and folders by which a store fills its folder; others in it are a person's."""
    places = (getattr(Home(Path()), name) for name, kind in vars(Home).items() if isinstance(kind, property))
    return frozenset({MARKER, "retention.json", "repack.json", *(place.parts[0] for place in places if place.parts)})
