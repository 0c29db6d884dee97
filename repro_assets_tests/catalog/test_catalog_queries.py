from __future__ import annotations

import json
import os
import signal
import threading

import pytest

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import list_artifacts, show_artifact, show_run
from repro_assets.catalog.queries import best_runs, list_runs, query, resolve_run, rows
from repro_assets.errors import AmbiguousName, InvalidValue, UnknownName
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.segments import Journal
from repro_assets.store.home import make_store


@pytest.fixture(scope="module")
def shared(tmp_path_factory, new_recorder):
    """One store for all tests that only ask."""
    recorder = new_recorder(make_store(tmp_path_factory.mktemp("shared") / "store"))
    fill(recorder)
    yield recorder.home
    recorder.journal.close()


@pytest.fixture
def filled(home, recorder):
    fill(recorder)
    return home


def fill(recorder):
    recorder.run("aaaaaaaa-1", 0, points=5)
    recorder.run("aaaaaaaa-2", 1, points=10)
    recorder.run("bbbbbbbb-1", 2, end="FAILED", trial=True)
    recorder.journal.append(
        run_records.RunStarted("parent-1", "parent", "job"), run_records.RunEnded("parent-1", "COMPLETED")
    )


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a INTEGER)",
        "CREATE TEMP TABLE t (a INTEGER)",
        "CREATE TABLE memory.t (a INTEGER)",
        "INSERT INTO runs (run_id) VALUES ('x')",
        "DELETE FROM runs",
        "UPDATE runs SET state = 'COMPLETED'",
        "DROP TABLE runs",
        "ATTACH '{out}'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "COPY runs TO '{out}'",
        "COPY (SELECT 1) TO '{out}'",
        "EXPORT DATABASE '{out}'",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_json_auto('{secret}')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT 1; DELETE FROM runs",
        "EXPLAIN ANALYZE INSERT INTO runs (run_id) VALUES ('x')",
        "PRAGMA database_list; SELECT 1",
        "CALL force_checkpoint()",
        "SELECT * FROM a_variable_of_python",
        "SELEC 1",
        "SELECT nothing FROM runs",
        "",
        "-- nothing",
    ],
)
def test_sql_that_writes_or_leaves_the_catalog_is_refused(shared, tmp_path, sql):
    a_variable_of_python = query(shared, "SELECT 1 AS a")
    assert a_variable_of_python.num_rows == 1
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhidden\n")
    with pytest.raises(InvalidValue) as caught:
        rows(shared, sql.format(out=tmp_path / "out.db", secret=secret))
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert not (tmp_path / "out.db").exists()
    assert len(rows(shared, "FROM runs")) == 4


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "FROM runs",
        "SHOW TABLES",
        "DESCRIBE runs",
        "SUMMARIZE metrics",
        "WITH r AS (FROM runs) SELECT count(*) FROM r;",
        "EXPLAIN SELECT * FROM runs",
        "PIVOT metrics ON name USING last(value) GROUP BY run_id",
        "VALUES (1)",
    ],
)
def test_sql_that_reads_is_answered(shared, sql):
    assert rows(shared, sql)
    assert query(shared, sql).num_rows


def test_parameters_are_values_and_never_syntax(shared):
    assert rows(shared, "SELECT ? AS v", ["'; DROP TABLE runs"]) == [{"v": "'; DROP TABLE runs"}]
    assert rows(shared, "SELECT $v AS v", {"v": 3}) == [{"v": 3}]


def test_runs_are_listed_newest_first_and_by_condition(shared):
    assert [row["run_id"] for row in list_runs(shared)] == ["parent-1", "bbbbbbbb-1", "aaaaaaaa-2", "aaaaaaaa-1"]
    assert [row["run_id"] for row in list_runs(shared, "state = 'FAILED' -- why")] == ["bbbbbbbb-1"]
    assert [row["run_id"] for row in list_runs(shared, "metrics['loss'] < 0.15")] == ["bbbbbbbb-1", "aaaaaaaa-2"]
    assert len(list_runs(shared, limit=2)) == 2
    for condition in ("nonsense = 1", "1 = 1) UNION (SELECT 1", "true; DROP TABLE runs"):
        with pytest.raises(InvalidValue):
            list_runs(shared, condition)
    with pytest.raises(InvalidValue):
        list_runs(shared, limit=-1)


def test_the_best_run_ends_best_and_a_loss_is_to_be_small(filled, recorder):
    nan = Journal(filled.journal)
    nan.append(run_records.Metrics.of("aaaaaaaa-1", [["accuracy", 1, 0.5, 0.0]]))
    nan.append(run_records.Metrics.of("aaaaaaaa-2", [["accuracy", 1, 0.9, 0.0], ["accuracy", 2, float("nan"), 1.0]]))
    nan.close()
    assert [(row["run_id"], row["mode"]) for row in best_runs(filled, "loss")] == [
        ("aaaaaaaa-2", "min"),
        ("aaaaaaaa-1", "min"),
    ]
    assert [row["run_id"] for row in best_runs(filled, "loss", "max", 1)] == ["aaaaaaaa-1"]
    assert [row["run_id"] for row in best_runs(filled, "accuracy")] == ["aaaaaaaa-1"]
    assert rows(filled, "FROM best_run('loss', mode := 'min')")[0]["run_id"] == "aaaaaaaa-2"
    with pytest.raises(InvalidValue, match="MIN is no mode: max or min"):
        rows(filled, "FROM best_run('loss', mode := 'MIN')")
    journal = Journal(filled.journal)
    journal.append(run_records.RunDeleted("aaaaaaaa-2"))
    journal.close()
    assert rows(filled, "FROM best_run('loss', mode := 'min')")[0]["run_id"] != "aaaaaaaa-2"
    assert show_run(filled, "aaaaaaaa-2")["deleted_at"] is not None
    with pytest.raises(UnknownName, match="accuracy"):
        best_runs(filled, "acuracy")
    with pytest.raises(InvalidValue):
        best_runs(filled, "loss", "most")


def test_the_best_of_many_runs_are_those_of_few(filled, recorder, monkeypatch):
    values = {"best": 0.9, "next": 0.25} | {f"tied-{9 - number}": 0.1 for number in range(4)}
    failed = {f"failed-{number}": 1.0 for number in range(9)}
    for run, value in (failed | values).items():
        recorder.journal.append(
            run_records.RunStarted(run, "script", run),
            run_records.Metrics.of(run, [["score", 0, value, 0.0]]),
            run_records.RunEnded(run, "FAILED" if run in failed else "COMPLETED"),
        )
    limits = (0, 1, 2, 3, 4, 5, 10, None)
    asked = [(mode, limit) for mode in ("max", "min") for limit in limits]
    # Without a limit every run is looked at.
    all_looked_at = [best_runs(filled, "score", mode, None)[:limit] for mode, limit in asked]
    assert [row["run_id"] for row in all_looked_at[4]] == ["best", "next", "tied-9", "tied-8"]
    for spare in (0, 1, 100):
        monkeypatch.setattr(queries, "_SPARE", spare)
        assert [best_runs(filled, "score", mode, limit) for mode, limit in asked] == all_looked_at


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("aaaaaaaa-1", "aaaaaaaa-1"),
        ("bbbbbbbb", "bbbbbbbb-1"),
        ("sft-1", "aaaaaaaa-2"),
        ("last", "bbbbbbbb-1"),
        ("last~0", "bbbbbbbb-1"),
        ("last~2", "aaaaaaaa-1"),
        ("parent-1", "parent-1"),
    ],
)
def test_a_run_is_found_by_id_prefix_name_and_age(shared, text, run):
    assert resolve_run(shared, text) == run


def test_a_run_that_is_not_there_or_not_clear_is_an_error_with_help(filled, recorder):
    with pytest.raises(AmbiguousName, match="aaaaaaaa-2, aaaaaaaa-1"):
        resolve_run(filled, "aaaaaaaa")
    for text in ("bbbb", "last~3", "last~x", "", "%"):
        with pytest.raises(UnknownName):
            resolve_run(filled, text)
    with pytest.raises(UnknownName, match="aaaaaaaa-1"):
        resolve_run(filled, "aaaaaaa-1")
    recorder.journal.append(run_records.RunStarted("cccccccc-0", "asset", "sft-1", replay_of="aaaaaaaa-2"))
    assert resolve_run(filled, "sft-1") == "aaaaaaaa-2", "the name is its own, and not of its replay"
    recorder.journal.append(run_records.RunStarted("cccccccc-1", "asset", "sft-1"))
    with pytest.raises(AmbiguousName, match="cccccccc-1, aaaaaaaa-2"):
        resolve_run(filled, "sft-1")


def test_the_whole_record_of_a_run(filled, recorder):
    recorder.journal.append(
        run_records.RunEnded("aaaaaaaa-1", "FAILED", {"type": "ValueError", "message": "no", "trace": "t"}),
        run_records.ReplayMade("aaaaaaaa-1", None, "identical", products=[{"name": "result", "verdict": "identical"}]),
    )
    record = show_run(filled, "aaaaaaaa-1")
    json.dumps(record, default=str)
    assert record["config"] == {"lr": 0.1, "note": "ü"}
    assert record["params"] == {"layers": 2, "lr": 0.1}
    assert record["seeds"] == {"root": 0, "shuffle": 1}
    assert record["used_packages"] == {"numpy": "2.1.0", "torch": "2.13.0"}
    assert record["error"] == {"type": "ValueError", "message": "no", "trace": "t"}
    (loss,) = record["metrics"]
    assert (loss["value"], loss["smallest"], loss["step_of_smallest"], loss["greatest"]) == (0.2, 0.2, 4, 1.0)
    assert [(item["slot"], item["asset"]) for item in record["inputs"]] == [("traces", "dataset")]
    assert [item["name"] for item in record["outputs"]] == ["model-aaaaaaaa-1"]
    assert record["environment_summary"]["cpu"] == "A processor"
    assert record["environment_summary"]["packages"] == 2
    assert record["source_facts"]["commit"] == "c0ffee"
    assert record["replays"][0]["products"] == [{"name": "result", "verdict": "identical"}]
    assert record["command"] is None
    assert "--select sft --seed 0" in record["fresh_command"]
    assert "--set lr=0.1" in record["fresh_command"]
    assert show_run(filled, "aaaaaaaa-2")["error"] is None


def test_artifacts_are_listed_and_shown_by_every_kind_of_name(filled, recorder):
    digest = show_artifact(filled, "model-sft:v1")["digest"]
    recorder.journal.append(artifact_records.AliasMoved("model-sft", "best", 1, digest))
    found = {row["name"] for row in list_artifacts(filled, "model")}
    assert found == {"model-sft:v1", "model-sft:v2", "model-sft:v3"}
    assert {row["kind"] for row in list_artifacts(filled)} == {"json"}
    assert len(list_artifacts(filled)) > len(found)
    assert len(list_artifacts(filled, "checkpoint")) == 3
    assert list_artifacts(filled, "nothing") == []
    shown = show_artifact(filled, digest)
    assert shown["name"] == "model-aaaaaaaa-1"
    assert shown["aliases"] == [{"collection": "model-sft", "alias": "best", "version": 1}]
    assert {row["run_id"] for row in shown["made_by"]} == {"aaaaaaaa-1"}
    assert [entry["size"] for entry in shown["entries"]] == [shown["size"]]


def test_differences_between_runs_environments_and_artifacts(filled, recorder):
    from repro_assets.artifacts import repository

    other = repository.put(
        filled, {"python": {"version": "3.12.0"}, "packages": [{"name": "numpy", "version": "2.2.0"}]}
    )
    recorder.run("dddddddd-1", 0, environment=str(other.digest), config={"lr": 0.2})
    differing = {
        (row["part"], row["name"]): (row["value_a"], row["value_b"])
        for row in rows(filled, "FROM compare_runs('aaaaaaaa-1', 'dddddddd-1')")
    }
    assert differing["config", "lr"] == ("0.1", "0.2")
    assert differing["package", "numpy"] == ("2.1.0", "2.2.0")
    assert ("run", "seed") not in differing
    changes = {row["name"]: row["change"] for row in rows(filled, "FROM environment_diff('aaaaaaaa-1', 'dddddddd-1')")}
    assert (changes["numpy"], changes["repro-assets"], changes["cpu"]) == ("changed", "removed", "removed")
    assert rows(filled, "FROM environment_diff('aaaaaaaa-1', 'aaaaaaaa-2')") == []
    trees = []
    for name, content in (("one", b"1"), ("two", b"2")):
        folder = filled.root.parent / name
        folder.mkdir()
        (folder / "kept.txt").write_bytes(b"same")
        (folder / "moved.txt").write_bytes(content)
        (folder / f"{name}.txt").write_bytes(b"x")
        trees.append(str(repository.put(filled, folder).digest))
    found = rows(filled, "SELECT name, change FROM manifest_diff(?, ?)", trees)
    assert found == [
        {"name": "moved.txt", "change": "changed"},
        {"name": "one.txt", "change": "removed"},
        {"name": "two.txt", "change": "added"},
    ]


@pytest.mark.parametrize("macro", ["compare_runs", "environment_diff", "manifest_diff"])
def test_what_is_unknown_or_fits_several_is_an_error_and_not_equal(shared, macro):
    table = "artifacts" if macro == "manifest_diff" else "runs"
    column = "digest" if macro == "manifest_diff" else "run_id"
    (known, *_) = [row["id"] for row in rows(shared, f"SELECT {column} AS id FROM {table} ORDER BY 1")]
    for wrong in ("eeeeeeee", known[:7], "last", ""):
        for pair in ([wrong, known], [known, wrong], [wrong, wrong]):
            with pytest.raises(InvalidValue, match="there is no"):
                rows(shared, f"FROM {macro}(?, ?)", pair)


def test_the_beginning_of_an_id_names_it(filled, recorder):
    recorder.run("eeeeeeee-1", 7, config={"lr": 0.5})
    for macro in ("compare_runs", "environment_diff"):
        whole = rows(filled, f"FROM {macro}('aaaaaaaa-1', 'eeeeeeee-1')")
        assert rows(filled, f"FROM {macro}('aaaaaaaa-1', 'eeeeeeee')") == whole
        assert bool(whole) == (macro == "compare_runs")
    with pytest.raises(InvalidValue, match="begin so"):
        rows(filled, "FROM compare_runs('aaaaaaaa', 'eeeeeeee')")
    one, other = [row["digest"] for row in rows(filled, "SELECT digest FROM artifacts ORDER BY digest LIMIT 2")]
    whole = rows(filled, "FROM manifest_diff(?, ?)", [one, other])
    assert whole
    assert rows(filled, "FROM manifest_diff(?, ?)", [one[:20], other.removeprefix("sha256:")[:12]]) == whole


def test_one_query_answers_what_made_a_model(shared):
    (row,) = rows(shared, "SELECT * FROM provenance WHERE model = 'model-aaaaaaaa-2'")
    assert (row["commit"], row["hardware"], row["seed"], row["dirty"]) == ("c0ffee", "A processor", 1, False)
    assert (row["input_slot"], row["model_version"]) == ("traces", "model-sft:v2")
    assert list(row)[:5] == ["model", "input", "commit", "hardware", "seed"]


def test_a_replay_made_no_model_of_its_own(home, recorder):
    recorder.run("aaaaaaaa-1")
    recorder.run("aaaaaaaa-2", replay_of="aaaaaaaa-1")
    assert [row["run_id"] for row in rows(home, "SELECT run_id FROM provenance")] == ["aaaaaaaa-1"]


def test_modules_load_no_heavy_library():
    import subprocess
    import sys
    from pathlib import Path

    code = "import sys; import repro_assets.catalog.projection, repro_assets.catalog.queries; "
    code += (
        "import repro_assets.catalog.descriptions, repro_assets.lineage.validation, repro_assets.lineage.rendering; "
    )
    code += "print([n for n in ('duckdb', 'pyarrow', 'pandas', 'torch', 'numpy', 'networkx') if n in sys.modules])"
    folder = Path(queries.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_query_that_is_interrupted_is_an_interruption_and_the_next_one_is_answered(shared):
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        rows(shared, "SELECT count(*) AS n FROM range(100000000000) a, range(100) b")
    assert rows(shared, "SELECT 1 AS one") == [{"one": 1}]
