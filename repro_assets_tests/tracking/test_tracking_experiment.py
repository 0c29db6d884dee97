"""An experiment begins, logs, keeps and ends as a run, whatever ends it."""

from __future__ import annotations

import threading

import numpy
import pytest

from repro_assets import Experiment
from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.errors import InvalidInput, InvalidValue, UnknownName

QUICK = {"capture_source": False, "capture_environment": False, "monitor": None}


def quick(name: str = "fit", **options: object) -> Experiment:
    return Experiment(name, **{**QUICK, **options})  # type: ignore[arg-type]


def test_a_run_holds_what_it_was_given(project, runs):
    with Experiment("fit", project="p", tags=["a"], notes="first try", config={"lr": 0.1}, seed=7) as run:
        run.log_metric("loss", 0.5, 0)
        run.log_metrics({"loss": 0.25, "accuracy": 0.9}, 1)
        run.log_param("depth", 3)
        run.log_artifact({"w": [1, 2]}, "weights")
        run.checkpoint({"step": 1}, step=1, metrics={"loss": 0.25})
    (row,) = runs()
    assert (row["name"], row["run_kind"], row["state"], row["seed"], row["experiment"]) == (
        "fit", "script", "COMPLETED", 7, "p",
    )  # fmt: skip
    assert (row["config"], row["tags"]) == ({"lr": 0.1}, ["a"])
    assert row["source"] is not None and row["environment"] is not None
    assert queries.rows(project, "SELECT text FROM notes")[0]["text"] == "first try"
    points = queries.rows(project, "SELECT name, step, value FROM metrics ORDER BY step, name")
    assert [tuple(point.values()) for point in points] == [("loss", 0, 0.5), ("accuracy", 1, 0.9), ("loss", 1, 0.25)]
    assert repository.by_name(project, "weights:v1").load() == {"w": [1, 2]}
    assert row["plan"]["format"] == 1
    assert run.document()["metrics"] == {"loss": 0.25, "accuracy": 0.9}


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("bad"), "FAILED"),
        (KeyboardInterrupt(), "INTERRUPTED"),
        (GeneratorExit(), "INTERRUPTED"),
        (SystemExit(), "COMPLETED"),
        (SystemExit(0), "COMPLETED"),
        (SystemExit(3), "FAILED"),
    ],
)
def test_the_way_of_leaving_is_the_state(project, runs, error, state):
    told = []
    experiment = quick()
    experiment.on_end(lambda state, reason: told.append((state, reason)))
    with pytest.raises(type(error)), experiment:
        raise error
    (row,) = runs()
    assert row["state"] == state == told[0][0]
    if state == "FAILED":
        assert row["error_message"] == str(error) == told[0][1]


def test_a_cancelled_task_is_interrupted(project, runs):
    import asyncio

    async def work() -> None:
        with quick():
            await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert [row["state"] for row in runs()] == ["INTERRUPTED"]


def test_the_end_is_told_last_given_first_and_a_second_end_changes_nothing(project, runs):
    told = []
    experiment = quick().start()
    experiment.on_end(lambda *_: told.append(1))
    experiment.on_end(lambda *_: told.append(2))
    experiment.finish("FAILED", "diverged")
    experiment.finish()
    assert told == [2, 1]
    (row,) = runs()
    assert (row["state"], row["error_message"]) == ("FAILED", "diverged")
    with pytest.raises(InvalidValue, match="has ended"):
        experiment.log_metric("loss", 1.0)
    with pytest.raises(InvalidValue, match="no state of an end"):
        experiment.finish("DONE")


def test_what_has_not_begun_says_so(project):
    experiment = quick()
    for use in (
        lambda: experiment.log_metric("loss", 1.0),
        lambda: experiment.run_id,
        lambda: experiment.log_artifact(1, "one"),
        experiment.finish,
    ):
        with pytest.raises(InvalidValue, match="'fit' has not begun"):
            use()
    with experiment, pytest.raises(InvalidValue, match="has begun already"):
        experiment.start()
    with pytest.raises(InvalidValue, match="no experiment is open here"):
        Experiment.current()


def test_nested_ones_are_children_and_the_current_one_is_the_innermost(project, runs):
    with quick("outer") as outer:
        with quick("inner") as inner:
            assert Experiment.current() is inner
        assert Experiment.current() is outer
    parents = {row["name"]: row["parent_run_id"] for row in runs()}
    assert parents == {"outer": None, "inner": outer.run_id}


def test_threads_do_not_mix_theirs_up(project, runs):
    ready = threading.Barrier(4)

    def work(number: int) -> None:
        with quick(f"thread-{number}") as run:
            ready.wait()
            assert Experiment.current() is run
            run.log_metric("number", float(number), 0)
            ready.wait()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = queries.rows(project, "SELECT r.name, m.value FROM metrics m JOIN runs r USING (run_id) ORDER BY 1")
    assert [(row["name"], row["value"]) for row in found] == [(f"thread-{n}", n) for n in range(4)]
    assert {row["parent_run_id"] for row in runs()} == {None}


def test_inputs_are_recorded_before_they_are_read(project):
    (project.root.parent / "data.csv").write_text("a,b\n1,2\n")
    with quick("first") as first:
        made = first.log_artifact(numpy.arange(3.0), "numbers")
    with quick("second") as second:
        path = second.use_path("data.csv")
        assert path.read_text() == "a,b\n1,2\n"
        assert second.use_value({"q": [1]}, "answer") == {"q": [1]}
        handle = second.use_artifact("numbers:v1")
        assert handle == made
        second.use_artifact("numbers")
        second.track_dataset([1, 2, 3], "small")
        second.log_artifact("data.csv", "copy", parents=["numbers"])
    rows = queries.rows(
        project, "SELECT slot, digest, made_by FROM run_inputs WHERE run_id = ? ORDER BY slot", [second.run_id]
    )
    assert [row["slot"] for row in rows] == ["answer", "data.csv", "dataset-small", "numbers"]
    assert rows[-1]["made_by"] == first.run_id
    assert repository.by_name(project, "raw-data.csv:v1").load() == b"a,b\n1,2\n"
    assert repository.by_name(project, "dataset-small:v1").load() == [1, 2, 3]


def test_bad_names_paths_and_values_are_refused(project):
    with quick() as run:
        with pytest.raises(InvalidInput, match=r"nowhere\.csv is not there"):
            run.use_path("nowhere.csv")
        with pytest.raises(UnknownName, match="no artifact named 'nothing'"):
            run.use_artifact("nothing")
        with pytest.raises(InvalidValue, match="is not something that can be stored"):
            run.log_artifact(object(), "thing")
        with pytest.raises(InvalidValue, match="cannot name a collection"):
            run.log_artifact(1, "a/b")
        with pytest.raises(InvalidValue, match="holds the store"):
            run.log_artifact(project.root.parent, "everything")
        with pytest.raises(InvalidInput, match="a text is kept by log_text"):
            run.log_artifact("some words", "words")
        with pytest.raises(InvalidValue, match="cannot be 'much'"):
            run.log_metric("loss", "much")  # type: ignore[arg-type]
    for wrong in ({"seed": -1}, {"capture_level": "all"}, {"config": 3}):
        with pytest.raises(InvalidValue):
            quick(**wrong)


def test_a_credential_in_a_configuration_is_not_recorded(project, runs):
    with quick(config={"db": {"password": "hunter2hunter2"}}, notes="password=hunter2hunter2") as run:
        run.log_param("api_key", "abcdefgh12345678")
    text = b"".join(path.read_bytes() for path in project.journal.glob("*.jsonl"))
    assert b"hunter2hunter2" not in text and b"abcdefgh12345678" not in text
    assert "redacted" in str(runs()[0]["config"])


def test_the_random_state_is_the_seeds_within_and_as_before_after(project):
    numpy.random.seed(1)
    expected = numpy.random.random(2)
    numpy.random.seed(1)
    assert numpy.random.random() == expected[0]
    drawn = []
    for _ in range(2):
        with quick(seed=3):
            drawn.append(numpy.random.random())
    assert drawn[0] == drawn[1] != expected[1]
    assert numpy.random.random() == expected[1]


def test_what_belongs_to_a_run_is_kept_as_files(project, tmp_path):
    import matplotlib
    import pandas

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    with quick() as run:
        kept = {
            "text": run.log_text("words", "note", step=2),
            "table": run.log_table([{"a": 1}, {"a": 2, "b": "x"}], "rows"),
            "frame": run.log_table(pandas.DataFrame({"a": [1]}), "frame"),
            "figure": run.log_figure(figure, "curve"),
            "image": run.log_image(numpy.zeros((2, 3, 3)), "black"),
        }
        again = run.log_figure(figure, "again")
        with pytest.raises(InvalidValue, match=r"cannot have the shape \(2,\)"):
            run.log_image(numpy.zeros(2), "flat")
        with pytest.raises(InvalidValue, match="out of range"):
            run.log_image(numpy.full((2, 2), numpy.nan), "nan")
        with pytest.raises(InvalidValue, match="is no figure"):
            run.log_figure(3, "three")
        with pytest.raises(InvalidValue, match="no table"):
            run.log_table({"a": [1], "b": [1, 2]}, "uneven")
    pyplot.close(figure)
    assert again.digest == kept["figure"].digest
    assert kept["figure"].load().startswith(b"\x89PNG") and kept["image"].load().startswith(b"\x89PNG")
    assert kept["text"].load() == b"words"
    rows = kept["table"].load()
    assert rows["a"].tolist() == [1, 2] and rows["b"].isna().tolist() == [True, False] and rows["b"][1] == "x"
    names = {row["name"] for row in queries.rows(project, "SELECT name FROM run_outputs")}
    assert f"{run.run_id}/note.txt@2" in names


def test_a_run_is_written_as_json_and_yaml(project, tmp_path):
    import json

    import yaml

    with quick(config={"lr": 0.1}) as run:
        run.log_metric("loss", float("nan"), 0)
    found = json.loads(run.write(tmp_path / "run.json").read_text())
    assert yaml.safe_load(run.write(tmp_path / "run.yaml").read_text()) == found
    assert (found["state"], found["config"], found["metrics"]) == ("COMPLETED", {"lr": 0.1}, {"loss": "NaN"})
    with pytest.raises(InvalidValue, match="neither JSON nor YAML"):
        run.write(tmp_path / "run.txt")
    with pytest.raises(InvalidValue, match="belongs to the store"):
        run.write(project.root / "journal" / "run.json")
    assert run.run_id in run._repr_html_()


def test_a_mirror_is_told_what_the_run_records(project, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place = tmp_path / "events"
    with quick(mirrors=f"tensorboard:{place}", config={"lr": 0.1}) as run:
        for step in range(50):
            run.log_metric("loss", 1 / (step + 1), step)
        run.log_text("words", "note")
    (folder,) = {path.parent for path in place.rglob("*tfevents*")}
    told = EventAccumulator(str(folder))
    told.Reload()
    assert [(point.step, point.value) for point in told.Scalars("loss")] == [
        (step, numpy.float32(1 / (step + 1))) for step in range(50)
    ]


def test_a_mirror_that_is_away_is_an_event_and_no_error(project, runs):
    from repro_assets.tracking.mirrored import MirrorWarning

    with pytest.warns(MirrorWarning, match="mirror mlflow"), quick(mirrors=["mlflow:http://127.0.0.1:9"]) as run:
        run.log_metric("loss", 1.0, 0)
    assert runs()[0]["state"] == "COMPLETED"
    said = queries.rows(project, "SELECT details FROM events WHERE event = 'mirror'")
    (row,) = runs()
    assert any("lacks" in line for line in row["warnings"])
    assert "1 of 1 points" in str(said)


def test_mirrors_are_refused_before_anything_begins(project, runs, monkeypatch):
    for wrong in ({"mirrors": "comet"}, {"mirrors": "wandb:online", "offline": True}):
        with pytest.raises(InvalidValue):
            quick(**wrong)
    monkeypatch.setenv("REPRO_OFFLINE", "1")
    with pytest.raises(InvalidValue, match="needs a network"):
        quick(mirrors=["mlflow:http://127.0.0.1:9"])
    assert runs() == []
