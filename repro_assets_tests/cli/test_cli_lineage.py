"""Lineage is shown, validated and exported."""

from __future__ import annotations

import pytest

from repro_assets.artifacts import names
from repro_assets.artifacts.repository import put
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


@pytest.mark.parametrize(("format", "begin"), [("dot", "digraph"), ("mermaid", "flowchart"), ("json", "{")])
def test_lineage_is_exported_to_stdout_or_a_file(repro, home, tmp_path, format, begin):
    said = repro("lineage", "export", "--format", format)
    assert (said.code, said.out.startswith(begin)) == (0, True)
    assert repro("lineage", "export", "--format", format, "--output", tmp_path / "graph").out == ""
    assert (tmp_path / "graph").read_text() == said.out
    assert repro("lineage", "export", "--output", tmp_path / "no" / "graph").code == 3


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
