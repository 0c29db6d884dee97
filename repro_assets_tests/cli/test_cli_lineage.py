"""Lineage is shown, validated and exported."""

from __future__ import annotations

import pytest

from repro_assets.artifacts import names
from repro_assets.artifacts.repository import put
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.cli.lineage_tree import DEEPEST
from repro_assets.journal.run_records import RunInput, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.opening import open_objects


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
    run = begin(home, RunStarted("dddddddd44444444", "asset", "again", replay_of="aaaaaaaa11111111"))
    given = put(home, {"numbers": [1, 2, 3]})
    run.use("given", given)
    run.end()
    shown = repro("lineage", "show", given.digest, "--downstream").out
    (line,) = [line for line in shown.splitlines() if "again" in line]
    assert "replay of aaaaaaaa" in line
    assert shown.count("replay of") == 1


def test_artifacts_whose_bytes_are_gone_make_the_lineage_unsound(repro, home):
    digest = names.newest(home, "model-small").digest
    open_objects(home).path(digest).unlink()
    said = repro("lineage", "validate")
    assert said.code == 1
    assert f"bytes gone: {digest}" in said.out
    assert "NOT VALID" in said.out


def test_a_lineage_without_its_source_is_not_valid(repro, home):
    found = repro("lineage", "validate", "--json")
    assert (found.code, found.document["valid"]) == (0, True)
    assert {"nodes", "edges", "max_depth", "components", "roots", "leaves"} <= set(found.document["stats"])
    lost = "sha256:" + "0" * 64
    journal_at(home.journal).append(RunInput("aaaaaaaa11111111", "other", lost))
    found = repro("lineage", "validate", "--json")
    assert (found.code, found.document["missing"]) == (1, [lost])


@pytest.mark.parametrize(
    ("format", "begin"), [("dot", "digraph"), ("mermaid", "flowchart"), ("json", "{"), ("openlineage", "{")]
)
def test_lineage_is_exported_to_stdout_or_a_file(repro, home, tmp_path, format, begin):
    said = repro("lineage", "export", "--format", format)
    assert (said.code, said.out.startswith(begin)) == (0, True)
    assert repro("lineage", "export", "--format", format, "--output", tmp_path / "graph").out == ""
    assert (tmp_path / "graph").read_text() == said.out
    assert repro("lineage", "export", "--output", tmp_path / "no" / "graph").code == 3


def test_the_lineage_as_events_is_counted_and_every_format_is_named(repro, home, tmp_path):
    said = repro("lineage", "export", "--format", "openlineage", "--output", tmp_path / "events", "--json")
    lines = (tmp_path / "events").read_text().splitlines()
    assert said.document == {"path": str(tmp_path / "events"), "format": "openlineage", "runs": 3, "events": len(lines)}
    said = repro("lineage", "export", "--format", "openlineage", "--json")
    assert said.code == 2 and "exclude each other" in said.err
    assert "one of dot, mermaid, json, openlineage" in repro("lineage", "export", "--format", "svg").err


def test_a_deep_chain_is_shown(repro, home):
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


@pytest.fixture
def chained(home):
    """A model made from both that are in the store."""
    run = begin(home, RunStarted("eeeeeeee55555555", "asset", 'joined "both"\nends', asset="models/joined", seed=5))
    run.use("one", resolve_artifact(home, "model-aaaaaaaa11111111"))
    run.use("other", resolve_artifact(home, "model-bbbbbbbb22222222"))
    run.log_output("result", {"joined": True}, name="joined", collection="model-joined")
    run.end()
    return home


def test_paths_are_listed_in_the_direction_of_the_data(repro, chained):
    given = put(chained, {"numbers": [1, 2, 3]}).digest
    document = repro("lineage", "paths", given, "joined", "--json").document
    assert (document["steps"], document["total"], document["more"], document["between"]) == (4, 2, False, 7)
    assert sorted(way[1] for way in document["paths"]) == ["aaaaaaaa11111111", "bbbbbbbb22222222"]
    said = repro("lineage", "paths", given, "joined", "--limit", "1")
    assert "1 of 2 shortest paths, 4 steps each; 7 nodes lie on the way" in said.out
    back = repro("lineage", "paths", "joined", given)
    assert (back.code, "but there is a way back" in back.out) == (0, True)
    assert repro("lineage", "paths", "joined", given, "--json").document["other_way"] is True
    assert repro("lineage", "paths", given, "joined", "--format", "mermaid").out.count("-->") == 7
    assert repro("lineage", "paths", given, "joined", "--limit", "0").code == 2


def test_what_two_came_from_is_shown(repro, chained):
    document = repro("lineage", "common", "model-small:v1", "model-small:v2", "--json").document
    (lowest,) = document["common"]
    assert (lowest["to_first"], lowest["to_second"], lowest["lowest"]) == (2, 2, True)
    said = repro("lineage", "common", "joined", "aaaaaaaa")
    assert "small-seed1" in said.out and "more, which these came from, with --all" in said.out
    nothing = repro("lineage", "common", "cccccccc", "model-small:v1")
    assert nothing.code == 0


def test_impact_names_aliases_runs_and_artifacts(repro, chained):
    assert repro("artifacts", "alias", "model-small:v1", "production").code == 0
    document = repro("lineage", "impact", "aaaaaaaa", "--json").document
    assert [row["alias"] for row in document["aliases"]] == ["production"]
    assert [row["run_id"] for row in document["runs"]] == ["aaaaaaaa11111111", "eeeeeeee55555555"]
    said = repro("lineage", "impact", "aaaaaaaa").out
    assert "production" in said and "model-joined:v1" in said


def test_lineage_is_a_table_or_what_another_program_draws(repro, chained):
    said = repro("lineage", "show", "joined", "--format", "table").out
    rows = [line.split() for line in said.splitlines()]
    assert [row[0] for row in rows if row and row[0].lstrip("-").isdigit()] == ["-4", "-3", "-3", "-2", "-2", "-1", "0"]
    assert repro("lineage", "show", "joined", "--upstream", "--format", "dot").out.startswith("digraph")
    assert repro("lineage", "show", "joined", "--format", "json").document["root"].startswith("sha256:")
    said = repro("lineage", "show", "joined", "--json", "--format", "dot")
    assert (said.code, said.out) == (2, "")


def test_a_name_that_means_nothing_is_one_line_and_code_2(repro, home):
    for words in (("show",), ("impact",), ("paths", "model-small"), ("common", "model-small")):
        said = repro("lineage", *words, 'a "quoted"\nname 🧪')
        assert (said.code, said.out) == (2, "")
        assert said.err.count("\n") == 1 and said.err.startswith("error: there is no artifact or run")
    assert "8 digits or more" in repro("lineage", "show", "bbbbbbb").err


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("model-smal", "did you mean model-small"),
        ("model-bbbbbbbb2222222", "model-bbbbbbbb22222222"),
        ("small-sed2", "small-seed2"),
        ("aaaaaaaa1111111x", "aaaaaaaa11111111"),
        ("aaaa", "an id needs 8 digits or more"),
        ("zzz", "see: repro artifacts list, or repro runs list"),
    ],
)
def test_an_unknown_name_is_met_with_near_names_of_artifacts_and_runs(repro, home, text, offered):
    for words in (("show", text), ("impact", text), ("common", text, "model-small"), ("paths", "model-small", text)):
        said = repro("lineage", *words)
        assert (said.code, said.out) == (2, "")
        assert offered in said.err and said.err.count("\n") == 1
