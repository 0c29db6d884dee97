"""The shared libraries that this process has really loaded, each with what identifies its code.

Laws: a library is known by its GNU build id, which its linker made from its content; one without is hashed whole. A
path in the interpreter's own folders is written relative to them, so that two machines with one environment agree. A
file that was replaced or removed after it was loaded is named as that: what runs is no longer on the disk.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from repro_assets.capture.remembered import Remembered, stamps
from repro_assets.identity.digest import Digest

_BUILD_ID = 3
_NOTE = 4


def shared_libraries(remembered: Remembered, maps: Path = Path("/proc/self/maps")) -> dict[str, str]:
    """List the loaded libraries.

    Parameters
    ----------
    remembered : Remembered
        What is known of files from earlier.
    maps : path
        The kernel's list of what is mapped.

    Returns
    -------
    dict
        Path to ``build-id:<hex>`` or ``sha256:<hex>``, in order of the paths; behind a path that does not read, the
        reason.

    Raises
    ------
    OSError
        If the kernel keeps no such list.
    """
    loaded: dict[str, int] = {}
    for line in maps.read_text("utf-8", "surrogateescape").splitlines():
        # address, permissions, offset, device, inode, path: proc(5)
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/") and fields[4] != "0":
            loaded[fields[5]] = int(fields[4])
    found = {}
    for path, inode in loaded.items():
        identity = _identity(path, inode, remembered)
        if identity is not None:
            found[_shown(path)] = identity
    return dict(sorted(found.items()))


def build_id(path: str | os.PathLike[str]) -> str | None:
    """Return the GNU build id of an ELF file; None where it is no ELF file or has none.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123  (hundreds of files)
        head = file.read(64)
        if len(head) < 64 or head[:4] != b"\x7fELF":
            return None
        wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
        # Program headers: offset, size of one, number. https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
        if wide:
            start, size, count = (
                *struct.unpack_from(order + "Q", head, 32),
                *struct.unpack_from(order + "HH", head, 54),
            )
        else:
            start, size, count = (
                *struct.unpack_from(order + "I", head, 28),
                *struct.unpack_from(order + "HH", head, 42),
            )
        file.seek(start)
        table = file.read(size * count)
        for at in range(0, len(table) - size + 1, size):
            if struct.unpack_from(order + "I", table, at)[0] != _NOTE:
                continue
            if wide:
                offset, length = struct.unpack_from(order + "Q16xQ", table, at + 8)
            else:
                offset, length = struct.unpack_from(order + "I8xI", table, at + 4)
            file.seek(offset)
            found = _note(file.read(min(length, 1 << 16)), order)
            if found is not None:
                return found
    return None


def _note(data: bytes, order: str) -> str | None:
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, at)
        name = data[at + 12 : at + 12 + name_size]
        content = at + 12 + (name_size + 3) // 4 * 4
        if kind == _BUILD_ID and name == b"GNU\0":
            return data[content : content + size].hex()
        at = content + (size + 3) // 4 * 4
    return None


def _identity(path: str, inode: int, remembered: Remembered) -> str | None:
    """Return what identifies a mapped file; None where it is no ELF file."""
    if path.endswith(" (deleted)"):
        return "removed since it was loaded"
    try:
        if os.stat(path).st_ino != inode:  # noqa: PTH116
            return "replaced since it was loaded"
        stamp = stamps([path])
        known = remembered.get(path, stamp)
        if known is None:
            known = _read(path)
            remembered.put(path, stamp, known)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return str(known) or None


def _read(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123
        if file.read(4) != b"\x7fELF":
            return ""
    found = build_id(path)
    if found is not None:
        return f"build-id:{found}"
    with open(path, "rb") as file:  # noqa: PTH123
        return str(Digest.of_chunks(iter(lambda: file.read(1 << 20), b"")))


def _shown(path: str) -> str:
    for name, folder in (("{prefix}", sys.prefix), ("{base_prefix}", sys.base_prefix), ("~", str(Path.home()))):
        for place in (folder, os.path.realpath(folder)):
            if place != "/" and path.startswith(f"{place}/"):
                return name + os.fsencode(path[len(place) :]).decode("utf-8", "backslashreplace")
    return os.fsencode(path).decode("utf-8", "backslashreplace")
