"""A file is read at one moment, and what a scan found in it is remembered while the file stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from source_trees import TOKEN

from repro_assets.capture.scanned import ScanCache
from repro_assets.errors import SourceChanged
from repro_assets.store.sources import Stamp, read_stable


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * (64 << 20))
    writer = subprocess.Popen(
        [sys.executable, "-c", "import sys\nwhile True:\n open(sys.argv[1], 'ab', 0).write(b'y')", str(file)]
    )
    try:
        with pytest.raises(SourceChanged):
            for _ in range(200):
                read_stable(file)
    finally:
        writer.kill()
        writer.wait()


def rested(file: Path) -> Stamp:
    time.sleep(1.1)
    return Stamp.of(file.stat())


def test_a_remembered_finding_falls_with_the_stamp(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x" * len(TOKEN))
    cache = ScanCache(tmp_path / "cache")
    assert cache.look(str(file), "a.py", rested(file))[0].findings == ()
    cache.save()
    times = file.stat()
    file.write_text(TOKEN)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if untouched, but for the change time
    found, _ = ScanCache(tmp_path / "cache").look(str(file), "a.py", Stamp.of(file.stat()))
    assert [finding.kind for finding in found.findings] == ["github-token"]


def test_a_saved_finding_is_used_without_reading(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(TOKEN)
    cache = ScanCache(tmp_path / "cache")
    stamp = rested(file)
    found, kept = cache.look(str(file), "a.py", stamp)
    assert kept
    assert found.findings
    assert found.digest.hex == hashlib.sha256(TOKEN.encode()).hexdigest()
    cache.save()
    file.unlink()
    assert ScanCache(tmp_path / "cache").look(str(file), "a.py", stamp) == (found, True)
