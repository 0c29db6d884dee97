"""Planted faults: each is found at its first step, in its tensor, its op and its line; clean twins part nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import CLEAN, FAULTS
from planting import BEGIN, END, PAGE, executed, found, marked, row

from repro_assets.errors import InvalidValue
from repro_assets.replay import errors_between, growth_plot, looking

pytestmark = pytest.mark.slow
TWINS = 100


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sides of all faults, and two clean twins of each kind."""
    folder = tmp_path_factory.mktemp("planted")
    executed(folder, [*FAULTS, *(f"clean-{name}*1" for name in CLEAN)])
    return folder


def test_there_are_many() -> None:
    assert len(FAULTS) >= 25


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_where_it_is(seen: Path, name: str) -> None:
    fault, answer = FAULTS[name], found(seen, name)
    assert answer.verdict == "diverged"
    assert (answer.first_step, answer.first_quantity, answer.tensor) == (fault.step, fault.quantity, fault.tensor)
    assert (answer.found, answer.op) == (fault.found, fault.op)
    assert answer.last_equal_step == (fault.step - 1 if fault.step else None)
    if fault.op is not None:
        assert answer.source_line is not None
        assert answer.source_line.rpartition("/")[2] == (fault.line or marked(name))
    if fault.quantity != "rng":
        assert answer.max_abs_error is not None and answer.max_abs_error > 0


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_twin_is_identical(seen: Path, name: str) -> None:
    answer = found(seen, f"clean-{name}-0")
    assert (answer.verdict, answer.first_step, answer.op) == ("identical", None, None)


@pytest.mark.soak
def test_a_hundred_clean_twins_give_no_false_alarm(tmp_path: Path) -> None:
    each = -(-TWINS // len(CLEAN))
    executed(tmp_path, [f"clean-{name}*{each}" for name in CLEAN])
    answers = [found(tmp_path, f"clean-{name}-{number}") for name in CLEAN for number in range(each)]
    assert len(answers) >= TWINS
    assert {(answer.verdict, answer.first_step) for answer in answers} == {("identical", None)}


def test_the_error_of_another_number_of_threads_is_followed_and_drawn(seen: Path, tmp_path: Path) -> None:
    folders = seen / "0" / "threads", seen / "1" / "threads"
    one, other = map(looking.read, folders)
    steps = errors_between.grown_over_steps(one.fingerprints, other.fingerprints, folders)
    (loss,) = (each for each in steps if (each.step, each.what) == (1, "loss"))
    assert 0 < loss.relative < 1e-3
    assert {each.absolute for each in steps if each.what in ("batch", "data")} == {0.0}
    ops = errors_between.grown_over_ops(one.ops, other.ops, folders)
    assert (ops[0].step, ops[0].what, ops[0].source_line) == (1, "aten.sum.default", found(seen, "threads").source_line)
    assert ops[0].absolute > 0
    growth_plot.write_plot(tmp_path / "growth.png", steps, ops, "threads")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidValue, match="no name for a plot"):
        growth_plot.check_plot(tmp_path / "growth.txt")


@pytest.mark.parametrize(
    ("one", "other", "absolute", "relative"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5, 0.2),
        ([float("nan"), float("inf")], [float("nan"), float("inf")], 0.0, 0.0),
        ([1.0, float("nan")], [1.0, 2.0], float("inf"), float("inf")),
        ([], [], 0.0, 0.0),
    ],
)
def test_how_far_two_tensors_are_apart(one: list[float], other: list[float], absolute: float, relative: float) -> None:
    apart = errors_between.apart(np.array(one), np.array(other))
    assert apart == errors_between.Apart(absolute, relative)
    assert errors_between.apart(np.zeros(2), np.zeros(3)) is None


def test_the_page_has_the_table_of_what_is_found(seen: Path) -> None:
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].splitlines()[2:]
    assert table == [row(name, fault.what, found(seen, name)) for name, fault in FAULTS.items()]
