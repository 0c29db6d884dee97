"""Folders that were put before: recognized as wholes, without a look at each of their objects.

Laws: an outline is a hash of every path of a folder with all that the file system says of it; one that is remembered
says which manifest a put of the folder made, how many bytes and parts that has, and where to look whether all that it
names is there: in packs, of which a check of every byte is kept, and alone. It is evidence of nothing by itself. Who
uses it takes a lease on every object first, then reads every byte of the packs and of the objects that lie alone
(`Batch.rely_on`). A file of outlines that does not read is not used.

``cache/sources/<hash of the folder's path>.outline`` is a seal (XXH3-64, hexadecimal) and a newline, a line of JSON,
and the rows of the lease.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import xxhash

from repro_assets.errors import MachineError
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store import durable
from repro_assets.store.batch import Batch
from repro_assets.store.home import Home
from repro_assets.store.leases import rows_of
from repro_assets.store.pack_index import Entry
from repro_assets.store.sources import unsealed

_FORMAT = 1
# A pack is read whole where at least this share of it is the folder's; else its objects are looked at one by one.
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a put of a folder made.

    Parameters
    ----------
    manifest : Digest
        The artifact.
    size, parts : int
        Its bytes, and the number of its entries.
    packs : tuple
        Name and XXH3-128 of every pack of which every byte is to be read.
    alone : tuple of Digest
        The objects that are to be looked at one by one.
    rows : bytes
        The rows of a lease on all objects but the manifest.
    """

    manifest: Digest
    size: int
    parts: int
    packs: tuple[tuple[str, bytes], ...]
    alone: tuple[Digest, ...]
    rows: bytes


def recall(home: Home, folder: Path, outline: str) -> Remembered | None:
    """Return what a put made of a folder when it looked as it does now; None if nothing is known.

    Parameters
    ----------
    home : Home
        The store.
    folder : Path
        The folder.
    outline : str
        What it looks like.
    """
    try:
        content = unsealed(_file(home, folder).read_bytes())
    except OSError:
        return None
    if content is None:
        return None
    line, _, rows = content.partition(b"\n")
    facts = json.loads(line)
    if facts["format"] != _FORMAT or facts["outline"] != outline:
        return None
    return Remembered(
        Digest(facts["manifest"]),
        facts["size"],
        facts["parts"],
        tuple((pack, bytes.fromhex(check)) for pack, check in facts["packs"]),
        tuple(map(Digest, facts["alone"])),
        rows,
    )


def remember(batch: Batch, folder: Path, outline: str, manifest: Manifest, digest: Digest) -> None:
    """Remember what was made of a folder, all of which is durable; a disk that refuses costs time and nothing else.

    Parameters
    ----------
    batch : Batch
        What put it; committed.
    folder : Path
        The folder.
    outline : str
        What it looked like.
    manifest, digest : Manifest and Digest
        What was made of it.
    """
    with contextlib.suppress(MachineError, OSError):
        _remember(batch, folder, outline, manifest, digest)


def _remember(batch: Batch, folder: Path, outline: str, manifest: Manifest, digest: Digest) -> None:
    held = batch.objects.packs
    named = list(dict.fromkeys(manifest.objects()))
    entries = held.find_all(named)
    alone = [item for item in named if item not in entries]
    packed: dict[str, list[tuple[Digest, Entry]]] = {}
    for item, entry in entries.items():
        packed.setdefault(entry.pack, []).append((item, entry))
    packs = {}
    for pack, places in packed.items():
        check = batch.packs.get(pack) or held.check_whole(pack, places, _SHARE)
        if check is None:
            alone += [item for item, _ in places]
        else:
            packs[pack] = check.hex()
    facts = {
        "format": _FORMAT,
        "outline": outline,
        "manifest": digest.hex,
        "size": manifest.size,
        "parts": len(manifest.entries),
        "packs": list(packs.items()),
        "alone": [item.hex for item in alone],
    }
    content = json.dumps(facts, separators=(",", ":")).encode() + b"\n" + rows_of(named)
    seal = xxhash.xxh3_64_hexdigest(content).encode()
    durable.replace_file(_file(batch.home, folder), [seal, b"\n", content], batch.home.temporary)


def _file(home: Home, folder: Path) -> Path:
    return home.cache / "sources" / f"{xxhash.xxh3_128_hexdigest(os.fsencode(folder.absolute()))}.outline"
