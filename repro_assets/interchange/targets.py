"""Where an export goes: a file or a folder of a person's.

Laws: what is there is not replaced unasked, and nothing of a store ever is; a folder shows whole or not at all, because
it is made beside its place and renamed (so a kill shows nothing; whether a power cut does is for the file system).
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from repro_assets.errors import InvalidInput, ReusedElsewhere, from_os_error
from repro_assets.store.home import refuse_own


def target_file(to: Path, name: str, *, force: bool) -> Path:
    """Return the file that is meant: `to`, or one called `name` in it where it is a folder or has no ending.

    Raises
    ------
    InvalidInput
        If its folder is not there and cannot be made.
    ReusedElsewhere
        If the file is there, and is not to be replaced.
    """
    path = to
    if not to.is_file() and (not to.suffix or to.is_dir()):
        _need_folder_of(to)
        try:
            to.mkdir(exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"the folder {to} cannot be made: {error.strerror}", "name one that can") from error
        path = to / name
    _need_folder_of(path)
    if path.exists() and not (force and path.is_file()):
        raise ReusedElsewhere(f"{path} is there already", "name another, or replace the file with --force")
    return path


@contextlib.contextmanager
def new_folder(to: Path, *, in_place: bool = False) -> Iterator[Path]:
    """Make a folder: what is written into the one that this gives shows under `to` once all of it is there.

    Parameters
    ----------
    to : Path
        A folder that is not there, or is empty; the one above it is there.
    in_place : bool
        Give the folder itself, for a tool whose files say where they are; a kill leaves what was written by then.

    Yields
    ------
    Path
        An empty folder beside it, or that one.

    Raises
    ------
    InvalidInput
        If the folder above it is not there.
    InvalidValue
        If it belongs to a store.
    ReusedElsewhere
        If it is a file, or a folder that holds something.
    MachineError
        If the system refuses, also where whoever fills it lets that be known by an OSError.
    """
    refuse_own(to)
    # What a link names is filled, not the link replaced.
    place = to.expanduser().resolve()
    _need_folder_of(place)
    made = place if in_place else place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise ReusedElsewhere(f"{to} is there already and is not an empty folder", "name one that is not there")
        made.mkdir(exist_ok=in_place)
    except OSError as error:
        raise from_os_error(error, made) from error
    try:
        yield made
        if not in_place:
            made.rename(place)
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        if isinstance(error, OSError):
            raise from_os_error(error, place) from error
        raise


def _need_folder_of(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"{path} cannot be written: its folder is not there",
            f"make {path.parent}, or name another that is there",
        )
