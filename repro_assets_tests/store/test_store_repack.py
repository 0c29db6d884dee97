"""Repacking changes how objects are stored, and nothing else, wherever it is stopped."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.errors import ReusedElsewhere
from repro_assets.identity.digest import Digest
from repro_assets.store import delta, exclusive
from repro_assets.store.fsck import check
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.repack import Pair, repack


def steps(number: int, size: int, seed: int = 0) -> list[bytes]:
    """Weights that change a little at each step, the oldest first."""
    generator = numpy.random.default_rng(seed)
    weights = (generator.standard_normal(size) * 0.02).astype(numpy.float32)
    found = []
    for _ in range(number):
        found.append(weights.tobytes())
        weights = (weights * (1 + 1e-3 * generator.standard_normal(size))).astype(numpy.float32)
    return found


def put(objects: LocalObjects, rows: list[list[bytes]]) -> dict[Digest, bytes]:
    """Put each step of all rows as one batch."""
    for together in zip(*rows, strict=True):
        with objects.batch() as batch:
            for data in together:
                batch.put(data, 4)
    return {Digest.of(data): data for row in rows for data in row}


def pairs(rows: list[list[bytes]]) -> list[Pair]:
    digests = [[Digest.of(data) for data in row] for row in rows]
    return [Pair(a, b, 4) for row in digests for a, b in reversed(list(itertools.pairwise(row)))]


def stored_bytes(home: Home) -> int:
    return sum(path.stat().st_size for folder in (home.objects, home.packs) for path in folder.rglob("*.*") if path)


def assert_whole(home: Home, expected: dict[Digest, bytes]) -> None:
    objects = open_objects(open_store(home.root))
    for digest, data in expected.items():
        assert objects.read(digest) == data
        objects.verify(digest)
    assert check(objects, {}, full=True).ok


@pytest.mark.parametrize("size", [3_000, 400_000])
def test_older_objects_become_differences_and_read_the_same(objects: LocalObjects, size: int) -> None:
    rows = [steps(12, size, seed) for seed in range(10 if size < 10_000 else 1)]
    expected = put(objects, rows)
    done = repack(objects, pairs(rows))
    assert done.bytes_after < 0.75 * done.bytes_before
    assert_whole(objects.home, expected)
    for row in rows:
        lengths = [len(list(objects.needs(Digest.of(data)))) for data in row]
        assert lengths[-1] == 0, "the newest one stays whole"
        assert max(lengths) == delta.LONGEST
        assert lengths.count(0) == 2
    assert done.differences == 10 * len(rows)
    assert done.packs_after <= 1


def test_a_second_repack_finds_nothing_to_do(objects: LocalObjects) -> None:
    rows = [steps(4, 3_000, seed) for seed in range(10)]
    put(objects, rows)
    repack(objects, pairs(rows))
    files = {path: path.stat().st_mtime_ns for path in objects.home.packs.iterdir()}
    again = repack(objects, pairs(rows))
    assert (again.differences, again.packs_before, again.packs_after) == (0, 1, 1)
    assert {path: path.stat().st_mtime_ns for path in objects.home.packs.iterdir()} == files


def test_small_packs_become_one_and_a_reader_from_before_still_reads(objects: LocalObjects) -> None:
    rows = [steps(5, 500, seed) for seed in range(10)]
    expected = put(objects, rows)
    reader = open_objects(objects.home)
    assert len(objects.packs.names()) == 5
    assert reader.read(Digest.of(rows[0][0])) == rows[0][0]
    done = repack(objects, [])
    assert (done.packs_before, done.packs_after) == (5, 1)
    for digest, data in expected.items():
        assert reader.read(digest) == data
    assert_whole(objects.home, expected)


def test_unlike_objects_stay_whole(objects: LocalObjects) -> None:
    rows = [[numpy.random.default_rng(seed).bytes(20_000) for seed in range(2)]]
    put(objects, rows)
    assert repack(objects, pairs(rows)).differences == 0


def test_versions_that_come_back_close_no_circle(objects: LocalObjects) -> None:
    first, second = steps(2, 3_000)
    expected = put(objects, [[first, second]])
    there_and_back = pairs([[first, second, first, second]])
    repack(objects, there_and_back)
    repack(objects, list(reversed(there_and_back)))
    assert_whole(objects.home, expected)


def test_a_chain_does_not_grow_when_a_newer_object_comes(objects: LocalObjects) -> None:
    row = steps(30, 3_000)
    for number in range(2, 31):
        put(objects, [row[number - 2 : number]])
        repack(objects, pairs([row[:number]]))
    lengths = [len(list(objects.needs(Digest.of(data)))) for data in row]
    assert max(lengths) <= delta.LONGEST
    assert lengths[-1] == 0
    assert_whole(objects.home, {Digest.of(data): data for data in row})


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_damaged_is_named_and_the_rest_is_repacked(objects: LocalObjects, packed: bool) -> None:
    rows = [steps(3, 3_000 if packed else 400_000, seed) for seed in range(10 if packed else 2)]
    expected = put(objects, rows)
    broken = Digest.of(rows[0][1])
    entry = objects.packs.find(broken)
    path = Path(objects.packs.path(entry.pack)) if entry is not None else objects.path(broken)
    data = bytearray(path.read_bytes())
    data[entry.offset + 150 if entry is not None else 150] ^= 1
    path.write_bytes(data)
    done = repack(objects, pairs(rows))
    assert broken in done.damaged
    del expected[broken]
    assert_whole(objects.home, expected)
    assert done.differences == 2 * (len(rows) - 1)
    assert objects.put(rows[0][1]) == broken
    assert_whole(objects.home, {**expected, broken: rows[0][1]})


def test_one_process_at_a_time(objects: LocalObjects) -> None:
    with exclusive.alone(objects.home), pytest.raises(ReusedElsewhere, match="another process"):
        repack(objects, [])


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_pairs_leave_every_object_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    objects = open_objects(make_store(tmp_path_factory.mktemp("any") / "store"))
    row = steps(10, 1_100)
    expected = put(objects, [[item] for item in row]) if data.draw(st.booleans()) else put(objects, [row])
    digests = st.sampled_from(list(expected))
    for _ in range(3):
        drawn = data.draw(st.lists(st.builds(Pair, digests, digests, st.sampled_from([1, 2, 4, 8])), max_size=20))
        repack(objects, drawn)
        assert_whole(objects.home, expected)
        assert all(len(list(objects.needs(digest))) <= delta.LONGEST for digest in expected)


_REPACK = """
import sys
from pathlib import Path
from repro_assets.identity.digest import Digest
from repro_assets.store import durable, exclusive
from repro_assets.store.home import open_store
from repro_assets.store.opening import open_objects
from repro_assets.store.repack import Pair, repack
import os, signal

left = int(sys.argv[2])
def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
for name in ("fsync", "rename", "unlink", "write", "link"):
    setattr(os, name, counted(getattr(os, name)))
words = sys.stdin.read().split()
pairs = [Pair(Digest(a), Digest(b), 4) for a, b in zip(words[::2], words[1::2])]
repack(open_objects(open_store(Path(sys.argv[1]))), pairs)
print(left)
"""


def killed_at(call: int, home: Home, of: list[Pair]) -> bool:
    """Repack in a process that is killed at that call of the system; False if it ended before."""
    words = "\n".join(f"{pair.older.hex} {pair.newer.hex}" for pair in of)
    command = [sys.executable, "-c", _REPACK, str(home.root), str(call)]
    done = subprocess.run(command, input=words, text=True, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("sizes", [[1_500] * 8, [300_000, 1_500]])
def test_killed_at_any_call_of_the_system_everything_reads(tmp_path: Path, sizes: list[int]) -> None:
    rows = [steps(3, size, seed) for seed, size in enumerate(sizes)]
    call, killed = 1, True
    while killed:
        home = make_store(tmp_path / f"store-{call}")
        objects = open_objects(home)
        expected = put(objects, rows)
        killed = killed_at(call, home, pairs(rows))
        assert_whole(home, expected)
        with exclusive.alone(home):
            assert_whole(home, expected)
        repack(open_objects(home), pairs(rows))
        assert_whole(home, expected)
        call += 1
    assert call > 10


def test_objects_are_read_while_they_are_repacked(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    rows = [steps(6, 3_000, seed) for seed in range(30)]
    expected = put(open_objects(home), rows)
    words = "\n".join(f"{pair.older.hex} {pair.newer.hex}" for pair in pairs(rows))
    with subprocess.Popen([sys.executable, "-c", _REPACK, str(home.root), "0"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(words.encode())
        process.stdin.close()
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            objects = open_objects(home)
            for digest, data in expected.items():
                assert objects.read(digest) == data
    assert process.returncode == 0
    assert os.path.isdir(home.packs)  # noqa: PTH112
    assert_whole(home, expected)
