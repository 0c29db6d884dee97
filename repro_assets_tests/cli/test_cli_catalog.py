"""The catalog is asked in SQL, and made again from the journal."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess

from repro_assets.journal.segments import journal_at
from repro_assets.orchestration.diagnosis import FAIL, diagnose
from repro_assets.orchestration.instance import open_instance


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


def test_markup_in_a_name_is_shown_as_it_is(repro, home, tmp_path):
    shown = repro("sql", "SELECT '[bold]x[/bold] [/]' AS name, chr(27) || '[31mred' AS red")
    assert shown.code == 0
    assert "[bold]x[/bold] [/]" in shown.out
    assert "\x1b" not in shown.out


def test_the_journal_is_merged_and_says_what_it_was(repro, home):
    journal_at(home.journal).close()
    before = repro("runs", "list", "--json").document
    intended = repro("catalog", "merge", "--dry-run", "--json").document
    assert (intended["dry_run"], intended["segments"], intended["merges"]) == (True, 1, [])
    done = repro("catalog", "merge", "--json").document
    assert (done["segments"], done["points"], len(done["merges"])) == (1, 6, 1)
    assert "segments" in repro("catalog", "merge").out
    assert repro("catalog", "rebuild", "--json").document["ok"] is True
    assert repro("runs", "list", "--json").document == before


def test_the_catalog_is_made_again_from_the_journal(repro, home):
    before = repro("runs", "list", "--json").document
    home.catalog.unlink()
    done = repro("catalog", "rebuild", "--json").document
    assert done["ok"] is True
    assert done["tables"]["runs"] == 3
    assert done["rows"] == sum(done["tables"].values())
    assert repro("runs", "list", "--json").document == before


def test_an_answer_is_written_over_no_part_of_a_store(repro, home, tmp_path):
    marker = home.root / "repro-store.json"
    before = marker.read_bytes()
    for command in (("sql", "SELECT 1 AS one"), ("lineage", "export")):
        said = repro(*command, "--output", marker)
        assert (said.code, "belongs to the store" in said.err) == (2, True)
    assert marker.read_bytes() == before


def test_an_answer_goes_through_a_link_and_into_a_pipe(repro, home, tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text("earlier")
    query = "SELECT 1 AS one"
    assert repro("sql", query, "--format", "csv", "--output", tmp_path / "link.csv").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "rows.csv").read_text() == "one\n1\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Open on both sides, so that writing does not wait for a reader.
    reader = os.open(pipe, os.O_RDWR)
    try:
        assert repro("sql", query, "--format", "csv", "--output", pipe).code == 0
        assert os.read(reader, 100) == b"one\n1\n"
    finally:
        os.close(reader)


def test_of_a_store_that_cannot_be_written_is_said_what_could_not_be_looked_at(repro, home, small_disk, monkeypatch):
    with open_instance(home) as instance:
        assert instance.get_runs_count() == 0
    assert repro("runs", "list").code == 0
    store = small_disk / "store"
    shutil.copytree(home.root, store)
    monkeypatch.setenv("REPRO_HOME", str(store))
    assert repro("catalog", "check", "--json").document["not_looked_at"] == []
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = repro("catalog", "check")
    assert said.code == 3 and "nothing of Dagster's was compared" in said.out
    assert "Dagster's storage was not looked at" in said.err and "mode and mount options" in said.err
    told = repro("catalog", "check", "--json")
    assert (told.code, told.document["ok"], told.document["damaged"]) == (3, False, [])
    assert [part["what"] for part in told.document["not_looked_at"]] == ["Dagster's storage"]
    mending = repro("catalog", "check", "--mend")
    assert (mending.code, mending.out, mending.err.count("\n")) == (3, "", 1)
    found = {}
    for finding in diagnose():
        found[finding.check] = finding
        if finding.check == "dagster storage":
            break
    assert {name for name, finding in found.items() if finding.status == FAIL} == {"writable", "dagster storage"}
    assert found["catalog"].detail == "3 runs"
    assert "cannot be read" in found["dagster storage"].detail and "mount options" in found["dagster storage"].remedy
