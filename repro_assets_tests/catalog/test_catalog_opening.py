"""The published catalog stays open between questions: what is new shows, what is open stays, a child opens its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time

import duckdb
import pytest

from repro_assets.catalog import opening
from repro_assets.catalog.queries import connect, rows
from repro_assets.errors import CorruptObject, MachineError
from repro_assets.store.home import make_store

COUNT = "SELECT count(*) AS n FROM runs"


@pytest.fixture
def opened(monkeypatch):
    """The databases that were opened, as a list that grows."""
    made = []
    real = opening._open

    def counted(home):
        made.append(home)
        return real(home)

    monkeypatch.setattr(opening, "_kept", opening._Kept())
    monkeypatch.setattr(opening, "_open", counted)
    return made


def test_what_nothing_has_changed_is_opened_once(home, recorder, opened):
    recorder.run("aaaaaaaa-1", 0, points=1)
    assert [rows(home, COUNT) for _ in range(3)] == [[{"n": 1}]] * 3
    assert len(opened) == 1


def test_a_new_run_shows_at_once_and_an_open_connection_keeps_its_file(home, recorder, opened):
    recorder.run("aaaaaaaa-1", 0, points=1)
    with connect(home) as before:
        recorder.run("aaaaaaaa-2", 1, points=1)
        assert rows(home, COUNT) == [{"n": 2}]
        assert before.execute(COUNT).fetchall() == [(1,)]
        assert rows(home, COUNT) == [{"n": 2}]
    assert len(opened) == 2


def test_two_stores_are_not_mistaken_for_each_other(home, recorder, tmp_path, opened):
    recorder.run("aaaaaaaa-1", 0, points=1)
    other = make_store(tmp_path / "other")
    assert [rows(each, COUNT)[0]["n"] for each in (home, other, home)] == [1, 0, 1]


def test_connections_know_nothing_of_each_other(home, recorder, opened):
    recorder.run("aaaaaaaa-1", 0, points=1)
    with connect(home) as one, connect(home) as other:
        one.execute("CREATE TEMP TABLE chosen AS SELECT run_id FROM runs")
        with pytest.raises(duckdb.CatalogException):
            other.execute("FROM chosen")
        one.close()
        assert other.execute(COUNT).fetchall() == [(1,)]
    assert len(opened) == 1


def test_a_large_catalog_is_not_kept_open(home, recorder, opened, monkeypatch):
    monkeypatch.setattr(opening, "KEPT_BYTES", 0)
    recorder.run("aaaaaaaa-1", 0, points=1)
    assert [rows(home, COUNT) for _ in range(2)] == [[{"n": 1}]] * 2
    assert len(opened) == 2
    assert opening._kept.database is None


def _ask(home, answers, opened):
    answers.put((rows(home, COUNT), len(opened)))


def test_a_forked_child_opens_for_itself(home, recorder, opened):
    recorder.run("aaaaaaaa-1", 0, points=1)
    assert rows(home, COUNT) == [{"n": 1}]
    forking = multiprocessing.get_context("fork")
    answers = forking.Queue()
    child = forking.Process(target=_ask, args=(home, answers, opened))
    child.start()
    answer, databases = answers.get(timeout=60)
    child.join(60)
    assert (answer, databases, child.exitcode) == ([{"n": 1}], 2, 0)
    assert rows(home, COUNT) == [{"n": 1}]


def test_what_somebody_else_wrote_into_the_published_file_is_replaced(home, recorder):
    recorder.run("aaaaaaaa-1", 0, points=1)
    assert rows(home, "SELECT state FROM runs") == [{"state": "COMPLETED"}]
    opening._kept.database, opening._kept.file = None, None
    with duckdb.connect(str(home.catalog)) as theirs:
        theirs.execute("UPDATE runs SET state = 'FAILED'")
    assert rows(home, "SELECT state FROM runs") == [{"state": "COMPLETED"}]


def test_a_file_that_is_open_for_writing_elsewhere_is_said_to_be(home, recorder, start, opened):
    recorder.run("aaaaaaaa-1", 0, points=1)
    rows(home, COUNT)
    opening._kept.database, opening._kept.file = None, None
    writer = start(
        "import sys, time, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(60)",
        str(home.catalog),
    )
    assert writer.stdout.readline() == "open\n"
    with pytest.raises(MachineError, match=r"another program has opened the catalog for writing .*-readonly"):
        rows(home, COUNT)


def test_a_damaged_block_is_said_with_what_helps():
    text = "Corrupt database file: computed checksum 1 does not match stored checksum 2 in block at location 3"
    found = opening.explained(duckdb.IOException(f"IO Error: {text}"))
    assert isinstance(found, CorruptObject)
    assert "repro catalog rebuild" in str(found)
    assert opening.explained(duckdb.IOException("No files found")) is None


def test_an_interruption_that_is_lost_on_the_way_is_one_in_the_end():
    reached = []
    with pytest.raises(KeyboardInterrupt), opening.interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        reached.append("what swallowed it went on")
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt), opening.interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt as error:
            raise ImportError("half a module") from error
    with pytest.raises(ImportError, match="of its own"), opening.interruptible():
        raise ImportError("of its own")


def test_an_interruption_is_somebody_elses_where_he_has_his_own_handler():
    met = []
    before = signal.signal(signal.SIGINT, lambda *_: met.append(True))
    try:
        with opening.interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            while not met:
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    assert met == [True]
