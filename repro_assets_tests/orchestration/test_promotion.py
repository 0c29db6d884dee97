"""A model comes into production behind checks that block, and by no other way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from evaluated import ITEMS, record_evaluation, record_model, split

from repro_assets.artifacts import aliases, names, repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.definitions import assets, defs
from repro_assets.errors import CheckFailed, InvalidValue
from repro_assets.orchestration import pins, promotion, refusals
from repro_assets.orchestration.assets.production import PromotionAsset
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.pins import Pins
from repro_assets.orchestration.promotion import Bounds
from repro_assets.orchestration.resource import Repro
from repro_assets.store.home import Home, make_store

GOOD = np.arange(ITEMS) % 10 != 0
PASSED = dict.fromkeys(
    ("products_verify", "environment_captured", "lineage_sound", "evaluated", "good_enough", "no_worse"), True
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = make_store(tmp_path / "store")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    return home


@pytest.fixture
def clean(home: Home) -> Artifact:
    return repository.claim(repository.put(home, split()), "dataset-test")


def config(model: Artifact, evaluation: Artifact, **bounds: Any) -> dict[str, Any]:
    inputs = {"model": str(model.digest), "evaluation": str(evaluation.digest)}
    return {"ops": {"promotion": {"config": {"inputs": inputs, **bounds}}}}


def promote_job(
    model: Artifact, evaluation: Artifact, tags: dict[str, str] | None = None, **bounds: Any
) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("promote")
    return job.execute_in_process(run_config=config(model, evaluation, **bounds), raise_on_error=False, tags=tags)


def decide(home: Home, model: Artifact, evaluation: Artifact, **bounds: Any) -> tuple[dict[str, bool], str]:
    """What the asset does, without Dagster: the answers, and why nothing was promoted."""
    asked = PromotionAsset(**bounds)
    candidate = promotion.propose(home, model, evaluation)
    verdicts = promotion.judge(home, candidate, Bounds(asked.dataset, asked.least, asked.most, asked.tolerance))
    answers = {verdict.name: verdict.passed for verdict in verdicts}
    try:
        promotion.refuse(candidate, verdicts)
    except CheckFailed as error:
        return answers, str(error)
    promotion.promote(home, candidate)
    return answers, ""


def in_production(home: Home) -> list[int]:
    return [move.version for _, move in aliases.history(home, "model-rft", "production")]


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]


def said(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = result.get_step_failure_events()
    return str(refusals.root_cause(failure.step_failure_data.error).message)


def answers(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    found = [item for item in result.get_asset_check_evaluations() if item.asset_key.path[-1] == "candidate"]
    assert all(item.blocking for item in found)
    return {item.check_name: item.passed for item in found}


def test_the_first_model_is_promoted_by_reference_and_the_alias_moves_by_a_record(home: Home, clean: Artifact) -> None:
    model = record_model(home, "a" * 16, [1.0])
    evaluation = record_evaluation(home, "b" * 16, model, clean, GOOD)
    given: dict[str, Any] = {
        "resources": {"repro": Repro(), "io_manager": ArtifactIOManager()},
        "run_config": config(model, evaluation),
    }
    result = dg.materialize(assets, selection=dg.AssetSelection.groups("production"), **given)
    assert result.success
    assert answers(result) == PASSED
    assert materialized(result) == ["candidate", "production"]
    for event in result.get_asset_materialization_events():
        made = event.step_materialization_data.materialization
        assert (made.tags or {})["dagster/data_version"] == str(model.digest)
        assert str(evaluation.digest) in str(made.metadata["evaluation"].value)
        assert made.metadata["in production before"].value == "none"
    assert in_production(home) == [1]
    # The checks are on record under the run that made the model, and nothing was copied or claimed.
    rows = queries.rows(home, "SELECT name, passed, run_id FROM checks WHERE asset = 'models/candidate'")
    assert {row["name"] for row in rows} == set(PASSED) and {row["run_id"] for row in rows} == {"a" * 16}
    assert len(names.versions(home, "model-rft")) == 1
    outputs = "SELECT count(*) AS n FROM run_outputs WHERE digest = ?"
    assert queries.rows(home, outputs, [str(model.digest)]) == [{"n": 1}]
    assert decide(home, model, evaluation) == (PASSED, "")
    assert in_production(home) == [1], "it is there already, so nothing moves"
    with pytest.raises(dg.DagsterInvalidDefinitionError) as refused:
        dg.materialize(assets, selection=["models/production"], **given)
    assert isinstance(refused.value.__cause__, dg.DagsterInvalidSubsetError), "no selection goes around the checks"


def test_a_model_below_the_bound_leaves_the_candidate_and_says_check_figure_and_bound(
    home: Home, clean: Artifact
) -> None:
    model = record_model(home, "a" * 16, [1.0])
    evaluation = record_evaluation(home, "b" * 16, model, clean, GOOD)
    result = promote_job(model, evaluation, least={"accuracy_greedy": 0.95})
    assert not result.success
    assert materialized(result) == ["candidate"]
    assert answers(result) == {**PASSED, "good_enough": False}
    assert "good_enough: accuracy_greedy is 0.9 (95 % interval" in said(result)
    assert "at least 0.95 is asked for" in said(result)
    (row,) = queries.rows(home, "SELECT details FROM checks WHERE NOT passed")
    assert json.loads(row["details"])["figures"]["accuracy_greedy"]["at least"] == 0.95
    _, why = decide(home, model, evaluation, most={"looks_greedy": 1.5})
    assert "looks_greedy is 2 (95 % interval 2 to 2), at most 1.5 is asked for" in why
    with pytest.raises(InvalidValue, match=r"has no figure 'acuracy' \(there are accuracy_greedy"):
        decide(home, model, evaluation, least={"acuracy": 0.5})
    with pytest.raises(InvalidValue, match="is no evaluation"):
        decide(home, model, clean)
    assert in_production(home) == []


def test_a_model_that_may_be_worse_than_the_one_in_production_is_refused(home: Home, clean: Artifact) -> None:
    first, worse = record_model(home, "a" * 16, [1.0]), record_model(home, "c" * 16, [2.0])
    on_first = record_evaluation(home, "b" * 16, first, clean, GOOD)
    on_worse = record_evaluation(home, "d" * 16, worse, clean, GOOD & (np.arange(ITEMS) % 10 != 1))
    assert decide(home, first, on_first) == (PASSED, "")
    made, why = decide(home, worse, on_worse)
    assert made == {**PASSED, "no_worse": False}
    assert "no_worse: accuracy_greedy is 0.8 and 0.9 in production (model-rft:v1): the difference is -0.1 (95 %" in why
    assert "at most 0.05 worse is allowed" in why and "model-rft:v1 stays in production" in why
    assert in_production(home) == [1]
    # The difference alone would be within this tolerance, the lower end of its interval is not.
    assert decide(home, worse, on_worse, tolerance={"accuracy_greedy": 0.11})[1]
    assert decide(home, worse, on_worse, tolerance={"accuracy_greedy": 0.2}) == (PASSED, "")
    assert in_production(home) == [1, 2]
    moves = aliases.history(home, "model-rft", "production")
    assert moves[1][1].replaces == moves[0][0].id
    aliases.roll_back(home, "model-rft", "production")
    assert in_production(home) == [1, 2, 1]


def test_an_evaluation_of_another_model_or_other_data_proves_nothing(home: Home, clean: Artifact) -> None:
    model, other = record_model(home, "a" * 16, [1.0]), record_model(home, "c" * 16, [2.0])
    elsewhere = repository.claim(repository.put(home, split(1000)), "dataset-validation")
    later = repository.claim(repository.put(home, split(2000)), "dataset-test")
    of_other = record_evaluation(home, "b" * 16, other, clean, GOOD)
    on_validation = record_evaluation(home, "d" * 16, model, elsewhere, GOOD)
    in_a_trial = record_evaluation(home, "e" * 16, model, clean, GOOD[::-1], trial=True)
    on_later = record_evaluation(home, "f" * 16, model, later, GOOD)
    made, why = decide(home, model, of_other)
    assert made == {**PASSED, "evaluated": False}
    assert "repro evaluate --model model-rft:v1 --dataset dataset-test" in why
    assert "is on dataset-validation:v1" in decide(home, model, on_validation)[1]
    assert decide(home, model, in_a_trial)[0]["evaluated"] is False
    assert in_production(home) == []
    # What is in production was measured on other data: that is said, and not taken for a comparison.
    assert decide(home, other, of_other) == (PASSED, "")
    why = decide(home, model, on_later)[1]
    assert "model-rft:v2, which is in production, has no evaluation on the same data" in why


def test_a_model_without_a_whole_record_or_with_changed_bytes_is_refused(home: Home, clean: Artifact) -> None:
    bare, damaged = record_model(home, "a" * 16, [1.0], environment=None), record_model(home, "c" * 16, [2.0])
    on_bare = record_evaluation(home, "b" * 16, bare, clean, GOOD)
    on_damaged = record_evaluation(home, "d" * 16, damaged, clean, GOOD)
    made, why = decide(home, bare, on_bare)
    assert made == {**PASSED, "environment_captured": False} and "recorded no environment" in why
    (digest,) = damaged.manifest.objects()
    (path,) = home.root.glob(f"objects/*/{digest.hex[2:]}")
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert decide(home, damaged, on_damaged)[0]["products_verify"] is False
    assert in_production(home) == []


def test_trials_and_replays_promote_nothing(home: Home, clean: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tried = record_model(home, "a" * 16, [1.0]), record_model(home, "c" * 16, [2.0], trial=True)
    evaluation = record_evaluation(home, "b" * 16, model, clean, GOOD)
    trial = promote_job(model, evaluation, tags={"trial": "true"})
    assert "a trial promotes nothing" in said(trial) and materialized(trial) == []
    with pytest.raises(InvalidValue, match="has no version that no trial made"):
        promotion.propose(home, tried, evaluation)
    digests = {("model", None): str(model.digest), ("evaluation", None): str(evaluation.digest)}
    world = Pins({"e" * 16: digests}, {("models/candidate", None): "e" * 16}, None, "f" * 16)
    monkeypatch.setattr(pins, "_active", world)
    replayed = promote_job(model, evaluation)
    assert "a replay promotes nothing" in said(replayed) and materialized(replayed) == []
    assert in_production(home) == []


def test_an_alias_that_moved_while_the_checks_were_made_is_not_moved_over(home: Home, clean: Artifact) -> None:
    one, two = record_model(home, "a" * 16, [1.0]), record_model(home, "c" * 16, [2.0])
    candidate = promotion.propose(home, one, record_evaluation(home, "b" * 16, one, clean, GOOD))
    aliases.move(home, repository.version_of(two), "production")
    with pytest.raises(CheckFailed, match="model-rft@production was moved to model-rft:v2 meanwhile"):
        promotion.promote(home, candidate)
    assert in_production(home) == [2]
