"""The document index as assets: its sources and their manifest are on record, and what is switched off is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.artifacts import repository
from repro_assets.capture.data_manifest.verification import verify_manifest
from repro_assets.catalog import queries
from repro_assets.definitions import defs
from repro_assets.store.home import VARIABLE, make_store
from repro_assets.training.retrieval import Index

ROOT = Path(__file__).parents[2]
TEXTS = {
    "a.md": "# Apples\n\nApples are red.",
    "b.md": "# Pears\n\nPears are green.",
    "c.md": "# Figs\n\nFigs are blue.",
}
QUESTIONS = "question,document,split\nWhich fruit is red?,a.md,report\nWhat is green?,b.md,choosing\n"
INDEX = [dg.AssetKey(["indexes", "documents"])]
Shown = dict[str, dict[str, Any]]


class Fruits:
    """A store, and a folder of documents that the job reads."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.home = make_store(folder / "home")
        self.instance = instance
        self.questions = folder / "questions.csv"
        self.questions.write_text(QUESTIONS)
        self.folder = folder / "fruits"
        self.folder.mkdir()
        for name, text in TEXTS.items():
            (self.folder / name).write_text(text)

    def run(self, only: list[dg.AssetKey] | None = None, **config: Any) -> Shown:
        """Execute the job and return what Dagster shows of its products, by the last part of the asset's key."""
        ops = {
            "indexes__documents": {"config": {"path": str(self.folder), **config}},
        }
        if only is None:
            ops["evaluations__retrieval"] = {"config": {"path": str(self.questions), "resamples": 100}}
        resources = {"repro": {"config": {"capture_level": "basic", "monitor": False}}}
        done = defs.resolve_job_def("index").execute_in_process(
            {"ops": ops, "resources": resources}, instance=self.instance, asset_selection=only
        )
        made = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
        return {
            item.asset_key.path[-1]: {name: value.value for name, value in item.metadata.items()}  # type: ignore[union-attr]
            for item in made
        }

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        return queries.rows(self.home, sql, list(values))

    def inputs(self, run_id: str) -> set[str]:
        return {row["slot"] for row in self.rows("SELECT slot FROM run_inputs WHERE run_id = ?", run_id)}

    def checks(self, run_id: str) -> dict[str, tuple[bool, dict[str, Any]]]:
        rows = self.rows("SELECT name, passed, details FROM checks WHERE run_id = ?", run_id)
        return {row["name"]: (row["passed"], json.loads(row["details"])) for row in rows}


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fruits]:
    monkeypatch.chdir(ROOT)
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        found = Fruits(tmp_path, instance)
        monkeypatch.setenv(VARIABLE, str(found.home.root))
        yield found


def test_neither_asset_is_in_the_default_job() -> None:
    keys = defs.resolve_job_def("index").asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in keys} == {"indexes/documents", "evaluations/retrieval"}
    assert not keys & defs.resolve_job_def("reference").asset_layer.executable_asset_keys


def test_an_index_is_on_record_with_its_sources_unless_that_is_switched_off(fruits: Fruits, tmp_path: Path) -> None:
    made = fruits.run()
    index, evaluation = made["documents"], made["retrieval"]
    assert (index["version"], index["name"], index["documents"]) == ("index-documents:v1", "index-documents-v1", 3)
    assert fruits.inputs(index["run"]) == {"documents", "documents_manifest"}
    stored = repository.by_name(fruits.home, "index-documents")
    assert stored is not None and stored.kind == "tensors"
    (answer,) = Index.from_value(stored.load()).search(["green fruit"])
    assert [hit.document for hit in answer.hits] == ["b.md"]
    (row,) = fruits.rows("SELECT name, model, metrics FROM evaluations WHERE run_id = ?", evaluation["run"])
    assert (row["name"], row["model"]) == ("eval-index-on-questions-v1", index["digest"])
    assert json.loads(row["metrics"])["recall_at_1"] == 1

    manifest = repository.by_name(fruits.home, "manifest-fruits")
    assert manifest is not None and str(manifest.digest) in index["documents manifest"]
    kept = tmp_path / "manifest.json"
    kept.write_bytes(manifest.load())
    assert verify_manifest(kept, fruits.folder).valid
    (fruits.folder / "b.md").write_text("# Pears\n\nPears are yellow.")
    assert verify_manifest(kept, fruits.folder).modified_files == ["b.md"]
    later = fruits.run(INDEX)["documents"]
    assert later["version"] == "index-documents:v2" and not later["reused"]
    assert later["documents manifest"].startswith("manifest-fruits:v2 ")

    (fruits.folder / "b.md").write_text(TEXTS["b.md"])
    back = fruits.run(INDEX)["documents"]
    assert back["reused"] and back["digest"] == index["digest"]
    assert back["documents manifest"] == index["documents manifest"]
    assert all(passed for passed, _ in fruits.checks(index["run"]).values())
    for run in (index["run"], evaluation["run"]):
        assert fruits.rows("SELECT kind, name FROM undeclared_inputs WHERE run_id = ?", run) == []
    assert_what_is_switched_off_is_not_recorded(fruits, index["digest"])


def assert_what_is_switched_off_is_not_recorded(fruits: Fruits, digest: str) -> None:
    made = fruits.run(capture_environment=False, capture_manifest=False)
    index = made["documents"]
    assert not index["reused"] and index["digest"] == digest
    assert index["environment captured"] is False
    assert not {"environment", "documents manifest"} & set(index)
    assert fruits.inputs(index["run"]) == {"documents"}
    (row,) = fruits.rows("SELECT environment, commit, warnings FROM runs WHERE run_id = ?", index["run"])
    assert row["environment"] is None and row["commit"]
    assert {
        "the environment is not captured: capture_environment is off",
        "there is no manifest of the source files: capture_manifest is off",
    } <= set(row["warnings"])
    checks = fruits.checks(index["run"])
    reason = f"run {index['run']} recorded no environment: capture_environment is off"
    assert checks.pop("environment_captured") == (False, {"reason": reason})
    assert len(checks) == 2 and all(passed for passed, _ in checks.values())
    assert made["retrieval"]["reused"], "the same index has been evaluated"
