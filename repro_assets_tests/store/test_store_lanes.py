"""Work on several cores: results in order, errors where their result is taken."""

from __future__ import annotations

import os
import threading
import time

import pytest

from repro_assets.store import lanes
from repro_assets.store.lanes import Lanes, Workers


def test_results_come_in_the_order_of_the_work() -> None:
    workers = Workers()

    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    assert list(workers.map(work, range(30))) == list(range(30))
    workers.end()


def test_one_piece_of_work_begins_no_thread() -> None:
    workers = Workers()
    assert list(workers.map(lambda _: threading.current_thread(), [0])) == [threading.current_thread()]
    workers.end()


def test_who_leaves_cores_to_others_works_on_the_rest_and_others_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> set[threading.Thread]:
        workers = Workers()
        found = set(workers.map(lambda _: (time.sleep(0.002), threading.current_thread())[1], range(12)))
        workers.end()
        return found

    monkeypatch.setattr(lanes._share, "cores", 3)
    assert len(threads()) == 3
    with lanes.leaving(1):
        assert len(threads()) == 2
        with lanes.leaving(5):
            assert threads() == {threading.current_thread()}
        elsewhere: list[int] = []
        other = threading.Thread(target=lambda: elsewhere.append(lanes._share.cores))
        other.start()
        other.join()
        assert elsewhere == [os.cpu_count()]
    assert len(threads()) == 3


def test_an_error_is_raised_where_its_result_is_taken() -> None:
    workers = Workers()
    results = workers.map(lambda number: 1 // number, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    workers.end()


def test_a_lane_does_its_work_in_order_and_its_error_is_raised_at_the_end() -> None:
    done: list[int] = []
    with Lanes(2) as two:
        for number in range(20):
            two.submit(number % 2, done.append, number)
    assert [number for number in done if number % 2] == list(range(1, 20, 2))
    assert [number for number in done if not number % 2] == list(range(0, 20, 2))
    with pytest.raises(IndexError), Lanes(1) as one:
        one.submit(0, list[int]().pop)
