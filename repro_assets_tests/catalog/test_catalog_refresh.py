"""Whoever refreshes the catalog, and whenever: nobody waits for nothing, sees half or is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

import repro_assets
from repro_assets.catalog import detached, publication
from repro_assets.catalog.projection import rebuild, refresh


def test_nothing_to_do_writes_nothing_and_needs_no_duckdb(home, recorder):
    recorder.run("run-one")
    recorder.journal.close()
    refresh(home)
    files = {path: path.stat() for path in home.root.rglob("*") if path.is_file()}
    code = "import sys; from pathlib import Path; from repro_assets.catalog.projection import refresh; "
    code += "from repro_assets.store.home import Home; assert not refresh(Home(Path(sys.argv[1]))).changed; "
    code += "print([name for name in ('duckdb', 'pyarrow', 'pandas', 'torch', 'numpy') if name in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(Path(repro_assets.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, home.root], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    after = {path: path.stat() for path in home.root.rglob("*") if path.is_file()}
    assert {p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in files.items()} == {
        p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in after.items()
    }


REFRESHER = """
import sys
from pathlib import Path
from repro_assets.catalog.projection import refresh
from repro_assets.store.home import Home
for _ in range(int(sys.argv[2])):
    refresh(Home(Path(sys.argv[1])))
"""


def test_concurrent_refreshers_take_turns(home, recorder, tables, start):
    for number in range(3):
        recorder.run(f"run-{number}", number)
    refreshers = [start(REFRESHER, home.root, 5) for _ in range(3)]
    for number in range(3, 8):
        recorder.run(f"run-{number}", number)
    for refresher in refreshers:
        _, err = refresher.communicate(timeout=120)
        assert refresher.returncode == 0, err
    refresh(home)
    concurrent = tables(home.catalog)
    assert len(concurrent["main.metrics"]) == 8 * 20
    rebuild(home)
    assert tables(home.catalog) == concurrent


def test_a_refresher_killed_at_any_instant_loses_and_repeats_nothing(home, recorder, tables, start):
    for number in range(10):
        recorder.run(f"run-{number}", number, points=200)
        refresher = start(REFRESHER, home.root, 1)
        time.sleep(0.15 + 0.11 * number)
        refresher.kill()
        refresher.wait()
        if home.catalog.exists():
            tables(home.catalog)
    refresh(home)
    after_kills = tables(home.catalog)
    assert len(after_kills["main.metrics"]) == 10 * 200
    assert list(home.temporary.glob("catalog-*")) == []
    rebuild(home)
    assert tables(home.catalog) == after_kills


def test_a_reader_is_never_refused_and_never_sees_half(home, recorder, start, start_writing):
    command = Path(sys.executable).with_name("duckdb")
    if not command.exists():
        pytest.skip("the duckdb command is not installed")
    recorder.run("run-zero")
    refresh(home)
    start_writing("run-busy")
    refreshers = [start(REFRESHER, home.root, 1000) for _ in range(2)]
    # A batch of ten points is one line, so a reader that sees part of one has seen half.
    question = "SELECT count(*) % 10, count(*) FROM metrics WHERE run_id = 'run-busy'"
    seen = []
    begin = time.monotonic()
    while time.monotonic() - begin < 4 or (len(set(seen)) < 4 and time.monotonic() - begin < 60):
        done = subprocess.run(
            [command, "-readonly", "-noheader", "-list", str(home.catalog), question],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        rest, count = map(int, done.stdout.strip().split("|"))
        assert rest == 0
        seen.append(count)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4
    assert all(refresher.poll() is None for refresher in refreshers)


def test_an_open_connection_keeps_its_file_and_a_new_one_sees_the_new_one(home, recorder):
    from repro_assets.catalog.queries import connect

    recorder.run("run-one")
    with connect(home) as old:
        recorder.run("run-two", 1)
        with connect(home) as new:
            assert new.execute("SELECT count(*) FROM runs").fetchall() == [(2,)]
        assert old.execute("SELECT count(*) FROM runs").fetchall() == [(1,)]


def test_a_detached_refresh_returns_at_once_and_publishes(home, recorder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(repro_assets.__file__).parents[1]))
    recorder.run("run-one")
    # Whoever refreshes waits for this lock, so a call that waited for its child would never return.
    with publication.exclusively(home):
        detached.start(detached.Work.REFRESH, home)
        assert publication.current_note(home) is None
    until = time.monotonic() + 30
    while publication.current_note(home) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert not refresh(home).changed


LIMITED = """
import resource, sys
from pathlib import Path
from repro_assets.catalog.projection import refresh
from repro_assets.errors import MachineError
from repro_assets.store.home import Home
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    refresh(Home(Path(sys.argv[1])))
except MachineError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [4096, 300_000])
def test_a_catalog_that_cannot_be_written_says_so_and_stays(home, recorder, tables, start, limit):
    recorder.run("run-one")
    refresh(home)
    before = tables(home.catalog)
    recorder.run("run-two", 1)
    refresher = start(LIMITED, home.root, limit)
    out, err = refresher.communicate(timeout=60)
    assert "cannot write" in out, err
    assert tables(home.catalog) == before
    assert refresh(home).changed
    assert len(tables(home.catalog)["main.runs"]) == 2


ENDS_WHEN_TOLD = """
import sys
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import open_store
run = begin(open_store(Path(sys.argv[1])), RunStarted(run_id="run-one", run_kind="script", name="one"))
print("started", flush=True)
sys.stdin.readline()
run.end("COMPLETED")
"""


def test_one_that_ends_after_its_records_were_read_and_before_its_process_is_looked_at_is_not_interrupted(
    home, start, monkeypatch
):
    process = start(ENDS_WHEN_TOLD, home.root)
    assert process.stdout.readline() == "started\n"
    observe = publication.observe

    def look(*given):
        process.communicate(timeout=60)
        return observe(*given)

    with monkeypatch.context() as patched:
        patched.setattr(publication, "observe", look)
        refresh(home)
    with duckdb.connect(home.catalog, read_only=True) as connection:
        assert connection.execute("SELECT state FROM runs").fetchall() == [("RUNNING",)]
    refresh(home)
    with duckdb.connect(home.catalog, read_only=True) as connection:
        assert connection.execute("SELECT state FROM runs").fetchall() == [("COMPLETED",)]
