"""``repro evaluate`` and ``repro filter``: what a person names is read, recorded and replayed.

The executing process is forked from one that has its libraries; everything else is as a person has it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from executing import Executing

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.project import project_root
from repro_assets.catalog import queries
from repro_assets.cli.app import main
from repro_assets.identity.digest import Digest
from repro_assets.orchestration import request as requests
from repro_assets.replay.launch import replay
from repro_assets.store.home import Home, make_store
from repro_assets.training import policy
from repro_assets.training.comparison import compare_evaluations
from repro_assets.training.digits import SplitConfig, read_digits, split_digits
from repro_assets.training.evaluation import EvaluationConfig, evaluate
from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.references import ReferencesConfig, reference_traces
from repro_assets.training.trace_files import write_traces_file
from repro_assets.training.traces import TracesConfig, generate_traces

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parents[2] / "data" / "raw" / "digits.csv"


class Unrecorded:
    """A run that takes what it is given and keeps nothing but its seeds."""

    def __init__(self) -> None:
        from repro_assets.determinism.seeds import Seeds

        self.seeds = Seeds(5)

    def log_metric(self, *_: Any) -> None: ...

    log_metrics = log_params = log_metric


@dataclasses.dataclass
class World:
    home: Home
    model: dict[str, Any]
    splits: dict[str, Any]
    references: pd.DataFrame
    traces: pd.DataFrame


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    run: Any = Unrecorded()
    home = make_store(tmp_path_factory.mktemp("on_demand") / "store")
    sizes = SplitConfig(sft=120, rft=20, validation=24, test=24, stream=24)
    splits = split_digits(run, sizes, read_digits(DIGITS))
    reader = policy.Policy(policy.Architecture(width=8, heads=2, layers=1), torch.Generator().manual_seed(1))
    few = {name: values[:100] for name, values in splits["sft"].items()}
    made = World(
        home,
        policy.to_value(reader),
        splits,
        reference_traces(run, ReferencesConfig(), splits["sft"], splits["validation"], splits["test"]),
        generate_traces(run, TracesConfig(per_image=2), few),
    )
    for name, value in {
        "model-tiny": made.model,
        "dataset-validation": splits["validation"],
        "dataset-stream": splits["stream"],
        "dataset-references": made.references,
    }.items():
        repository.claim(repository.put(home, value), name)
    return made


@pytest.fixture
def repro(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Executes a command line in this process, and its request in a forked one."""
    monkeypatch.setenv("REPRO_HOME", str(world.home.root))
    executed: list[requests.RunRequest] = []

    def execute(
        home: Home, request: requests.RunRequest, mode: Any, log: Any = None, watch: Any = None
    ) -> requests.RunAnswer:
        executed.append(request)
        asked, answered = tmp_path / "request.json", tmp_path / "answer.json"
        asked.write_text(json.dumps(dataclasses.asdict(request)))
        environment = requests.environment(home, mode)
        words = [str(asked), str(answered)]
        Executing(requests.CHILD, words, project_root(), environment, tmp_path / "log").wait(120)
        assert answered.is_file(), (tmp_path / "log").read_text()[-3000:]
        return requests.RunAnswer.read(answered)

    monkeypatch.setattr(requests, "execute", execute)

    def say(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    say.executed = executed  # type: ignore[attr-defined]
    return say


def rows(world: World, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    return queries.rows(world.home, sql, list(parameters))


def stored(world: World, name: str) -> Artifact:
    found = repository.by_name(world.home, name)
    assert found is not None
    return found


BOTH = ("--benchmark", "classification", "--benchmark", "answer_and_chain")


def test_an_evaluation_is_that_of_the_recipe_has_its_lineage_and_replays(
    repro: Any, world: World, tmp_path: Path
) -> None:
    words = ("--model", "model-tiny", "--dataset", "dataset-validation", *BOTH, "--seed", "5", "--json")
    code, out, err = repro("evaluate", *words, "--output", tmp_path / "whole.json")
    assert code == 0, err
    said = json.loads(out)
    config = EvaluationConfig(benchmarks=["classification", "answer_and_chain"])
    expected = evaluate(Unrecorded(), config, world.model, world.splits["validation"], world.references)  # type: ignore[arg-type]
    assert said["metrics"] == {
        name: value for name, value in expected.items() if value is None or isinstance(value, int | float)
    }
    assert said["intervals"] == expected["intervals"]
    digest = Digest.parse(said["evaluation"]["digest"])
    assert repository.by_digest(world.home, digest).load() == expected
    assert json.loads((tmp_path / "whole.json").read_text())["result"] == expected
    assert (said["state"], said["reused"]) == ("COMPLETED", False)
    assert said["evaluation"]["name"] == "eval-model-tiny:v1-on-dataset-validation:v1"
    assert said["evaluation"]["version"] == "eval-tiny-on-validation:v1"

    inputs = rows(world, "SELECT slot, digest, asset, pinned FROM run_inputs WHERE run_id = ?", said["run_id"])
    names = {"model": "model-tiny", "dataset": "dataset-validation", "references": "dataset-references"}
    assert {row["slot"]: row["digest"] for row in inputs} == {
        slot: str(stored(world, name).digest) for slot, name in names.items()
    }
    assert {(row["asset"], row["pinned"]) for row in inputs} == {(None, True)}
    (record,) = rows(world, "SELECT model, dataset, digest FROM evaluations WHERE run_id = ?", said["run_id"])
    assert record == {
        "model": str(stored(world, "model-tiny").digest),
        "dataset": str(stored(world, "dataset-validation").digest),
        "digest": str(digest),
    }
    (row,) = rows(world, "SELECT seed, environment, source, parent_run_id FROM runs WHERE run_id = ?", said["run_id"])
    assert (row["seed"], row["parent_run_id"]) == (5, said["parent_run_id"])
    assert row["environment"] is not None and row["source"] is not None
    seeds = {row["name"] for row in rows(world, "SELECT name FROM seeds WHERE run_id = ?", said["run_id"])}
    assert {"root", "evaluation/sampled", "evaluation/bootstrap"} <= seeds
    checks = rows(world, "SELECT name, passed FROM checks WHERE asset = 'evaluations/any'")
    assert len(checks) == 3 and all(check["passed"] for check in checks)

    code, out, err = repro("evaluate", *words, "--against", digest)
    assert code == 0, err
    again = json.loads(out)
    assert (again["reused"], again["run_id"]) == (True, said["run_id"])
    assert again["against"]["figures"] == compare_evaluations(expected, expected)["figures"]
    reused = rows(world, "SELECT run_id, asset FROM reused_work WHERE parent_run_id = ?", again["parent_run_id"])
    assert reused == [{"run_id": said["run_id"], "asset": "evaluations/any"}]

    with (tmp_path / "replay.log").open("wb") as log:
        report = replay(world.home, said["run_id"], log=log)
    assert report.verdict == "identical", report.document()


def test_what_cannot_be_evaluated_is_refused_before_anything_starts(repro: Any, world: World, tmp_path: Path) -> None:
    given = ("evaluate", "--model", "model-tiny", "--dataset", "dataset-validation")
    for words, said in (
        (("evaluate", "--model", "model-tiny"), "--dataset is missing"),
        ((*given, "--benchmark", "clasification"), "did you mean classification?"),
        (("evaluate", "--model", "model-tany", "--dataset", "dataset-validation"), "no artifact named 'model-tany'"),
        ((*given, "--against", "nothing"), "no artifact named 'nothing'"),
        ((*given, "--output", tmp_path / "no" / "file"), "its folder is not there"),
        ((*given, "--config", tmp_path / "none.yaml"), "none.yaml"),
    ):
        code, out, err = repro(*words, "--json")
        assert (code, out) == (2, ""), words
        assert said in err
    (tmp_path / "words.yaml").write_text("modle: model-tiny\n")
    code, _, err = repro("evaluate", "--config", tmp_path / "words.yaml")
    assert code == 2 and "repro evaluate does not know (did you mean model?)" in err
    assert repro.executed == []


def test_data_without_labels_and_a_model_that_is_none_fail_on_record(repro: Any, world: World) -> None:
    code, out, err = repro("evaluate", "--model", "dataset-stream", "--dataset", "dataset-stream", "--json")
    assert code == 2
    assert "the model has no architecture" in err
    said = json.loads(out)
    assert (said["state"], said["evaluation"], said["metrics"]) == ("FAILED", None, {})
    assert rows(world, "SELECT state FROM runs WHERE run_id = ?", said["run_id"]) == [{"state": "FAILED"}]


def test_a_file_is_filtered_into_a_version_and_a_file(repro: Any, world: World, tmp_path: Path) -> None:
    source, target = tmp_path / "raw.csv", tmp_path / "kept.jsonl"
    source.write_bytes(write_traces_file(world.traces, "csv"))
    words = tmp_path / "filter.yaml"
    words.write_text(f"input: {source}\ndataset_name: cota\ndataset_type: rft\nmin_quality_score: 0.9\n")
    options = ("--config", words, "--output", target, "--dataset-type", "sft", "--min-quality-score", "0.7", "--json")
    code, out, err = repro("filter", *options)
    assert code == 0, err
    said = json.loads(out)
    kept = filter_and_score(Unrecorded(), FilterConfig(min_quality_score=0.7), world.traces)  # type: ignore[arg-type]
    assert target.read_bytes() == write_traces_file(kept, "jsonl")
    assert said["artifact"] == {
        "name": "dataset-cota_sft",
        "version": 1,
        "digest": str(repository.put(world.home, kept).digest),
    }
    assert said["kept"] == len(kept)
    assert set(said["dropped"]) == {"wrong_answer", "repeated_look", "too_many_looks", "low_quality"}
    assert said["kept"] + sum(said["dropped"].values()) == len(world.traces)
    (row,) = rows(world, "SELECT digest, pinned FROM run_inputs WHERE run_id = ?", said["run_id"])
    assert row == {"digest": str(stored(world, "raw-cota").digest), "pinned": True}
    assert stored(world, "raw-cota").load() == source.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "--input and --output and --dataset-name and --dataset-type is missing"),
        ({"input": "none.csv"}, "none.csv is not there"),
        ({"input": "raw.txt"}, "let it end in .jsonl, .csv, .parquet"),
        ({"output": "kept.xml"}, "let it end in .jsonl, .csv, .parquet"),
        ({"output": "raw.csv"}, "is the file of the raw traces itself"),
        ({"dataset-type": "all"}, "one of sft, rft, eval"),
        ({"dataset-name": "a b"}, "'dataset-a b_sft' cannot name a collection"),
    ],
)
def test_what_cannot_be_filtered_is_refused_before_anything_starts(
    repro: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: dict[str, str], said: str
) -> None:
    for name in ("raw.csv", "raw.txt"):
        (tmp_path / name).write_text("image_id\n")
    given = {"input": "raw.csv", "output": "kept.csv", "dataset-name": "a", "dataset-type": "sft", **words}
    monkeypatch.setattr("repro_assets.orchestration.request.execute", None)
    monkeypatch.chdir(tmp_path)
    options = [part for name, value in given.items() for part in (f"--{name}", value)] if words else []
    code, out, err = repro("filter", *options, "--json")
    assert (code, out) == (2, "")
    assert said in err
