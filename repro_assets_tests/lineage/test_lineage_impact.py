from __future__ import annotations

import pytest

import repro_assets
from repro_assets.artifacts import aliases, names, repository
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import EvaluationMade, RunStarted
from repro_assets.lineage.impact import impact_of
from repro_assets.recording.lifetime import begin


@pytest.fixture
def served(home, chain, diamond):
    """The model of the diamond as a version in production, and its evaluation on record."""
    model = repository.by_digest(home, Digest.parse(diamond["model"]))
    repository.claim(model, "model-x", run_id="run-model")
    aliases.move(home, names.newest(home, "model-x"), "production")
    chain.journal.append(
        EvaluationMade("run-scores", "eval-x", diamond["model"], diamond["raw"], diamond["scores"], {"accuracy": 0.5})
    )
    return diamond


def test_impact_is_all_that_came_from_it_with_aliases_and_evaluations(home, served):
    found = impact_of(home, "run-left")
    assert (found.root, found.name) == ("run-left", "name of run-left")
    assert [row["digest"] for row in found.artifacts] == [served[name] for name in ("left", "model", "scores")]
    assert [(row["run_id"], row["steps"]) for row in found.runs] == [
        ("run-left", 0),
        ("run-model", 2),
        ("run-scores", 4),
    ]
    assert found.artifacts[1]["versions"] == ["model-x:v1"]
    assert [(row["collection"], row["alias"], row["version"]) for row in found.aliases] == [
        ("model-x", "production", 1)
    ]
    (evaluation,) = found.evaluations
    assert (evaluation["name"], evaluation["run_id"], evaluation["metrics"]) == (
        "eval-x",
        "run-scores",
        {"accuracy": 0.5},
    )
    assert evaluation["model"] == "model-run-model"


def test_impact_within_a_depth_and_of_what_is_at_the_end(home, served):
    near = impact_of(home, "run-left", depth=1)
    assert ([row["name"] for row in near.artifacts], near.aliases) == (["left-run-left"], [])
    last = impact_of(home, served["scores"])
    assert ([row["steps"] for row in last.artifacts], last.runs, last.aliases) == ([0], [], [])
    # The model that was evaluated is not touched, but the evaluation that is the scores themselves is.
    assert [row["name"] for row in last.evaluations] == ["eval-x"]
    with pytest.raises(InvalidValue):
        impact_of(home, "run-left", -1)
    with pytest.raises(UnknownName):
        impact_of(home, "run-nowhere")


def test_lineage_is_reached_in_two_lines_of_python(home, served):
    model = repro_assets.lineage_of("model-x", home=home)
    came = model.ancestors()
    assert list(came["steps"]) == sorted(came["steps"]) and len(came) == 6
    assert list(model.descendants(1)["key"]) == ["run-scores"]
    shared = repro_assets.lineage_of(served["left"], home=home).common_with(served["right"])
    assert shared[["lowest", "steps", "steps_to_other", "key"]].values.tolist() == [[True, 2, 2, served["raw"]]]
    assert repro_assets.lineage_of(served["raw"], home=home).paths_to("model-x").total == 2
    assert [row["alias"] for row in model.impact().aliases] == ["production"]
    assert model.mermaid(1).startswith("flowchart") and "digraph" in model.dot()
    assert repro_assets.validate_lineage(home=home).valid
    assert "6 upstream, 2 downstream" in model._repr_html_()
    assert repro_assets.run("run-model", home=home).lineage().key == "run-model"


def test_the_impact_of_a_lineage_is_that_of_the_graph_it_holds(home, served):
    held = repro_assets.lineage_of("run-left", home=home)
    before = held.impact().document()
    late = begin(home, RunStarted("run-later", "script", "later"))
    late.use("scores", repository.by_digest(home, Digest.parse(served["scores"])))
    late.end()
    assert held.impact().document() == before
    assert repro_assets.lineage_of("run-left", home=home).impact().runs[-1]["run_id"] == "run-later"


def test_a_name_is_text_where_a_notebook_shows_it(home, chain):
    value = chain.value({"is": "odd"})
    chain.run("run-<script>", {}, {"<b>out</b>": value})
    shown = repro_assets.lineage_of(value, home=home)._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown
