"""Packs to be tried, and how what is in them is read as another process does."""

from __future__ import annotations

import os
from pathlib import Path

from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.packs import Packs
from repro_assets.store.staging import Part

CONTENTS = [os.urandom(64) for _ in range(12)]


def packed(home: Home, contents: list[bytes]) -> Path:
    """Put contents into one pack and return its path."""
    before = set(home.packs.glob("*.pack"))
    with open_objects(home).batch() as batch:
        batch.put_all([Part(content) for content in contents])
    (made,) = set(home.packs.glob("*.pack")) - before
    return made


def fresh(home: Home) -> LocalObjects:
    objects = open_objects(home)
    objects.places.packs = Packs(home)
    return objects


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def assert_reads(home: Home, contents: list[bytes]) -> None:
    objects = fresh(home)
    for content in contents:
        assert objects.read(Digest.of(content)) == content
