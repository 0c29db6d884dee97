"""Trainings that did not complete are replayed up to where they came, and the answer says that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repro_assets.replay.launch import Report, replay

pytestmark = pytest.mark.slow
ENDS = "SMALL_ENDS"


def train(project: Any, ends: str) -> str:
    """Train until it ends as it is told, and return the run."""
    request = project.request(module="small.looping", selection=["model"], assets={"model": {"log_every": 1}})
    project.start(request, **{ENDS: ends}).wait(120)
    (row,) = project.rows("SELECT run_id, state FROM runs WHERE asset = 'model'")
    assert row["state"] == ("FAILED" if ends.startswith("fails") else "INTERRUPTED")
    return str(row["run_id"])


def again(project: Any, run: str, tmp_path: Path) -> tuple[Report, dict[str, str], dict[str, Any]]:
    """Replay it; return the report, the verdicts by slot, and the record of what was executed."""
    with (tmp_path / "log").open("wb") as log:
        report = replay(project.home, run, log=log)
    verdicts = {product["slot"]: product["verdict"] for product in report.document()["products"]}
    (row,) = project.rows(
        "SELECT state, error_message, (SELECT max(step) FROM metrics m WHERE m.run_id = r.run_id) AS last "
        "FROM runs r WHERE run_id = ?",
        [report.replay_run],
    )
    return report, verdicts, row


def test_what_failed_is_compared_whether_it_fails_again_or_not(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(project, "fails:7")
    said = "the run is FAILED (builtins.RuntimeError: failed as the test asked): what it had made until then was"
    report, verdicts, row = again(project, run, tmp_path)
    assert verdicts == {"checkpoint_step_4": "identical"}, report.document()
    assert (report.verdict, report.records[0].reason) == ("identical", f"{said} compared")
    assert row == {"state": "COMPLETED", "error_message": None, "last": 12}, "what failed it is not here any more"

    monkeypatch.setenv(ENDS, "fails:7")
    report, verdicts, row = again(project, run, tmp_path)
    assert (verdicts, report.records[0].reason) == ({"checkpoint_step_4": "identical"}, f"{said} compared")
    assert (row["state"], row["error_message"]) == ("FAILED", "failed as the test asked")


@pytest.mark.parametrize(("ends", "saved", "last"), [("9:7", ["step_4"], 4), ("15:6", ["signal_6", "step_4"], 6)])
def test_a_training_that_was_interrupted_is_executed_up_to_its_last_checkpoint(
    project: Any, tmp_path: Path, ends: str, saved: list[str], last: int
) -> None:
    run = train(project, ends)
    report, verdicts, row = again(project, run, tmp_path)
    assert verdicts == {f"checkpoint_{name}": "identical" for name in saved}, report.document()
    assert report.verdict == "identical"
    assert "is INTERRUPTED" in str(report.records[0].reason)
    assert str(report.records[0].reason).endswith("what it had made until then was compared")
    assert (row["state"], row["last"]) == ("INTERRUPTED", last)
    assert row["error_message"] == f"ended after step {last}, as was asked"
