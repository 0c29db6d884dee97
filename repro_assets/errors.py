"""The exception tree, grouped by what the caller can do about it.

Every error names the thing that is wrong and, in ``remedy``, what to do. ``exit_code`` is what the command line
returns for it: 1 a check failed, 2 the request is wrong, 3 the machine failed, 4 not comparable.
No function of this project answers an error with a default value.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


class ReproError(Exception):
    """Base of all errors that this project raises on purpose.

    Parameters
    ----------
    message : str
        What is wrong, with the name of the thing.
    remedy : str
        What the person can do; empty where the message already says it.
    """

    exit_code = 3

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message} ({remedy})")
        self.message = message
        self.remedy = remedy


class RequestError(ReproError):
    """The request is wrong: asking differently helps."""

    exit_code = 2


class UnknownName(RequestError):
    """No run, artifact, asset, partition or collection has this name."""


class AmbiguousName(RequestError):
    """A prefix or name fits more than one thing."""


class InvalidValue(RequestError):
    """A value, option or configuration field is outside what is allowed."""


class InvalidInput(RequestError):
    """A file or data set that was given cannot be read or is malformed."""


class MissingVariable(RequestError):
    """An environment variable that a run needs is not set."""


class UnsupportedFormat(RequestError):
    """The thing was written by a newer version, or in a format that this version does not read."""


class NoStore(RequestError):
    """No store was found where one is needed."""


class ReusedElsewhere(RequestError):
    """A name, folder or file is already taken by something else."""


class IntegrityError(ReproError):
    """Bytes are not what their digest says, or are gone: restoring them helps."""

    exit_code = 1


class CorruptObject(IntegrityError):
    """Stored bytes do not match their checksum or digest."""


class MissingObject(IntegrityError):
    """No bytes are stored under this digest."""


class CorruptRecord(IntegrityError):
    """A journal line, a manifest or a marker does not read as what it claims to be."""


class SourceChanged(IntegrityError):
    """A file changed while it was read."""


class CheckFailed(ReproError):
    """A check of the project's own says no; nothing is wrong with the request or the machine."""

    exit_code = 1


class MachineError(ReproError):
    """The machine failed: freeing space, rights or a connection helps."""


class DiskFull(MachineError):
    """No space is left where something must be written."""


class NotWritable(MachineError):
    """A file or folder cannot be written (rights or a read-only file system)."""


class PeerLost(MachineError):
    """A process cannot reach another one of the same training, which is gone or has failed."""


class ExecutorGone(MachineError):
    """The process that this step belongs to is no longer there."""


_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_os_error(error: OSError, path: str | os.PathLike[str]) -> MachineError:
    """Name the machine's failure.

    Parameters
    ----------
    error : OSError
        What the system call raised.
    path : path-like
        The file or folder that was being written.

    Returns
    -------
    MachineError
        `DiskFull`, `NotWritable`, or the plain class with the system's own words.
    """
    where = Path(path)
    if error.errno in _FULL:
        return DiskFull(f"no space left while writing {where}", "free some space and run the command again")
    if error.errno in _FORBIDDEN:
        return NotWritable(f"cannot write {where}: {error.strerror}", "check its owner, mode and mount options")
    return MachineError(f"cannot write {where}: {error.strerror or error}")
