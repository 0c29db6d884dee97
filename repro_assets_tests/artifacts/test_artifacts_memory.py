"""Storing and loading a large checkpoint takes little memory beside the checkpoint itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 512
_PEAK = """
import resource, sys
from pathlib import Path
import numpy
from repro_assets.artifacts import repository
from repro_assets.identity.digest import Digest
from repro_assets.store.home import make_store

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)

import zstandard, xxhash, torch
home = make_store(Path(sys.argv[1]))
generator = numpy.random.default_rng(0)
if sys.argv[2] == "put":
    half = generator.standard_normal((4, 1 << 24), dtype=numpy.float32)
    bits = generator.integers(0, 1 << 62, (4, 1 << 23))
    before = peak()
    stored = repository.put(home, {"half": half, "bits": bits})
    print(stored.digest, peak() - before)
else:
    stored = repository.by_digest(home, Digest.parse(sys.argv[3]))
    before = peak()
    value = stored.load()
    print(sum(item.nbytes for item in value.values()) >> 20, peak() - before)
"""


@pytest.mark.slow
def test_a_large_checkpoint_is_put_and_loaded_in_less_than_300_mib_beside_it(tmp_path: Path) -> None:
    def run(*words: str) -> list[str]:
        command = [sys.executable, "-c", _PEAK, str(tmp_path / "store"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    digest, put = run("put")
    assert float(put) < 300
    size, loaded = run("load", digest)
    assert int(size) == SIZE
    assert float(loaded) - SIZE < 300
