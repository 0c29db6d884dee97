"""Small JSON files that carry a checksum of themselves, as the journal's lines do.

Laws: the seal is the XXH3-64 of every byte before it and stands last, ``,"xxh3":"<16 hex>"}`` and a newline; a sealed
file that differs in any bit does not read. One that was written before files were sealed reads as what it is, but only
with no other members than such files had: a sealed one whose seal is damaged never passes for one of those.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from repro_assets.errors import from_os_error

_SEAL = b',"xxh3":"'


def seal(members: Mapping[str, Any]) -> bytes:
    """Return the sealed file that holds these members."""
    body = json.dumps(members, separators=(",", ":")).encode()[:-1]
    return body + _SEAL + xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n'


def keep(path: Path, members: Mapping[str, Any]) -> None:
    """Write a sealed file that can be made again: whole or not at all, and not forced to the disk.

    Raises
    ------
    DiskFull, NotWritable, MachineError
        If it cannot be written.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(seal(members))
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise from_os_error(error, path) from error


def is_sealed(data: bytes) -> bool:
    """Tell whether bytes are a sealed file, whole and as it was written."""
    body, mark, rest = data.rpartition(_SEAL)
    return bool(mark) and rest == xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n'


def unseal(data: bytes, unsealed: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the members of a sealed file, or of one that was written before files were sealed.

    Parameters
    ----------
    data : bytes
        The whole file.
    unsealed : frozenset of str
        The members that the files without a seal have; empty where none is read any more.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if is_sealed(data):
        members = json.loads(data.rpartition(_SEAL)[0].decode() + "}")
    else:
        members = json.loads(data.decode())
        if not isinstance(members, dict) or not members or members.keys() - unsealed:
            raise ValueError("the file does not match its checksum")
    return dict(members)
