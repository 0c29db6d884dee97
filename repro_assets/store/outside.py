"""Files that a person asked for, outside of what a store holds."""

from __future__ import annotations

from pathlib import Path

from repro_assets.errors import from_os_error
from repro_assets.store import durable
from repro_assets.store.home import refuse_own


def write(path: Path, content: bytes) -> None:
    """Write a file of a person's: a regular file whole or not at all; a pipe or a device is written to.

    Raises
    ------
    InvalidValue
        If it would replace a part of a store.
    MachineError
        If the system refuses, or its folder is not there.
    """
    refuse_own(path)
    # What a link names is replaced, not the link.
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        target.parent.stat()
    except OSError as error:
        raise from_os_error(error, path) from error
    durable.write_file(target, [content], target.parent)
