"""Determinism of assets: verified by their keys, said on their pages, and strict where a run asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import torch

from repro_assets.errors import InvalidValue
from repro_assets.orchestration import metadata
from repro_assets.orchestration.instance import open_instance
from repro_assets.orchestration.verifying import verify_and_show

pytestmark = pytest.mark.slow
SETTINGS = {"strict": {"strict": True, "seed": 9}, "lax": {"seed": 10}}


@pytest.fixture(scope="module")
def made(shared: Any) -> Any:
    """A project in which some assets are made, strictly."""
    for selection in (["plain/up", "plain/mid"], ["noise", "frame"]):
        shared.digests(shared.run(selection=selection, settings={"strict": True}))
    return shared


def verified(project: Any, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(project.root)
    with (tmp_path / "log").open("wb") as log:
        return verify_and_show(project.home, key, log=log)


def test_an_asset_is_rehearsed_with_its_recorded_inputs(
    made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = made.rows("SELECT count(*) AS n FROM runs")
    found = verified(made, "mid", monkeypatch, tmp_path)
    assert found.deterministic and found.target == "small.recipes:doubled"
    assert made.rows("SELECT count(*) AS n FROM runs") == before, "a rehearsal is nobody's run"
    (check,) = made.rows("SELECT name, passed, asset FROM checks WHERE name = 'deterministic'")
    assert check == {"name": "deterministic", "passed": True, "asset": "plain/mid"}


def test_a_recipe_that_draws_from_elsewhere_is_shown_on_the_page(
    made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = verified(made, "noise", monkeypatch, tmp_path)
    assert not found.deterministic
    assert (found.first_difference["path"], found.first_difference["element"]) == ("values", [0])
    with open_instance(made.home) as instance:
        (event,) = instance.fetch_observations(dg.AssetKey("noise"), limit=1).records
    shown = event.event_log_entry.asset_observation.metadata
    assert shown["deterministic"].value is False
    assert "values" in shown["verified"].value


def test_an_asset_without_a_recipe_says_what_to_do(made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="repro replay"):
        verified(made, "frame", monkeypatch, tmp_path)


def test_a_strict_run_fails_where_a_setting_came_too_late_and_another_warns(made: Any) -> None:
    requests = [made.request(name, selection=["plain/up"], settings=asked) for name, asked in SETTINGS.items()]
    pairs = [[str(request), str(request.with_suffix(".answer"))] for request in requests]
    # One process for both: its hash seed is what counts, and it takes seconds to start.
    said = made.script(
        "import sys\nfrom repro_assets.orchestration.run_child import main\nimport small.definitions\n"
        f"print('torch' in sys.modules)\nfor pair in {pairs}: main(pair)",
        PYTHONHASHSEED="5",
    )
    assert said.startswith("False\n"), "definitions that do without torch are loaded without it"
    strict, lax = (json.loads(Path(answer).read_text()) for _, answer in pairs)
    assert strict["state"] == "FAILED"
    (error,) = strict["errors"]
    assert error["type"] == "CheckFailed" and "PYTHONHASHSEED is 5, not 0" in error["message"]
    (run,) = made.rows("SELECT state, error_message FROM runs WHERE seed = 9")
    assert run["state"] == "FAILED" and "PYTHONHASHSEED" in run["error_message"]
    made.digests(lax)
    with open_instance(made.home) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["plain", "up"]))
    assert "PYTHONHASHSEED is 5, not 0" in event.asset_materialization.metadata["warnings"].value


def test_a_model_is_described_by_its_fingerprint_and_data_is_not() -> None:
    value = {"architecture": {"width": 2}, "state": {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}}
    shown = metadata.of_model(value)
    assert shown["parameters"] == 8
    assert "state.weight: float32 [2, 3]" in shown["architecture"].value
    value["state"]["bias"][1] = 1.0  # type: ignore[index]
    changed = metadata.of_model(value)
    assert changed["architecture digest"] == shown["architecture digest"]
    assert changed["weights digest"] != shown["weights digest"]
    assert metadata.of_model({"values": torch.zeros(2).numpy()}) == {} == metadata.of_model([1, 2])
