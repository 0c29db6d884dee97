"""Runs are compared, grouped, tagged and noted on the command line."""

from __future__ import annotations

import csv
import io

from planted_secrets import planted

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.journal.run_records import Metrics, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin

A, B, C = "aaaaaaaa11111111", "bbbbbbbb22222222", "cccccccc33333333"


def test_a_comparison_shows_only_what_differs(repro, home):
    found = repro("runs", "compare", A, "bbbbbbbb", "--json").document
    assert [run["run_id"] for run in found["runs"]] == [A, B]
    assert found["metric"] == [{"name": "loss", "values": [0.25, 0.125], "deltas": [0, -0.125]}]
    assert found["run"] == [{"name": "seed", "values": [1, 2]}]
    assert (found["config"], found["package"], found["equal"]) == ([], [], False)
    assert [each["name"] for each in found["output"]] == ["result"] and not found["input"]
    assert set(found["not_compared"]) == {"environment", "code"}
    shown = repro("runs", "compare", A, B, "last").out
    assert "loss" in shown and "-0.125" in shown and "(run cccccccc33333333)" in shown


def test_a_run_compared_with_itself_does_not_differ(repro, home):
    said = repro("runs", "compare", A, A)
    assert (said.code, said.out.splitlines()[-1]) == (0, "nothing differs")
    found = repro("runs", "compare", C, "last", "--json").document
    assert found["equal"] and not found["not_compared"], "two NaN are equal"


def test_the_code_is_a_diff_and_cannot_move_the_cursor(repro, home, tmp_path):
    trees = []
    for name, text in (("one", "a = 1\nb = 2\n"), ("two", "a = 1\n\tb = 3\x1b[2J\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.py").write_text(text)
        trees.append(str(repository.put(home, tmp_path / name).digest))
    for number, tree in enumerate(trees):
        begin(home, RunStarted(f"tree{number}", "asset", f"tree{number}", source=tree)).end()
    said = repro("runs", "compare", "tree0", "tree1").out
    assert "-b = 2" in said and "+" + " " * 7 + "b = 3" in said and "\x1b" not in said


def test_groups_are_over_seeds_in_four_formats(repro, home):
    asked = ("runs", "group", "--by", "asset,k", "--metric", "loss")
    (row,) = repro(*asked, "--json").document
    assert (row["asset"], row["k"], row["metric"], row["n"], row["seeds"]) == ("models/small", 1, "loss", 2, [1, 2])
    assert (row["mean"], row["configs"]) == (0.1875, 1)
    assert repro(*asked, "--format", "json").document == [row]
    (line,) = csv.DictReader(io.StringIO(repro(*asked, "--format", "csv").out))
    assert (line["mean"], line["seeds"], line["k"]) == ("0.1875", "1 2", "1")
    assert "0.1875" in repro(*asked).out
    latex = repro(*asked, "--format", "latex").out
    assert "models/small & 1 & $0.19 \\pm 0.79\\,(n=2)$ \\\\" in latex.splitlines()


def test_tags_and_notes_are_shown_found_and_on_record(repro, home):
    done = repro("runs", "tag", A, "+good", "+😀|$", "--json").document
    assert (done["tags"], done["added"]) == (["good", "😀|$"], ["good", "😀|$"])
    assert repro("runs", "tag", A, "-good", "+h").out.strip() == "h, 😀|$"
    assert repro("runs", "tag", A, "-h").out.strip() == "😀|$"
    assert repro("runs", "tag", A, "-h").err.strip() == "nothing changed"
    repro("runs", "note", A, "first")
    repro("runs", "note", A, 'a "second"\nline')
    (found,) = repro("runs", "list", "--where", "list_contains(tags, '😀|$') AND note LIKE 'a%'", "--json").document
    assert (found["run_id"], found["note"]) == (A, 'a "second"\nline')
    listed = {row["run_id"]: (row["tags"], row["note"]) for row in repro("runs", "list", "--json").document}
    assert listed == {A: (["😀|$"], 'a "second"\nline'), B: ([], None), C: ([], None)}
    record = repro("runs", "show", A, "--json").document
    assert [item["text"] for item in record["notes"]] == ['a "second"\nline', "first"]
    assert record["tags"] == ["😀|$"] and record["notes"][0]["account"]
    repro("runs", "note", A, "--clear")
    assert repro("runs", "show", A, "--json").document["note"] is None
    acts = queries.rows(home, "SELECT kind, details, account FROM audit WHERE subject = $run ORDER BY time", {"run": A})
    said = [(row["kind"], row["details"]) for row in acts if row["kind"] in ("run_tagged", "run_noted")]
    assert said == [
        ("run_tagged", "+good +😀|$"), ("run_tagged", "+h -good"), ("run_tagged", "-h"),
        ("run_noted", "first"), ("run_noted", 'a "second"\nline'), ("run_noted", ""),
    ]  # fmt: skip
    assert all(row["account"] for row in acts)


WRONG = [
    (["compare", A], "two or more"),
    (["compare", A, "small-seed4"], "small-seed3"),
    (["group", "--by", "aset", "--metric", "loss"], "asset"),
    (["group", "--by", "kk.k", "--metric", "loss"], "'kk.k'"),
    (["group", "--by", "asset", "--metric", "lss"], "loss"),
    (["group", "--by", "n", "--metric", "loss"], "config.n"),
    (["group", "--by", ",", "--metric", "loss"], "--by"),
    (["group", "--by", "asset", "--metric", "loss", "--where", "sed = 1"], "seed"),
    (["group", "--by", "asset", "--metric", "loss", "--where", "true); DROP TABLE runs; --"], "syntax"),
    (["group", "--by", "asset", "--metric", "loss", "--json", "--format", "csv"], "give one"),
    (["tag", A, "good"], "+good"),
    (["tag", A, "+a,b"], "comma"),
    (["tag", A, "+a", "-a"], "both"),
    (["tag", A, "+password=q8x-4711-zz"], "credential"),
    (["tag", "nothing", "+a"], "runs list"),
    (["note", A], "give one"),
    (["note", A, f"the key is {planted()['AWS key id'][1]}"], "credential"),
]


def test_a_wrong_request_is_one_line_that_helps(repro, home):
    for words, near in WRONG:
        said = repro("runs", *words)
        assert (said.code, said.out) == (2, ""), words
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and near in said.err, words


def test_a_metric_shows_its_best_value(repro, home):
    journal_at(home.journal).append(Metrics.of(A, [["accuracy", 1, 0.9, 0.0], ["accuracy", 2, 0.5, 0.0]]))
    best = {row["name"]: row for row in repro("runs", "show", A, "--json").document["metrics"]}
    assert (best["accuracy"]["best"], best["accuracy"]["step_of_best"], best["accuracy"]["mode"]) == (0.9, 1, "max")
    assert (best["loss"]["best"], best["loss"]["value"], best["loss"]["mode"]) == (0.25, 0.25, "min")


def test_tags_and_notes_are_scanned_and_have_a_greatest_length(repro, home):
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    for text in (f"it used {token} on the way", "x=1 and password=hunter22", f"first line\nAPI_KEY={token}"):
        said = repro("runs", "note", "last", text)
        assert said.code == 2 and "looks like a credential" in said.err and token not in said.err
    said = repro("runs", "tag", "last", "+a=1 password=hunter22")
    assert said.code == 2 and "looks like a credential" in said.err
    said = repro("runs", "tag", "last", "+" + "t" * 201)
    assert said.code == 2 and "the tag has 201 letters, and 200 are allowed" in said.err
    said = repro("runs", "note", "last", "n" * 10_001)
    assert said.code == 2 and "the note has 10,001 letters, and 10,000 are allowed" in said.err
    record = repro("runs", "show", "last", "--json").document
    assert (record["tags"] or [], record["notes"]) == ([], [])
    assert repro("runs", "tag", "last", "+" + "t" * 200).code == 0
    assert repro("runs", "note", "last", "n" * 10_000 + "\n").code == 0
