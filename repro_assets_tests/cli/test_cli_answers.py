from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from repro_assets.artifacts import names
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.repository import by_digest, put
from repro_assets.cli.answering import exit_code_of
from repro_assets.cli.rendering import plain
from repro_assets.errors import DiskFull, RequestError
from repro_assets.identity.digest import Digest
from repro_assets.store.leases import lease_on
from repro_assets.store.opening import open_objects


def test_no_command_loads_a_heavy_library_before_it_is_called():
    program = (
        "import sys; from repro_assets.cli.app import program; program(); "
        "print([m for m in ('torch', 'dagster', 'pandas', 'pyarrow', 'duckdb', 'numpy', 'rich') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_command_loads_no_other_one():
    asked = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from repro_assets.cli.app import main; code = main(sys.argv[1:]); "
            "print([m for m in sys.modules if m.startswith('repro_assets.cli.')], code)",
            *("artifacts", "--help"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = asked.stdout.splitlines()[-1]
    assert "repro_assets.cli.artifacts" in loaded
    assert not any(f"cli.{other}'" in loaded for other in ("runs", "store", "doctor", "manifest"))


def test_putting_a_file_loads_no_heavy_library(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    program = (
        "import sys; from repro_assets.cli.app import main; code = main(sys.argv[1:]); "
        "print([m for m in ('torch', 'dagster', 'pandas', 'pyarrow', 'duckdb') if m in sys.modules], code)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, "artifacts", "put", str(tmp_path / "file"), "--name", "a"],
        env={**os.environ, "REPRO_HOME": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("words", [["init"], ["runs", "list"], ["store", "fsck"], ["lineage", "validate"]])
def test_every_command_answers_with_one_json_document(repro, home, words):
    said = repro(*words, "--json")
    assert said.code == 0
    assert said.out.count("\n") == 1
    json.loads(said.out)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["runs", "show", "aaaaaaa"], "aaaaaaaa11111111"),
        (["runs", "show", "964"], "8 digits or more"),
        (["run", "--select", "models/sft", "--input", "cota_sft=nosuch"], "'nosuch'"),
        (["runs", "show", "small-seed4"], "small-seed3"),
        (["runs", "best", "lost"], "loss"),
        (["artifacts", "show", "small"], "model-small"),
        (["artifacts", "show", "model-small:v9"], "v2"),
        (["artifacts", "get", "nothing", "--to", "x"], "artifacts list"),
        (["lineage", "show", "nothing"], "runs list"),
        (["lineage", "export", "--format", "svg"], "mermaid"),
        (["replay", "small-seed4"], "small-seed3"),
        (["replay", "cccccccc"], "COMPLETED"),
        (["sql", "SELECT nothing"], "nothing"),
        (["sql", "DROP TABLE runs"], "SELECT"),
        (["sql", "SELECT 1 AS a, 2 AS a"], "AS"),
        (["runs", "list", "--where", "sed = 1"], "seed"),
        (["runs", "list", "--limt", "1"], "--limit"),
        (["runs", "best", "loss", "--mode", "most"], "max"),
        (["runs"], "--help"),
        (["nothing"], "--help"),
        (["ui", "--port", "0"], "--help"),
        (["artifacts", "put", "nothing.csv", "--name", "a"], "path"),
        (["run", "--config", "nothing.yaml"], "path"),
    ],
)
def test_a_wrong_request_is_2_and_one_line_that_helps(repro, home, words, near):
    said = repro(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert near in said.err
    assert "Traceback" not in said.err


def test_without_a_store_the_remedy_is_to_make_one(repro, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = repro("runs", "list")
    assert said.code == 2
    assert "repro init" in said.err
    assert repro("init", tmp_path / "data").code == 0
    assert repro("runs", "list", "--json").document == []


def test_a_store_that_is_made_on_the_way_is_named(repro, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "s"))
    (tmp_path / "file").write_bytes(b"a")
    assert f"made a store in {tmp_path / 's'}" in repro("artifacts", "put", tmp_path / "file", "--name", "a").err
    assert repro("artifacts", "put", tmp_path / "file", "--name", "b").err == ""


def test_a_folder_without_a_project_is_left_as_it_is(repro, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_HOME", raising=False)
    for words in (["run", "--select", "data/digits"], ["ui", "--port", 3999]):
        said = repro(*words)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "is no project" in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["runs", "list"], ["store", "stats"], ["artifacts", "put", "x", "--name", "x"]])
def test_a_store_cannot_be_a_file(repro, tmp_path, monkeypatch, words):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "file"))
    for said in (repro(*words), repro("init", tmp_path / "file")):
        assert said.code == 2
        assert "is a file, not a folder" in said.err


def test_init_twice_changes_nothing(repro, tmp_path):
    first = repro("init", tmp_path / "s", "--json")
    marker = Path(first.document["marker"])
    before = marker.read_bytes()
    assert repro("init", tmp_path / "s", "--json").document == first.document
    assert marker.read_bytes() == before


def test_runs_are_listed_newest_first_and_chosen_by_sql(repro, home):
    rows = repro("runs", "list", "--json").document
    assert [row["run_id"][:8] for row in rows] == ["cccccccc", "bbbbbbbb", "aaaaaaaa"]
    assert rows[0]["state"] == "FAILED"
    assert datetime.fromisoformat(rows[0]["started_at"]).utcoffset() == timedelta(0)
    chosen = repro("runs", "list", "--where", "seed = 2", "--json").document
    assert [row["seed"] for row in chosen] == [2]
    assert len(repro("runs", "list", "--limit", 1, "--json").document) == 1


def test_a_run_shows_its_whole_record_and_its_command(repro, home):
    record = repro("runs", "show", "last", "--json").document
    assert record["run_id"] == "cccccccc33333333"
    assert record["error"]["message"] == "the loss became NaN"
    assert record["command"] == "repro replay cccccccc33333333"
    assert [item["slot"] for item in record["inputs"]] == ["given"]
    (loss,) = record["metrics"]
    assert loss["value"] == "NaN"
    shown = repro("runs", "show", "last~1")
    assert "model-bbbbbbbb22222222" in shown.out


def test_the_best_run_has_the_smallest_loss(repro, home):
    rows = repro("runs", "best", "loss", "--json").document
    assert [(row["run_id"][:8], row["value"]) for row in rows] == [("bbbbbbbb", 0.125), ("aaaaaaaa", 0.25)]
    assert repro("runs", "best", "loss", "--mode", "max", "--limit", 1, "--json").document[0]["value"] == 0.25


def test_durations_are_shown_to_a_tenth_of_a_second(repro, home):
    exact = {row["run_id"]: row["seconds"] for row in repro("runs", "list", "--json").document}
    header, _, *lines = repro("runs", "list").out.splitlines()
    assert header.split()[-1] == "seconds"
    assert [float(line.split()[-1]) for line in lines] == [round(value, 1) for value in exact.values()]


def test_an_asset_stands_for_its_newest_completed_run_of_its_own(home):
    from repro_assets.catalog.makers import resolve_maker
    from repro_assets.errors import AmbiguousName, UnknownName

    def materialized(run_id: str, asset: str, **started: object) -> None:
        run = begin(home, RunStarted(run_id, "asset", run_id, asset=asset, **started))
        run.log_output("result", {"made by": run_id}, name=f"product-{run_id}", asset=asset)
        run.end(str(started.pop("state", "COMPLETED")))

    from repro_assets.journal.run_records import RunStarted
    from repro_assets.recording.run import begin

    materialized("run-1", "models/tiny")
    materialized("run-2", "models/tiny")
    materialized("run-3", "models/tiny", trial=True)
    materialized("run-4", "models/tiny", replay_of="run-1")
    assert resolve_maker(home, "models/tiny") == resolve_maker(home, "tiny") == "run-2"
    materialized("run-5", "other/tiny")
    assert resolve_maker(home, "other/tiny") == "run-5"
    with pytest.raises(AmbiguousName, match="models/tiny, other/tiny"):
        resolve_maker(home, "tiny")
    materialized("run-6", "models/only", trial=True)
    with pytest.raises(UnknownName, match="models/only"):
        resolve_maker(home, "models/only")


def test_sql_answers_alike_in_every_format(repro, home, tmp_path):
    import pandas

    query = "SELECT run_id, seed, params, started_at FROM runs_wide ORDER BY seed"
    rows = repro("sql", query, "--json").document
    assert [row["seed"] for row in rows] == [1, 2, 3]
    table = list(csv.DictReader(io.StringIO(repro("sql", query, "--format", "csv").out)))
    assert [row["run_id"] for row in table] == [row["run_id"] for row in rows]
    assert [row["started_at"] for row in table] == [row["started_at"] for row in rows]
    target = tmp_path / "rows.parquet"
    assert repro("sql", query, "--format", "parquet", "--output", target).code == 0
    assert pandas.read_parquet(target)["seed"].tolist() == [1, 2, 3]
    shown = repro("sql", query)
    assert all(row["run_id"] in shown.out for row in rows)
    assert "\x1b" not in shown.out


def test_json_has_what_json_cannot_hold():
    moment = datetime(2026, 1, 2, 3, 4, 5, 6)
    held = {
        "nan": float("nan"), "inf": [float("inf"), -float("inf")], "time": moment, "aware": moment.replace(tzinfo=UTC),
        "sum": Decimal(7), "part": Decimal("1.5"), "bytes": b"\xff", 3: {"a"},
    }  # fmt: skip
    assert json.loads(json.dumps(plain(held), allow_nan=False)) == {
        "nan": "NaN", "inf": ["Infinity", "-Infinity"], "time": "2026-01-02T03:04:05.000006+00:00",
        "aware": "2026-01-02T03:04:05.000006+00:00", "sum": 7, "part": 1.5, "bytes": "ff", "3": ["a"],
    }  # fmt: skip


def test_markup_in_a_name_is_shown_as_it_is(repro, home, tmp_path):
    shown = repro("sql", "SELECT '[bold]x[/bold] [/]' AS name, chr(27) || '[31mred' AS red")
    assert shown.code == 0
    assert "[bold]x[/bold] [/]" in shown.out
    assert "\x1b" not in shown.out


def test_the_same_content_is_the_same_version(repro, home, tmp_path):
    folder = tmp_path / "given"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    first = repro("artifacts", "put", folder, "--name", "given", "--json").document
    again = repro("artifacts", "put", folder, "--name", "given", "--json").document
    assert (first["version"], first["reused"], first["kind"]) == (1, False, "tree")
    assert again == {**first, "reused": True}
    (folder / "sub" / "a.txt").write_text("b")
    changed = repro("artifacts", "put", folder, "--name", "given", "--json").document
    assert (changed["version"], changed["reused"]) == (2, False)
    assert changed["digest"] != first["digest"]


def test_a_file_is_taken_in_as_what_it_is_said_to_be(repro, home, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,x\n2,y\n")
    assert repro("artifacts", "put", table, "--name", "raw", "--json").document["kind"] == "bytes"
    assert repro("artifacts", "put", table, "--name", "rows", "--type", "table", "--json").document["kind"] == "table"
    refused = repro("artifacts", "put", table, "--name", "value", "--type", "json")
    assert (refused.code, names.versions(home, "value")) == (2, [])
    assert str(table) in refused.err
    assert repro("artifacts", "put", table, "--name", "t", "--type", "tree").code == 2
    assert repro("artifacts", "put", table, "--name", "a/b").code == 2


def test_what_was_put_is_got_back_and_nothing_else_is_overwritten(repro, home, tmp_path):
    folder = tmp_path / "given"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("a")
    put = repro("artifacts", "put", folder, "--name", "given", "--json").document
    target = tmp_path / "got" / "here"
    got = repro("artifacts", "get", "given", "--to", target, "--json").document
    assert (got["digest"], got["files"], got["bytes"], got["changed"]) == (put["digest"], 1, 1, True)
    assert repro("artifacts", "get", "given", "--to", target, "--json").document["changed"] is False
    (target / "mine.txt").write_text("mine")
    refused = repro("artifacts", "get", "given", "--to", target)
    assert (refused.code, refused.out) == (2, "")
    assert "--force" in refused.err
    assert (target / "mine.txt").read_text() == "mine"
    kept = repro("artifacts", "get", "given", "--to", target, "--force")
    assert kept.code == 2
    assert "such as mine.txt" in kept.err
    (target / "mine.txt").unlink()
    (target / "sub" / "a.txt").write_text("changed")
    assert repro("artifacts", "get", "given", "--to", target, "--force").code == 0
    assert (target / "sub" / "a.txt").read_text() == "a"
    assert sorted(path.name for path in target.rglob("*")) == ["a.txt", "sub"]
    assert [path.name for path in target.parent.iterdir()] == ["here"]
    assert repro("artifacts", "get", "given", "--to", home.journal / "x").code == 2


@pytest.mark.parametrize("text", ["given", "given:v1", "given@latest", "{digest}"])
def test_what_the_folders_answer_is_got_without_a_catalog(repro, tmp_path, monkeypatch, text):
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "bare"))
    (tmp_path / "given").write_text("content")
    stored = repro("artifacts", "put", tmp_path / "given", "--name", "given", "--json").document
    got = repro("artifacts", "get", text.format(**stored), "--to", tmp_path / "got")
    assert got.code == 0, got.err
    assert (tmp_path / "got").read_text() == "content"
    assert not (tmp_path / "bare/catalog.duckdb").exists()


def test_nothing_is_laid_out_of_a_damaged_artifact(repro, home, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a.txt").write_text("a" * 100)
    (folder / "b.txt").write_text("b" * 100)
    digest = repro("artifacts", "put", folder, "--name", "given", "--json").document["digest"]
    objects = open_objects(home, DECODERS)
    path = objects.path(list(by_digest(home, Digest.parse(digest)).manifest.objects())[1])
    path.write_bytes(b"c" + path.read_bytes()[1:])
    target = tmp_path / "got"
    refused = repro("artifacts", "get", "given", "--to", target)
    assert refused.code == 1
    assert "given:v1" in refused.err
    assert [item.name for item in tmp_path.iterdir() if "got" in item.name] == []


def test_artifacts_are_listed_and_shown(repro, home):
    rows = repro("artifacts", "list", "--type", "model", "--json").document
    assert [row["name"] for row in rows] == ["model-small:v2", "model-small:v1"]
    record = repro("artifacts", "show", "model-small", "--json").document
    assert [item["version"] for item in record["versions"]] == [2]
    assert record["made_by"][0]["run_id"] == "bbbbbbbb22222222"
    assert record["digest"] == repro("artifacts", "show", record["digest"][7:19], "--json").document["digest"]


def test_long_facts_are_cut_for_a_person_and_whole_for_a_program(repro, home, tmp_path):
    table = tmp_path / "wide.csv"
    table.write_text(",".join(f"column_{number}" for number in range(60)) + "\n" + ",".join("1" * 60) + "\n")
    assert repro("artifacts", "put", table, "--name", "wide", "--type", "table").code == 0
    shown = repro("artifacts", "show", "wide").out
    assert "column_0" in shown and "column_59" not in shown and "whole with --json" in shown
    assert len(repro("artifacts", "show", "wide", "--json").document["facts"]["columns"]) == 60


def test_statistics_count_packed_objects_and_no_collected_artifact(repro, home, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"number {number}")
    before = repro("store", "stats", "--json").document
    assert repro("artifacts", "put", folder, "--name", "many").code == 0
    found = repro("store", "stats", "--json").document
    assert list(home.packs.glob("*.pack")), "nothing was packed, so this shows nothing"
    files = [path for place in (home.objects, home.packs) for path in place.rglob("*") if path.is_file()]
    assert found["objects"] == before["objects"] + 41 == repro("store", "fsck", "--json").document["checked"]
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    assert found["packs"] == len(list(home.packs.glob("*.pack")))
    assert {row["kind"]: row["artifacts"] for row in found["artifacts"]} == {"json": 3, "tree": 1}
    assert repro("artifacts", "delete", "many").code == 0
    assert repro("store", "stats", "--json").document == found, "deleting hides, collecting frees"
    lease_on(home).release()
    assert repro("store", "gc", "--delete", "--now").code == 0
    after = repro("store", "stats", "--json").document
    assert (after["objects"], after["logical_bytes"]) == (before["objects"], before["logical_bytes"])
    assert [row["kind"] for row in after["artifacts"]] == ["json"]


def test_statistics_count_what_is_there(repro, home):
    found = repro("store", "stats", "--json").document
    stored = [path for path in home.objects.rglob("*") if path.is_file()]
    assert found["objects"] == len(stored)
    assert found["bytes"] == sum(path.stat().st_size for path in stored)
    assert found["logical_bytes"] == sum(row["logical_bytes"] for row in found["artifacts"])
    assert [row["kind"] for row in found["artifacts"]] == ["json"]
    assert found["artifacts"][0]["artifacts"] == 3


def test_a_folder_is_shown_by_its_first_entries_and_whole_to_a_program(repro, home, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(23):
        (folder / f"{number:02}.txt").write_text(str(number))
    assert repro("artifacts", "put", folder, "--name", "many").code == 0
    shown = repro("artifacts", "show", "many").out
    assert "19.txt" in shown and "20.txt" not in shown and "3 more entries (all with --json)" in shown
    assert len(repro("artifacts", "show", "many", "--json").document["entries"]) == 23
    for name in ("20.txt", "21.txt", "22.txt"):
        (folder / name).unlink()
    assert repro("artifacts", "put", folder, "--name", "many").code == 0
    assert "more entries" not in repro("artifacts", "show", "many").out


@pytest.mark.parametrize("full", [False, True])
def test_a_cut_object_is_found_with_what_it_affects(repro, home, full):
    assert repro("store", "fsck", *["--full"] * full, "--json").document["ok"] is True
    digest = names.newest(home, "model-small").digest
    path = open_objects(home).path(digest)
    path.write_bytes(path.read_bytes()[:-10])
    said = repro("store", "fsck", *["--full"] * full, "--json")
    assert said.code == 1
    (bad,) = said.document["corrupt"]
    assert bad["digest"] == str(digest)
    assert bad["affects"] == ["model-bbbbbbbb22222222", "model-small:v2"]


def test_a_quick_check_says_that_it_is_one_and_damage_says_what_to_do(repro, home):
    assert "contents not hashed" in repro("store", "fsck").out
    assert "contents not hashed" not in repro("store", "fsck", "--full").out
    path = open_objects(home).path(names.newest(home, "model-small").digest)
    path.write_bytes(path.read_bytes()[:-10])
    said = repro("store", "fsck").out
    assert str(home.quarantine) in said and "repro replay" in said
    assert "repro store fsck --repair REMOTE" in said


def test_a_flipped_bit_in_a_manifest_is_found_by_a_quick_check(repro, home):
    digest = names.newest(home, "model-small").digest
    path = open_objects(home).path(digest)
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    said = repro("store", "fsck", "--json")
    assert said.code == 1
    assert [item["digest"] for item in said.document["corrupt"]] == [str(digest)]


def test_missing_objects_damaged_lines_and_claims_are_found_without_a_catalog(repro, home):
    digest = names.newest(home, "model-small").digest
    open_objects(home).path(digest).unlink()
    (home.names / "model-small" / "1").write_text("{")
    (segment,) = home.journal.iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:2], lines[2].replace(b"1", b"2", 1), *lines[3:]]))
    home.catalog.unlink(missing_ok=True)
    home.catalog.mkdir()
    said = repro("store", "fsck", "--json")
    assert said.code == 1
    found = said.document
    assert [item["digest"] for item in found["missing"]] == [str(digest)]
    assert "model-small:v2" in found["missing"][0]["affects"]
    assert [item["claim"] for item in found["claims"]] == ["model-small/1"]
    assert [item["offset"] for item in found["journal"]] == [len(lines[0]) + len(lines[1])]
    assert "NOT OK" in repro("store", "fsck").out


def test_a_version_whose_claim_is_gone_is_a_finding(repro, home):
    (home.names / "model-small" / "2").unlink()
    said = repro("store", "fsck", "--json")
    assert (said.code, [item["claim"] for item in said.document["claims"]]) == (1, ["model-small/2"])


def test_lineage_goes_both_ways_or_one(repro, home):
    document = repro("lineage", "show", "bbbbbbbb", "--json").document
    assert document["root"] == "bbbbbbbb22222222"
    assert {edge["role"] for edge in document["edges"]} == {"input", "output"}
    upstream = repro("lineage", "show", "bbbbbbbb", "--upstream", "--json").document
    assert {edge["role"] for edge in upstream["edges"]} == {"input"}
    shown = repro("lineage", "show", "model-small")
    assert "small-seed2" in shown.out
    assert "came from" in shown.out


def test_a_replay_is_named_as_one_in_the_lineage(repro, home):
    from repro_assets.journal.run_records import RunStarted
    from repro_assets.recording.run import begin

    run = begin(home, RunStarted("dddddddd44444444", "asset", "again", replay_of="aaaaaaaa11111111"))
    given = put(home, {"numbers": [1, 2, 3]})
    run.use("given", given)
    run.end()
    shown = repro("lineage", "show", given.digest, "--downstream").out
    (line,) = [line for line in shown.splitlines() if "again" in line]
    assert "replay of aaaaaaaa" in line
    assert shown.count("replay of") == 1


def test_a_doctor_says_how_many_objects_are_in_quarantine(repro, home):
    from repro_assets.orchestration.diagnosis import diagnose

    def found() -> tuple[str, str]:
        row = next(finding for finding in diagnose() if finding.check == "quarantine")
        return row.status, row.detail

    assert found()[0] == "ok"
    digest = names.newest(home, "model-small").digest
    path = open_objects(home).path(digest)
    path.write_bytes(b"x" * 100)
    assert repro("artifacts", "get", "model-small", "--to", home.root.parent / "got").code == 1
    status, detail = found()
    assert status == "warn"
    assert detail.startswith("1 damaged object")


def test_artifacts_whose_bytes_are_gone_make_the_lineage_unsound(repro, home):
    digest = names.newest(home, "model-small").digest
    open_objects(home).path(digest).unlink()
    said = repro("lineage", "validate")
    assert said.code == 1
    assert f"bytes gone: {digest}" in said.out
    assert "NOT VALID" in said.out


def test_a_lineage_without_its_source_is_not_valid(repro, home):
    from repro_assets.journal.run_records import RunInput
    from repro_assets.journal.segments import journal_at

    found = repro("lineage", "validate", "--json")
    assert (found.code, found.document["valid"]) == (0, True)
    assert set(found.document["stats"]) == {"nodes", "edges", "max_depth", "components"}
    lost = "sha256:" + "0" * 64
    journal_at(home.journal).append(RunInput("aaaaaaaa11111111", "other", lost))
    found = repro("lineage", "validate", "--json")
    assert (found.code, found.document["missing"]) == (1, [lost])


@pytest.mark.parametrize(("format", "begin"), [("dot", "digraph"), ("mermaid", "flowchart"), ("json", "{")])
def test_lineage_is_exported_to_stdout_or_a_file(repro, home, tmp_path, format, begin):
    said = repro("lineage", "export", "--format", format)
    assert (said.code, said.out.startswith(begin)) == (0, True)
    assert repro("lineage", "export", "--format", format, "--output", tmp_path / "graph").out == ""
    assert (tmp_path / "graph").read_text() == said.out
    assert repro("lineage", "export", "--output", tmp_path / "no" / "graph").code == 3


def test_a_deep_chain_is_shown(repro, home):
    from repro_assets.cli.lineage_tree import DEEPEST
    from repro_assets.journal.run_records import RunStarted
    from repro_assets.recording.run import begin

    made = None
    for number in range(DEEPEST):
        run = begin(home, RunStarted(f"{number:016x}", "script", f"link-{number}", seed=number))
        if made is not None:
            run.use("before", made)
        made = run.log_output("result", {"n": number}, name=f"chain-{number}")
        run.end()
    shown = repro("lineage", "show", f"chain-{DEEPEST - 1}", "--upstream")
    assert shown.code == 0
    assert "name this one to go on" in shown.out


def test_the_catalog_is_made_again_from_the_journal(repro, home):
    before = repro("runs", "list", "--json").document
    home.catalog.unlink()
    done = repro("catalog", "rebuild", "--json").document
    assert done["ok"] is True
    assert done["tables"]["runs"] == 3
    assert done["rows"] == sum(done["tables"].values())
    assert repro("runs", "list", "--json").document == before


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RequestError("wrong"), 2, "error: wrong\n"),
        (DiskFull("full"), 3, "error: full\n"),
        (OSError(errno.ENOSPC, "full", "file"), 3, "no space left while writing file"),
        (OSError(errno.EROFS, "read-only", "file"), 3, "cannot write file: read-only"),
        (RuntimeError("two\nlines"), 3, "RuntimeError: two lines (this was not foreseen"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_is_one_line_and_a_code(capsys, error, code, words):
    def fail() -> None:
        raise error

    assert exit_code_of(fail) == code
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err


def test_a_traceback_is_shown_only_where_it_is_asked_for(repro, home, monkeypatch):
    (home.root / "repro-store.json").write_text("[]")
    assert "Traceback" not in repro("runs", "list").err
    monkeypatch.setenv("REPRO_DEBUG", "1")
    assert "Traceback" in repro("runs", "list").err


@pytest.mark.parametrize(
    "words",
    [
        ("artifacts", "put", "", "--name", "given"),
        ("artifacts", "put", " ", "--name", "given"),
        ("init", ""),
        ("manifest", "create", ""),
        ("env", "capture", "--output-dir="),
    ],
)
def test_an_empty_word_is_never_the_current_folder(repro, home, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    said = repro(*words)
    assert (said.code, said.out) == (2, "")
    assert "is empty" in said.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_store_does_not_take_itself_in(repro, home):
    for folder in (home.root, home.root.parent):
        said = repro("artifacts", "put", folder, "--name", "given")
        assert said.code == 2
        assert "holds the store itself" in said.err


def test_a_store_is_made_where_a_project_is_and_elsewhere_only_by_init(repro, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("text")
    monkeypatch.chdir(tmp_path)
    said = repro("artifacts", "put", "file", "--name", "given")
    assert said.code == 2
    assert "repro init" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert repro("init").code == 0
    assert repro("artifacts", "put", "file", "--name", "given").code == 0
