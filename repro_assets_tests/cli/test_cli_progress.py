"""What a person is told of the log of an executing process."""

from __future__ import annotations

from repro_assets.cli.progress import told

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
