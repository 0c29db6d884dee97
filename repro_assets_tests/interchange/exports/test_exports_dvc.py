"""What is exported for DVC: laid out, compared and executed by DVC itself."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import exported
import numpy as np
import pytest
import yaml
from dvc_command import CLEAN, dvc, git
from exported import World

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.catalog import queries
from repro_assets.errors import (
    InvalidInput,
    InvalidValue,
    MissingObject,
    ReusedElsewhere,
    UnknownName,
    UnsupportedFormat,
)
from repro_assets.interchange import formats
from repro_assets.interchange.exports.dvc_stage import recorded_stage
from repro_assets.journal.run_records import RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store, open_store

ROOT = Path(__file__).parents[3]
MADE = "ma" * 8
USED = "us" * 8


def small(folder: Path, *, slots: tuple[str, ...] = ("model",)) -> Home:
    """A store with a run that read another one's product, both with what a replay needs on record."""
    home = make_store(folder / "store")
    (folder / "code.py").write_text("print('the code')\n")
    source = str(repository.put(home, [TreeFile("code.py", folder / "code.py")], "tree").digest)
    facts: dict[str, Any] = {"source": source, "plan": {"form": "script"}}
    first = begin(home, RunStarted(MADE, "script", "pre ${pare}", seed=1, config={"rows": 5}, **facts))
    data = first.log_output("data", {"x": np.arange(3)}, name="dataset-small", collection="dataset-small")
    first.end()
    second = begin(home, RunStarted(USED, "script", "tr/ain", seed=2, config={"lr": 0.1, "odd": "1e3"}, **facts))
    second.use("data", data)
    second.log_metric("loss", 0.5, 3)
    for slot in slots:
        second.log_output(slot, {"slot": slot}, name=f"{USED}/{slot}")
    second.end()
    journal_at(home.journal).close()
    return home


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_dvc_lays_out_every_kind_and_finds_nothing_changed(world: World, tmp_path: Path) -> None:
    names = ("dataset-flowers", "dataset-files", "dataset-experience", "raw-flowers.csv", "dataset-settings:v1")
    done = formats.export(*names, *world.trains, to=tmp_path / "out", format="dvc", home=world.home)
    assert (done.verified, done.digest, done.facts["stages"]) == (True, None, 0)
    out = tmp_path / "out"
    dvc(out, "checkout")
    assert dvc(out, "status") == CLEAN
    key = json.loads((out / "repro.json").read_text())
    kinds = set()
    for path, item in key["artifacts"].items():
        artifact = repository.by_name(world.home, item["digest"])
        assert artifact is not None
        kinds.add(artifact.kind)
        artifact.lay_out(tmp_path / "laid")
        assert _content(tmp_path / "laid") == _content(out / path)
        shutil.rmtree(tmp_path / "laid") if (tmp_path / "laid").is_dir() else (tmp_path / "laid").unlink()
    assert kinds == {"table", "tree", "segments", "bytes", "json", "tensors"}
    objects = [path for path in (out / ".dvc" / "cache").rglob("*") if path.is_file()]
    assert objects and {stat.S_IMODE(path.stat().st_mode) for path in objects} == {0o444}
    assert not any("dataset" in line for line in git(out, "status", "--short", "--ignored=no", "-uall").splitlines()
                   if not line.endswith(".dvc"))  # fmt: skip


def _content(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_runs_are_stages_with_what_they_read_were_given_and_measured(tmp_path: Path) -> None:
    home = small(tmp_path)
    done = formats.export(USED, to=tmp_path / "out", format="dvc", home=home)
    assert (done.facts["stages"], done.facts["artifacts"]) == (2, 2)
    out = tmp_path / "out"
    used, made = f"ain-{USED[:8]}", f"pre-pare-{MADE[:8]}"
    data, model, metrics = f"outputs/{made}/data", f"outputs/{used}/model.json", f"outputs/{used}/metrics.json"
    pipeline, lock = read(out / "dvc.yaml"), read(out / "dvc.lock")
    assert list(pipeline["stages"]) == [made, used]
    assert pipeline["stages"][used] == {
        "cmd": f"repro replay {USED} --dvc-stage {used}",
        "deps": [data],
        "params": [used],
        "outs": [model],
        "metrics": [{metrics: {"cache": False}}],
    }
    params = {"seed": 2, "lr": 0.1, "odd": "1e3"}
    assert read(out / "params.yaml") == {made: {"seed": 1, "rows": 5}, used: params}
    assert lock["stages"][used]["params"] == {"params.yaml": {used: params}}
    assert lock["stages"][used]["deps"] == lock["stages"][made]["outs"]
    assert [item["path"] for item in lock["stages"][used]["outs"]] == [metrics, model]
    assert json.loads((out / metrics).read_text()) == {"loss": 0.5}
    dvc(out, "checkout")
    assert dvc(out, "status") == CLEAN
    # Whatever a command of DVC's writes anew, it writes as it is.
    before = read(out / "dvc.lock")
    dvc(out, "commit", "--force")
    assert read(out / "dvc.lock") == before


def test_a_stage_whose_inputs_or_parameters_are_others_is_refused(tmp_path: Path) -> None:
    home = small(tmp_path)
    out = tmp_path / "out"
    formats.export(USED, to=out, format="dvc", home=home)
    stage, data = f"ain-{USED[:8]}", f"outputs/pre-pare-{MADE[:8]}/data"
    with pytest.raises(InvalidInput, match=f"dvc checkout {data}"):
        recorded_stage(home, USED, out, stage)
    made = repository.by_name(home, "dataset-small")
    assert made is not None
    made.lay_out(out / data)
    found = recorded_stage(home, USED, out, stage)
    assert found.outputs == {"model": f"outputs/{stage}/model.json"}
    with pytest.raises(UnknownName, match="no stage 'other'"):
        recorded_stage(home, USED, out, "other")
    with pytest.raises(InvalidValue, match=f"is the run {USED}"):
        recorded_stage(home, MADE, out, stage)
    text = (out / "params.yaml").read_text()
    (out / "params.yaml").write_text(text.replace("0.1", "0.2"))
    with pytest.raises(InvalidValue, match="takes no others"):
        recorded_stage(home, USED, out, stage)
    (out / "params.yaml").write_text(text)
    (out / data / "nesting.json").write_text("{}")
    with pytest.raises(InvalidValue, match="takes nothing else"):
        recorded_stage(home, USED, out, stage)
    with pytest.raises(InvalidInput, match=r"no export for DVC: there is no repro\.json \(go into the folder of one"):
        recorded_stage(home, USED, tmp_path, stage)
    (out / "repro.json").write_text('{"format": 2}')
    with pytest.raises(UnsupportedFormat):
        recorded_stage(home, USED, out, stage)
    for content in ('{"format": 1, "runs": []}', '{"format": 1', '{"format": 1, "runs": {}, '):
        (out / "repro.json").write_text(content)
        with pytest.raises(InvalidInput, match=r"not what an export writes.*git checkout it") as raised:
            recorded_stage(home, USED, out, stage)
        assert "Error(" not in str(raised.value) and "column" not in str(raised.value)


SCRIPT = """
import random, sys
from repro_assets import Experiment
with Experiment("fit", seed=3, config={"lr": 0.1}, capture_environment=False, monitor=None) as run:
    given = run.use_artifact("given", "given").load()
    run.log_metric("loss", 0.25, 1)
    run.log_artifact({"w": [random.random(), len(given)]}, "weights")
"""


@pytest.mark.slow
def test_dvc_makes_again_what_was_deleted(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    repository.claim(repository.put(home, {"rows": 3}), "given")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "fit.py").write_text(SCRIPT)
    variables = {"REPRO_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "fit.py"], cwd=tmp_path / "project", env={**os.environ, **variables}, check=True)
    (run,) = queries.rows(home, "SELECT run_id FROM runs")
    out = tmp_path / "out"
    formats.export(run["run_id"], to=out, format="dvc", home=home)
    stage = f"fit-{run['run_id'][:8]}"
    dvc(out, "checkout")
    git(out, "add", "-A")
    git(out, "commit", "-q", "-m", "as exported")
    made = out / "outputs" / stage / "weights.json"
    bits = made.read_bytes()
    item = json.loads((out / "repro.json").read_text())["artifacts"][f"outputs/{stage}/weights.json"]
    made.unlink()
    (out / ".dvc" / "cache" / "files" / "md5" / item["md5"][:2] / item["md5"][2:]).unlink()
    (out / "outputs" / stage / "metrics.json").unlink()
    said = dvc(out, "repro", **variables)
    assert f"repro replay {run['run_id']} --dvc-stage {stage}" in said and "identical" in said
    assert made.read_bytes() == bits
    assert dvc(out, "status") == CLEAN
    assert git(out, "status", "--short") == ""
    replays = queries.rows(open_store(home.root), "SELECT verdict FROM replays")
    assert replays == [{"verdict": "identical"}]


def test_no_two_paths_are_one_and_none_is_hidden(tmp_path: Path) -> None:
    slots = (
        "Model",
        "model",
        "out/model",
        "out-model",
        "a.json",
        "a",
        "",
        "..",
        ".git",
        "x.dvc",
        "metrics.json",
        "ü ${x}",
    )
    home = small(tmp_path, slots=slots)
    formats.export(USED, to=tmp_path / "out", format="dvc", home=home)
    key = json.loads((tmp_path / "out" / "repro.json").read_text())
    (stage,) = (run for run in key["runs"].values() if run["run_id"] == USED)
    names = [path.rpartition("/")[2] for path in [*stage["outputs"], stage["metrics"]]]
    assert len(names) == len(slots) + 1 == len({name.casefold() for name in names})
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzM0123456789_.+-") for name in names)
    assert not any(name.startswith(".dvc") or name in (".git", "..") or name.endswith(".dvc") for name in names)
    assert [key["artifacts"][path]["slot"] for path in stage["outputs"]] == sorted(slots)
    dvc(tmp_path / "out", "checkout")
    assert dvc(tmp_path / "out", "status") == CLEAN


def test_an_id_that_a_shell_would_execute_makes_no_stage(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    (tmp_path / "code.py").touch()
    source = str(repository.put(home, [TreeFile("code.py", tmp_path / "code.py")], "tree").digest)
    for run_id in ("good-1", "x; touch sprung", "${lr}", "../../../x", "$(id)"):
        run = begin(home, RunStarted(run_id, "script", "fit", source=source, plan={"form": "script"}))
        run.log_output("model", {"id": run_id}, name="model-x", collection="model-x")
        run.end()
    runs = [row["run_id"] for row in queries.rows(home, "SELECT run_id FROM runs")]
    formats.export(*runs, to=tmp_path / "out", format="dvc", home=home)
    stages = read(tmp_path / "out" / "dvc.yaml")["stages"]
    assert [stage["cmd"] for stage in stages.values()] == ["repro replay good-1 --dvc-stage fit-good-1"]
    key = json.loads((tmp_path / "out" / "repro.json").read_text())
    assert len(key["artifacts"]) == 5
    assert all((tmp_path / "out" / path).resolve().is_relative_to(tmp_path / "out") for path in key["artifacts"])


def test_a_failed_run_and_one_that_cannot_be_replayed_are_data(world: World, tmp_path: Path) -> None:
    done = formats.export(world.trains[1], world.failed, to=tmp_path / "out", format="dvc", home=world.home)
    assert [note for note in done.notes if world.trains[1] in note and "no stage" in note]
    out = tmp_path / "out"
    key = json.loads((out / "repro.json").read_text())
    # The first training is here because the second one went on from its model.
    assert {run["run_id"] for run in key["runs"].values()} == {*world.trains, world.data, world.failed}
    assert not any(run["replayable"] for run in key["runs"].values())
    assert all((out / f"{path}.dvc").is_file() for path in key["artifacts"])
    pipeline = read(out / "dvc.yaml")
    assert set(pipeline) == {"params", "metrics"} and not (out / "dvc.lock").exists()
    figures = json.loads((out / pipeline["metrics"][1]).read_text())
    assert figures["train/loss"] == 1.5
    stage = next(name for name, run in key["runs"].items() if run["run_id"] == world.trains[1])
    assert read(out / "params.yaml")[stage]["odd"] == "nan"


def test_what_dvc_would_pass_over_in_a_folder_is_refused(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    file = tmp_path / "file"
    file.write_text("x")
    for name, target in ((".dvcignore", None), ("sub/.git/config", None), ("sub/link", "nothing")):
        repository.claim(repository.put(home, [TreeFile(name, file, link_target=target)], "tree"), "files")
        with pytest.raises(InvalidValue, match="export it as a bundle"):
            formats.export("files", to=tmp_path / "out", format="dvc", home=home)
    assert not (tmp_path / "out").exists()


def test_what_dvc_does_not_keep_of_a_folder_is_said(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    (tmp_path / "files" / "empty").mkdir(parents=True)
    (tmp_path / "files" / "run.sh").write_text("true\n")
    (tmp_path / "files" / "run.sh").chmod(0o755)
    (tmp_path / "files" / "link").symlink_to("run.sh")
    repository.claim(repository.put(home, tmp_path / "files"), "files")
    done = formats.export("files", to=tmp_path / "out", format="dvc", home=home)
    assert done.notes == (
        "DVC does not keep 1 links and 1 empty folders and 1 executable bits of the folder data/files-v1",
    )
    dvc(tmp_path / "out", "checkout")
    assert _content(tmp_path / "out" / "data" / "files-v1") == {"link": b"true\n", "run.sh": b"true\n"}
    assert dvc(tmp_path / "out", "status") == CLEAN


def test_nothing_shows_of_what_cannot_be_exported(world: World, tmp_path: Path) -> None:
    mine = world.copied(tmp_path / "store")
    exported.start(mine)
    out = tmp_path / "out"

    def export(*names: str, **options: bool) -> None:
        formats.export(*names, to=out, format="dvc", home=mine.home, **options)

    with pytest.raises(InvalidValue, match="has not ended"):
        export(mine.running)
    with pytest.raises(InvalidValue, match="was deleted"):
        export(mine.deleted)
    with pytest.raises(UnknownName):
        export("nothing")
    with pytest.raises(InvalidValue, match="anonymize"):
        export(mine.trains[0], anonymize=True)
    (lost,) = mine.made["dataset-flowers"].manifest.objects()
    (mine.home.objects / lost.hex[:2] / lost.hex[2:]).unlink()
    with pytest.raises(MissingObject, match="dataset-flowers:v1"):
        export("dataset-flowers")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(ReusedElsewhere):
        formats.export("dataset-flowers", to=out, format="dvc", home=world.home)
    assert [path.name for path in out.iterdir()] == ["mine"]
