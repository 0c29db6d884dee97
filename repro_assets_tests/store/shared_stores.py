"""Stores to be shared, and remotes reached past everything under test."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from s3_server import S3Server

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.store.home import Home, make_store


class RemoteFiles:
    """The files of a remote, reached past everything under test."""

    def __init__(self, address: str, server: S3Server | None) -> None:
        self.address = address
        self._server = server
        self._place = address.removeprefix("s3://")

    def paths(self, prefix: str = "") -> list[str]:
        if self._server is None:
            root = Path(self.address)
            found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        else:
            bucket, _, folder = self._place.partition("/")
            found = [path.removeprefix(f"{folder}/") for path in self._server.paths(bucket)]
        return [path for path in found if path.startswith(prefix)]

    def read(self, path: str) -> bytes:
        if self._server is None:
            return (Path(self.address) / path).read_bytes()
        return self._server.read(f"{self._place}/{path}")

    def write(self, path: str, data: bytes) -> None:
        if self._server is None:
            (Path(self.address) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(self.address) / path).write_bytes(data)
        else:
            self._server.write(f"{self._place}/{path}", data)

    def flip(self, path: str, place: int) -> None:
        data = bytearray(self.read(path))
        data[place] ^= 1
        self.write(path, bytes(data))


def store_at(tmp_path: Path, name: str) -> Home:
    return make_store(tmp_path / name)


def put_version(home: Home, name: str, value: Any) -> Artifact:
    return repository.claim(repository.put(home, value), name)


def drawn_bytes(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def tensors(seed: int, count: int = 12) -> dict[str, Any]:
    """Many small objects, and two that are larger than what goes into a pack."""
    generator = np.random.default_rng(seed)
    small = {f"small-{number}": generator.normal(size=300).astype("f4") for number in range(count)}
    return {**small, **{f"large-{number}": generator.integers(0, 2**62, 200_000) for number in range(2)}}


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def fails(action: Callable[[], object], kind: type[Exception], match: str) -> float:
    begun = time.monotonic()
    with pytest.raises(kind, match=match):
        action()
    return time.monotonic() - begun
