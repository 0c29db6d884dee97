"""What a person is told of the log of an executing process."""

from __future__ import annotations

import pytest

from repro_assets.cli.progress import shown_log, told
from repro_assets.errors import CheckFailed

HEAD = "2026-11-21 18:56:26 +0000 - dagster - {level} - __ASSET_JOB - bc3f2487 - {step} - {text}"


def test_what_was_captured_and_each_warning_are_shown_once() -> None:
    captured = "captured (standard) · commit 1a2b on main · clean · Python 3.11.7"
    lines = [
        HEAD.format(level="INFO", step="up", text=captured),
        HEAD.format(level="INFO", step="up", text="something else that was captured"),
        HEAD.format(level="WARNING", step="up", text="a file is not stored"),
        HEAD.format(level="INFO", step="mid", text=captured),
        HEAD.format(level="WARNING", step="mid", text="a file is not stored"),
    ]
    assert list(told(lines, set())) == [captured, "warning: a file is not stored"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b'begun\n  File "a.py", line 3, in fit\n    raise KeyError(1)\n    ^^^^^^^^\n', "begun"),
        (
            b'Traceback (most recent call last):\n  File "a.py", line 3\n    fit()\nValueError: lost\n',
            "ValueError: lost",
        ),
        (b"Traceback (most recent call last):\n ~~~\n\n", None),
        (b"before\nthe disk is full\n", None),
    ],
)
def test_the_last_line_is_one_that_says_something_which_the_error_does_not(
    written: bytes, shown: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckFailed), shown_log(verbose=False) as log:
        assert log is not None
        log.write(written)
        raise CheckFailed("it failed: the disk is full")
    assert capfd.readouterr().err == ("" if shown is None else f"the executing process said last: {shown}\n")
