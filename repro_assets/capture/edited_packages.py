"""Installed packages whose files are not what was installed.

Laws: every file that a distribution's RECORD has a hash for is compared with it whole; nothing is sampled. What was
compared once is remembered under the state of all of the distribution's files (size, mtime, ctime, inode), so that a
later capture only looks at these. An editable install has its source outside of its RECORD: that is the source tree's
to capture. Compiled files have no hash in RECORD and are not compared; files that RECORD does not name are not seen.
"""

from __future__ import annotations

import base64
import concurrent.futures
import csv
import hashlib
import os
import struct
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import xxhash

from repro_assets.capture.packages import normalised
from repro_assets.capture.remembered import Remembered, Stamps

_BLOCK = 1 << 20


def edited_packages(remembered: Remembered) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Compare all packages with their RECORD.

    Parameters
    ----------
    remembered : Remembered
        What was compared earlier.

    Returns
    -------
    dict
        Distribution name to its files that differ: path as in RECORD to the digest of what is there,
        ``missing``, or the reason why it cannot be read; packages without a difference are not in it.
    dict
        Distribution name to the reason why it could not be compared.
    """
    edited: dict[str, dict[str, str]] = {}
    unverified: dict[str, str] = {}
    seen: set[str] = set()
    for distribution in distributions():
        try:
            name = _name(distribution)
            if normalised(name) in seen:
                continue  # hidden by the one before it on sys.path
            seen.add(normalised(name))
            record = distribution.read_text("RECORD")
            if record is None:
                unverified[name] = "it has no RECORD"
                continue
            found = _compared(name, record, Path(str(distribution.locate_file(""))), remembered)
        except (OSError, ValueError) as error:
            # Without a name of its own it is listed among the packages that do not read.
            unverified[Path(str(getattr(distribution, "_path", "?"))).name] = str(error)
            continue
        if found:
            edited[name] = found
    return dict(sorted(edited.items())), dict(sorted(unverified.items()))


def _name(distribution: Distribution) -> str:
    place = Path(str(getattr(distribution, "_path", ""))).name
    # `numpy-2.1.0.dist-info`: reading METADATA for the name takes as long as all the rest.
    if place.endswith(".dist-info") and place.count("-") >= 2:
        return place.split("-")[0]
    name = distribution.metadata["Name"]
    if not name:
        raise ValueError("its metadata has no Name")
    return str(name)


def _compared(name: str, record: str, folder: Path, remembered: Remembered) -> dict[str, str]:
    files = list(_recorded(record))
    stamp = _stamp(record, folder, [path for path, _ in files])
    key = f"{folder}/{name}"
    known: dict[str, str] | None = remembered.get(key, stamp)
    if known is None:
        with concurrent.futures.ThreadPoolExecutor(thread_name_prefix="repro-record") as pool:
            differences = pool.map(lambda file: _difference(f"{folder}/{file[0]}", file[1]), files)
            known = {path: how for (path, _), how in zip(files, differences, strict=True) if how is not None}
        remembered.put(key, stamp, known)
    return known


def _recorded(record: str) -> Iterator[tuple[str, str]]:
    """Path and hash of each file that has one, as ``sha256=<base64 without padding>``."""
    quoted = '"' in record
    rows = csv.reader(record.splitlines()) if quoted else (line.split(",") for line in record.splitlines())
    for row in rows:
        if len(row) >= 2 and row[1]:
            yield row[0], row[1]


def _stamp(record: str, folder: Path, paths: list[str]) -> Stamps:
    """Return one stamp of all the files: nothing is known as soon as one of them differs."""
    state, newest = xxhash.xxh3_128(record.encode("utf-8", "surrogateescape")), 0
    place = f"{folder}/"
    for path in paths:
        try:
            file = os.stat(place + path)  # noqa: PTH116  (tens of thousands)
        except OSError:
            state.update(b"gone")
            continue
        state.update(struct.pack("<4q", file.st_size, file.st_mtime_ns, file.st_ctime_ns, file.st_ino))
        newest = max(newest, file.st_mtime_ns, file.st_ctime_ns)
    return [[place, state.hexdigest(), newest, newest]]


def _difference(path: str, recorded: str) -> str | None:
    algorithm, _, expected = recorded.partition("=")
    try:
        hashed = hashlib.new(algorithm)
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            while block := file.read(_BLOCK):
                hashed.update(block)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return f"its hash is of the unknown kind {algorithm!r}"
    same = base64.urlsafe_b64encode(hashed.digest()).rstrip(b"=").decode() == expected
    return None if same else f"{algorithm}:{hashed.hexdigest()}"
