"""Segments: what was acknowledged is read back, whatever happened to the writer or to other bytes of the file."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import until

from repro_assets.errors import InvalidValue, MachineError
from repro_assets.journal.lines import write_line
from repro_assets.journal.records import Process, Record
from repro_assets.journal.run_records import Params
from repro_assets.journal.segments import (
    HEARTBEAT_LOST_SECONDS,
    Damage,
    Journal,
    Liveness,
    host_identity,
    list_segments,
    liveness,
    read_segment,
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def params(number: int) -> Params:
    return Params("run", {"number": number})


def read_records(path: Path) -> list[Record]:
    return [item for item, _ in read_segment(path) if isinstance(item, Record)]


def numbers(path: Path) -> list[int]:
    return [record.payload.params["number"] for record in read_records(path) if isinstance(record.payload, Params)]


def damages(path: Path) -> list[Damage]:
    return [item for item, _ in read_segment(path) if isinstance(item, Damage)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python process that has a journal in `folder`, and kills those that still live at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *words: str) -> subprocess.Popen[str]:
        prelude = (
            "import os, signal, sys, threading, time\nfrom pathlib import Path\n"
            "from repro_assets.journal.run_records import Params\nfrom repro_assets.journal.segments import Journal\n"
            "journal = Journal(Path(sys.argv[1]))\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + script, str(tmp_path / "journal"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_records_come_back_in_order_with_the_ids_that_append_gave(journal: Journal) -> None:
    assert journal.segment == ""
    ids = journal.append(params(1), params(2))
    ids += journal.append(params(3), follows=(ids[0],))
    (path,) = list_segments(journal.folder)
    header, *records = read_records(path)
    assert isinstance(header.payload, Process)
    assert (header.payload.pid, header.seq, header.payload.host_id) == (os.getpid(), 0, host_identity()[0])
    assert [record.id for record in records] == ids == [f"{journal.segment}:{number}" for number in (1, 2, 3)]
    assert path.name == journal.segment
    assert [record.follows for record in records] == [(), (), (ids[0],)]
    assert numbers(path) == [1, 2, 3]


def test_the_header_holds_no_arguments(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start("journal.append(Params('run', {})); print('done', flush=True)", "--password=swordfish")
    assert said(process) == "done"
    (path,) = list_segments(tmp_path / "journal")
    assert b"swordfish" not in path.read_bytes()


def test_reading_goes_on_from_any_offset_that_was_given(journal: Journal) -> None:
    for number in range(5):
        journal.append(params(number))
    (path,) = list_segments(journal.folder)
    every = list(read_segment(path))
    for index, (_, offset) in enumerate(every):
        assert list(read_segment(path, offset)) == every[index + 1 :]
    assert every[-1][1] == path.stat().st_size


def test_a_torn_last_line_is_no_record_and_no_damage(journal: Journal) -> None:
    for number in range(3):
        journal.append(params(number))
    (path,) = list_segments(journal.folder)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        assert numbers(path) == [0, 1]
        assert damages(path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=300)
@given(data=st.data())
def test_a_flipped_bit_costs_at_most_the_record_it_is_in_and_is_reported(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "segment.jsonl"
    lines = [write_line(params(number), seq=number, time=0.0) for number in range(5)]
    stored = bytearray(b"".join(lines))
    place = data.draw(
        st.integers(0, len(stored) - 1)
        | st.sampled_from(list(itertools.accumulate(map(len, lines)))).map(lambda end: end - 1)
    )
    stored[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(stored)
    hit = next(index for index, end in enumerate(itertools.accumulate(map(len, lines))) if place < end)
    assert numbers(path) == [number for number in range(5) if number != hit]
    assert damages(path)
    offsets = [offset for _, offset in read_segment(path)]
    assert offsets == sorted(offsets)
    assert offsets[-1] == len(stored)


def test_damage_says_where_it_is(journal: Journal) -> None:
    for number in range(3):
        journal.append(params(number))
    (path,) = list_segments(journal.folder)
    stored = bytearray(path.read_bytes())
    place = stored.index(b'"number":1')
    stored[place + 9] ^= 1
    path.write_bytes(stored)
    (damage,) = damages(path)
    assert (damage.segment, damage.offset) == (path.name, stored.rindex(b"\n", 0, place) + 1)
    assert damage.reason


def test_a_record_that_cannot_be_written_leaves_the_journal_as_it_was(journal: Journal) -> None:
    journal.append(params(1))
    before = list_segments(journal.folder)[0].read_bytes()
    with pytest.raises(InvalidValue, match="params"):
        journal.append(params(2), Params("run", {"x": object()}))
    assert list_segments(journal.folder)[0].read_bytes() == before
    journal.append(params(3))
    assert numbers(list_segments(journal.folder)[0]) == [1, 3]


def test_threads_that_append_get_ids_of_their_own_and_lose_nothing(journal: Journal) -> None:
    given_ids: list[str] = []

    def append_all(first: int) -> None:
        for number in range(first, first + 40):
            given_ids.extend(journal.append(params(number), params(number + 1000)))

    threads = [threading.Thread(target=append_all, args=(100 * index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = list_segments(journal.folder)
    assert sorted(numbers(path)) == sorted(
        number + more for index in range(2) for number in range(100 * index, 100 * index + 40) for more in (0, 1000)
    )
    assert [record.id for record in read_records(path)[1:]] == sorted(
        given_ids, key=lambda text: int(text.rpartition(":")[2])
    )
    assert len(set(given_ids)) == 160


def test_a_writer_that_lives_is_alive_also_for_itself(journal: Journal) -> None:
    journal.append(params(1))
    (path,) = list_segments(journal.folder)
    assert liveness(path) is Liveness.ALIVE
    journal.close()
    assert liveness(path) is Liveness.GONE


def test_a_killed_writer_is_gone_at_once_and_what_was_acknowledged_is_there(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("""
number = 0
while True:
    journal.append(Params("run", {"number": number}))
    print(number, flush=True)
    number += 1
""")
    for _ in range(30):
        acknowledged = int(said(process))
    (path,) = list_segments(tmp_path / "journal")
    assert liveness(path) is Liveness.ALIVE
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert liveness(path) is Liveness.GONE
    assert process.stdout is not None
    acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    assert numbers(path)[: acknowledged + 1] == list(range(acknowledged + 1))
    assert damages(path) == []


def test_a_stopped_writer_is_alive(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start("journal.append(Params('run', {})); print('done', flush=True); time.sleep(60)")
    assert said(process) == "done"
    process.send_signal(signal.SIGSTOP)
    (path,) = list_segments(tmp_path / "journal")
    assert liveness(path) is Liveness.ALIVE
    process.kill()
    process.wait()
    assert liveness(path) is Liveness.GONE


def test_a_forked_child_writes_a_segment_of_its_own_and_does_not_keep_its_dead_parent_alive(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("""
journal.append(Params("run", {"number": 1}))
print(journal.segment, flush=True)
if os.fork() == 0:
    journal.append(Params("run", {"number": 2}))
    print(journal.segment, os.getpid(), flush=True)
    time.sleep(60)
journal.append(Params("run", {"number": 3}))
time.sleep(60)
""")
    parent = said(process)
    child, child_pid = said(process).split()
    folder = tmp_path / "journal"
    try:
        until(lambda: numbers(folder / parent) == [1, 3])
        assert numbers(folder / child) == [2]
        assert liveness(folder / parent) is liveness(folder / child) is Liveness.ALIVE
        process.kill()
        process.wait()
        assert liveness(folder / parent) is Liveness.GONE
        assert liveness(folder / child) is Liveness.ALIVE
    finally:
        os.kill(int(child_pid), signal.SIGKILL)
    until(lambda: liveness(folder / child) is Liveness.GONE)


def test_a_fork_in_the_middle_of_another_threads_append_leaves_the_child_no_lock(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    # Each journal is new: forks meet the opening of a segment as well as appends.
    process = start("""
journals = [Journal(Path(sys.argv[1])) for _ in range(40)]
def append_all():
    for number, journal in enumerate(journals):
        journal.append(Params("run", {"number": number}))
thread, children, (begun, begin) = threading.Thread(target=append_all), [], os.pipe()
thread.start()
while thread.is_alive() and len(children) < 60:
    child = os.fork()
    if child == 0:
        os.write(begin, b".")
        signal.pause()
    children.append(child)
    os.read(begun, 1)  # On a busy machine it might not have left the fork yet.
thread.join()
print(*children, flush=True)
time.sleep(60)
""")
    children = [int(pid) for pid in said(process).split()]
    try:
        paths = list_segments(tmp_path / "journal")
        assert len(paths) == 40
        assert {liveness(path) for path in paths} == {Liveness.ALIVE}
        process.kill()
        process.wait()
        assert {liveness(path) for path in paths} == {Liveness.GONE}
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def test_an_interrupt_at_any_moment_repeats_no_id_and_tears_no_line(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("""
import json, random
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
random.seed(1)
journal.append(Params("run", {"number": -1}))
acknowledged = {}
for number in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
        while True:
            (record,) = journal.append(Params("run", {"number": number}))
            acknowledged[record] = number
    except KeyboardInterrupt:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps(acknowledged), flush=True)
""")
    acknowledged = json.loads(said(process))
    found: dict[str, int] = {}
    for path in list_segments(tmp_path / "journal"):
        assert damages(path) == []
        for record in read_records(path):
            assert record.id not in found
            found[record.id] = record.payload.params["number"] if isinstance(record.payload, Params) else -2
    assert acknowledged
    assert acknowledged.items() <= found.items()


def test_a_segment_shows_only_when_it_is_locked_and_begun(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("""
for _ in range(100):
    journal.append(Params("run", {}))
    journal.close()
    journal.append(Params("run", {}))
    print(flush=True)
""")
    looked = 0
    while process.poll() is None:
        for path in list_segments(tmp_path / "journal"):
            assert isinstance(next(read_segment(path))[0], Record)
            looked += 1
    assert process.returncode == 0
    assert looked


def test_a_store_that_is_deleted_under_a_living_writer_gets_a_new_segment(journal: Journal) -> None:
    journal.append(params(1))
    (path,) = list_segments(journal.folder)
    path.unlink()
    journal.append(params(2))
    assert [numbers(path) for path in list_segments(journal.folder)] == [[2]]


def test_where_the_journal_cannot_be_made_the_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(MachineError, match=str(tmp_path / "journal")):
        Journal(tmp_path / "journal").append(params(1))


def header(host: str, host_id: str, boot_id: str) -> bytes:
    return write_line(Process(host=host, host_id=host_id, boot_id=boot_id, pid=1, argv=[]), seq=0, time=0.0)


def test_a_process_of_an_earlier_start_of_this_host_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "segment.jsonl"
    path.write_bytes(header(os.uname().nodename, host_identity()[0], "an earlier start"))
    assert liveness(path) is Liveness.GONE


@pytest.mark.parametrize("host_id", ["another", host_identity()[0]], ids=["another machine", "a copy of this machine"])
def test_of_another_host_only_its_heartbeat_is_known(tmp_path: Path, host_id: str) -> None:
    path = tmp_path / "segment.jsonl"
    path.write_bytes(header("elsewhere", host_id, "its start"))
    assert liveness(path) is Liveness.ALIVE
    past = time.time() - HEARTBEAT_LOST_SECONDS - 1
    os.utime(path, (past, past))
    assert liveness(path) is Liveness.UNKNOWN


def test_a_beat_renews_the_heartbeat_and_adds_nothing(journal: Journal) -> None:
    journal.beat()
    journal.append(params(1))
    (path,) = list_segments(journal.folder)
    size = path.stat().st_size
    os.utime(path, (0, 0))
    journal.beat()
    assert time.time() - path.stat().st_mtime < 60
    assert path.stat().st_size == size
