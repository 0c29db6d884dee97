"""Machines that fail: full and read-only disks, limits, kills. What was acknowledged stays, nothing half-made shows."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import DiskFull, NotWritable
from repro_assets.identity.digest import Digest
from repro_assets.journal.artifact_records import ArtifactStored, VersionClaimed
from repro_assets.journal.records import Record
from repro_assets.journal.run_records import Params
from repro_assets.journal.segments import Damage, Journal, Liveness, list_segments, liveness, read_segment
from repro_assets.store.fsck import check
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.store.leases import lease_on
from repro_assets.store.opening import open_objects


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free, and return the file to delete when there shall be some again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_object_that_does_not_fit_leaves_nothing_and_the_others_whole(disk: Path, tmp_path: Path) -> None:
    objects = open_objects(make_store(disk / "store"))
    small = [objects.put(b"%d" % number) for number in range(5)]
    large = os.urandom(2 << 20)
    (tmp_path / "source").write_bytes(large)
    before = files(disk)
    for put in (lambda: objects.put(large), lambda: objects.put_file(tmp_path / "source")):
        with pytest.raises(DiskFull, match=str(disk)):
            put()
        assert files(disk) == before
    assert not objects.has(Digest.of(large))
    assert sorted(objects.digests()) == sorted(small)
    found = check(objects, {}, full=True)
    assert found.ok
    assert found.unfinished == 0


def test_on_a_full_disk_everything_says_so_and_works_again_when_there_is_room(disk: Path) -> None:
    home = make_store(disk / "store")
    objects, journal = open_objects(home), Journal(home.journal)
    known = objects.put(b"known")
    names.claim(home, "model", known, "bytes", None, trial=False)
    filler = fill(disk)
    for write in (
        lambda: objects.put(b"new"),
        lambda: names.claim(home, "model", Digest.of(b"new"), "bytes", None, trial=False),
        lambda: journal.append(Params("run", {})),
        lambda: make_store(disk / "other"),
    ):
        with pytest.raises(DiskFull, match=str(disk)):
            write()
    assert files(home.temporary) == []
    assert [path.name for path in files(home.names)] == ["1"]
    assert list_segments(home.journal) == files(home.journal) == []
    # What needs no room goes on.
    assert objects.put(b"known") == known
    assert objects.read(known) == b"known"
    assert names.claim(home, "model", known, "bytes", None, trial=False)[0].number == 1

    filler.unlink()
    assert objects.read(objects.put(b"new")) == b"new"
    assert names.claim(home, "model", Digest.of(b"new"), "bytes", None, trial=False)[0].number == 2
    journal.append(Params("run", {}))
    make_store(disk / "other")
    assert check(objects, {}, full=True).ok


def test_a_full_disk_keeps_every_acknowledged_record_and_no_part_of_another(disk: Path) -> None:
    home = make_store(disk / "store")
    journal = Journal(home.journal)
    acknowledged = journal.append(Params("run", {"number": 0}))
    filler = fill(disk)
    with pytest.raises(DiskFull, match=journal.segment):
        # The segment's last block has room for the first of them.
        for _ in range(100):
            acknowledged += journal.append(Params("run", {"number": 1}))
    with pytest.raises(DiskFull):
        journal.append(*(Params("run", {"number": 2, "text": "x" * 3000}) for _ in range(3)))
    path = home.journal / journal.segment
    assert liveness(path) is Liveness.ALIVE
    filler.unlink()
    acknowledged += journal.append(Params("run", {"number": 3}))
    _, *items = [item for item, _ in read_segment(path)]
    assert not any(isinstance(item, Damage) for item in items)
    assert [item.id for item in items if isinstance(item, Record)] == acknowledged
    assert items[-1].payload == Params("run", {"number": 3})  # type: ignore[union-attr]
    assert path.read_bytes().endswith(b"\n")
    journal.close()


def test_a_read_only_disk_is_named_and_still_read(disk: Path) -> None:
    home = make_store(disk / "store")
    objects, journal = open_objects(home), Journal(home.journal)
    known = objects.put(b"known")
    # A file that is open for writing keeps the disk writable.
    lease_on(home).release()
    before = files(disk)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for write in (
        lambda: objects.put(b"new"),
        lambda: names.claim(home, "model", known, "bytes", None, trial=False),
        lambda: journal.append(Params("run", {})),
        lambda: make_store(disk / "other"),
    ):
        with pytest.raises(NotWritable, match=str(disk)):
            write()
    assert open_store(home.root) == home
    assert objects.read(known) == b"known"
    assert check(objects, {}, full=True).ok
    assert files(disk) == before


LIMITED = """
import os, resource, sys
from pathlib import Path
from repro_assets.errors import MachineError
from repro_assets.store.home import open_store
from repro_assets.store.opening import open_objects

objects = open_objects(open_store(Path(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    objects.put(os.urandom(200_000))
except MachineError as error:
    print(error)
"""


def test_a_file_beyond_the_limit_of_the_process_leaves_nothing(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    before = files(home.root)
    said = subprocess.run([sys.executable, "-c", LIMITED, home.root], capture_output=True, text=True, check=True).stdout
    assert str(home.objects) in said
    assert files(home.root) == before


WORK = """
import itertools, os, sys
from pathlib import Path
from repro_assets.artifacts import repository
from repro_assets.store.home import open_store

home = open_store(Path(sys.argv[1]))
for number in itertools.count():
    artifact = repository.put(home, [os.getpid(), number, "x" * 20_000])
    artifact = repository.claim(artifact, "work")
    print(artifact.version, artifact.digest, flush=True)
"""


def test_writers_that_are_killed_at_any_moment_leave_a_store_that_verifies(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    chance = random.Random(5)
    acknowledged: dict[int, str] = {}
    for _ in range(4):
        writers = [
            subprocess.Popen([sys.executable, "-c", WORK, home.root], stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        for writer in writers:
            assert writer.stdout is not None
            acknowledged.update(parse(writer.stdout.readline()))
        time.sleep(chance.uniform(0, 0.05))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            rest = writer.communicate()[0].splitlines(keepends=True)
            for line in rest:
                if line.endswith("\n"):
                    acknowledged.update(parse(line))
    assert_sound(home, acknowledged)


def parse(line: str) -> dict[int, str]:
    version, digest = line.split()
    return {int(version): digest}


def assert_sound(home: Home, acknowledged: dict[int, str]) -> None:
    objects = open_objects(home)
    items = [item for path in list_segments(home.journal) for item, _ in read_segment(path)]
    payloads = [item.payload for item in items if isinstance(item, Record)]
    assert len(payloads) == len(items)
    assert {liveness(path) for path in list_segments(home.journal)} == {Liveness.GONE}
    stored = {payload.digest for payload in payloads if isinstance(payload, ArtifactStored)}
    claimed = {payload.version: payload.digest for payload in payloads if isinstance(payload, VersionClaimed)}
    # A claim is on the disk before its record: the killed ones may have got no further.
    versions = {version.number: str(version.digest) for version in names.versions(home, "work")}
    assert acknowledged.items() <= claimed.items() <= versions.items()
    assert list(versions) == list(range(1, len(versions) + 1))
    assert set(versions.values()) <= stored
    for digest in stored:
        objects.verify(Digest.parse(digest))
    assert check_store(home, full=True).ok


def test_a_version_that_a_kill_left_without_its_record_gets_one_from_the_check(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    recorded = repository.claim(repository.put(home, {"a": 1}), "model")
    other = repository.put(home, {"a": 2})
    claim = names.claim(home, "model", other.digest, other.kind, None, trial=False)[0]
    path = home.names / "model" / "2"
    # As long as its process may be about to record it, it is left alone.
    assert check_store(home).rebuilt == []
    os.utime(path, (1, 1))
    (segment,) = list_segments(home.journal)
    whole = segment.read_bytes()
    segment.write_bytes(whole.replace(b"a", b"b", 1))
    assert check_store(home).rebuilt == [], "a journal that does not read may have it"
    segment.write_bytes(whole)
    assert [item["file"] for item in check_store(home).rebuilt] == ["names/model/2"]
    found = check_store(home)
    assert (found.ok, found.rebuilt) == (True, [])
    records = [item.payload for item, _ in read_segment(segment) if isinstance(item, Record)]
    assert [item for item in records if isinstance(item, VersionClaimed)] == [
        VersionClaimed("model", 1, str(recorded.digest), "json"),
        VersionClaimed("model", 2, str(claim.digest), "json"),
    ]
