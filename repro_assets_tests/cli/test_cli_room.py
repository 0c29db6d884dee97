"""``repro`` says what takes room, and lets go of it."""

from __future__ import annotations

from typing import Any

import pytest

from repro_assets.catalog import queries
from repro_assets.cli.options import seconds_of
from repro_assets.journal.run_records import ParentState, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home
from repro_assets.store.leases import lease_on


def test_deleting_hides_and_collecting_frees(repro: Any, home: Home) -> None:
    uses = {row["name"]: row for row in repro("store", "du", "--json").document}
    assert {row["kind"] for row in uses.values()} == {"collection", "version", "run"}
    assert uses["model-small:v1"]["bytes"] > 0
    (deleted,) = repro("artifacts", "delete", "model-small:v1", "--json").document
    assert (deleted["name"], deleted["version"], deleted["kept_by"]) == ("model-small", 1, [])
    listed = repro("artifacts", "list", "--json").document
    assert [row["name"] for row in listed if row["collection"] == "model-small"] == ["model-small:v2"]
    assert deleted["digest"] not in {row["digest"] for row in listed}
    shown = repro("artifacts", "show", "model-small:v1", "--json").document
    assert [row["deleted"] for row in shown["versions"]] == [True] and not shown["held"]
    lease_on(home).release()
    told = repro("store", "gc", "--now", "--json").document
    assert told["dry_run"] and told["freed_objects"] == 0
    done = repro("store", "gc", "--delete", "--now", "--json").document
    assert (done["objects"], done["bytes"]) == (told["objects"], told["bytes"])
    assert done["freed_bytes"] >= uses["model-small:v1"]["bytes"]
    shown = repro("artifacts", "show", "model-small:v1", "--json").document
    assert shown["versions"][0]["deleted"] and shown["evicted"] is None
    assert repro("store", "fsck", "--full", "--json").document["ok"]
    assert repro("catalog", "rebuild", "--json").document["ok"], "what was collected is no damage"
    gone = repro("artifacts", "get", "model-small:v1", "--to", home.root.parent / "out")
    assert gone.code == 2 and "model-small:v1 was deleted" in gone.err


def test_runs_are_deleted_by_name_and_by_age(repro: Any, home: Home) -> None:
    assert repro("runs", "delete", "--json").code == 2
    assert repro("runs", "delete", "--older-than", "1 fortnight").code == 2
    assert repro("runs", "delete", "--older-than", "1h", "--json").document["runs"] == []
    told = repro("runs", "delete", "--older-than", "0s", "--dry-run", "--json").document
    assert len(told["runs"]) == 3 and told["dry_run"]
    done = repro("runs", "delete", "aaaaaaaa11111111", "--versions", "--json").document
    assert [row["run_id"] for row in done["runs"]] == ["aaaaaaaa11111111"]
    assert done["versions"] == ["model-small:v1"]
    listed = {row["run_id"] for row in repro("runs", "list", "--json").document}
    assert listed == {"bbbbbbbb22222222", "cccccccc33333333"}
    assert repro("runs", "show", "aaaaaaaa11111111", "--json").code == 0
    assert queries.rows(home, "SELECT run_id FROM runs_wide WHERE deleted") == [{"run_id": "aaaaaaaa11111111"}]
    lease_on(home).release()
    assert repro("store", "gc", "--delete", "--now", "--json").document["freed_objects"] > 0
    assert repro("store", "fsck", "--json").document["ok"]


def test_rules_let_runs_go_by_age_count_and_tag(repro: Any, home: Home) -> None:
    first, second, failed = "aaaaaaaa11111111", "bbbbbbbb22222222", "cccccccc33333333"
    journal_at(home.journal).append(RunStarted("parent00parent00", "parent", "grouping"))
    begin(home, RunStarted("dddddddd44444444", "asset", "child", "parent00parent00", asset="models/other")).end()
    begun = begin(home, RunStarted("eeeeeeee55555555", "asset", "open", asset="models/small"))
    journal_at(home.journal).append(ParentState("parent00parent00", "COMPLETED", "SUCCESS"))

    def told(*words: object) -> list[str]:
        return [row["run_id"] for row in repro("runs", "delete", *words, "--dry-run", "--json").document["runs"]]

    # The one that is executing is the newest, and is not counted.
    assert told("--keep-last", 1) == [first, second]
    assert told("--keep-last", 0) == [first, second, failed, "dddddddd44444444", "parent00parent00"]
    assert told("--keep-last", 1, "--older-than", "1h") == []
    assert repro("runs", "tag", first, "+draft", "+paper").code == 0
    assert repro("runs", "tag", second, "+draft").code == 0
    assert told("--tag", "draft") == [first, second]
    assert told("--tag", "draft", "--except-tag", "paper") == [second]
    assert told(first, failed, "--tag", "draft") == [first]
    assert repro("runs", "delete", first, "--except-tag", "paper").code == 2
    assert repro("artifacts", "alias", "model-small:v2", "production").code == 0
    assert told("--keep-last", 1) == [first]

    assert repro("store", "policy", "set", "--runs-except-tag", "paper").code == 2
    assert repro("store", "policy", "set", "--runs-last", 1, "--runs-all").code == 2
    words = ("--runs-last", 1, "--runs-older-than", "0s", "--runs-except-tag", "keep")
    rule = repro("store", "policy", "set", *words, "--json").document["runs"]
    assert rule == {"older_than": 0.0, "keep_last": 1, "tags": [], "except_tags": ["keep"]}
    assert "runs that go: keep_last" in repro("store", "policy").out
    assert repro("store", "policy", "apply", "--json").document["runs"] == [first]
    assert repro("store", "policy", "apply", "--delete", "--json").document["runs"] == [first]
    assert queries.rows(home, "SELECT run_id FROM deleted_runs") == [{"run_id": first}]
    assert repro("store", "policy", "apply", "--json").document["runs"] == []
    assert not repro("store", "policy", "set", "--runs-all", "--json").document["runs"]["keep_last"]
    begun.end()


def test_a_run_that_is_executing_is_not_deleted(repro: Any, home: Home) -> None:
    begun = begin(home, RunStarted("dddddddd44444444", "asset", "open", asset="models/small"))
    refused = repro("runs", "delete", begun.run_id)
    assert refused.code == 2 and begun.run_id in refused.err and not refused.out
    begun.end()
    assert repro("runs", "delete", begun.run_id).code == 0


def test_aliases_move_and_go_back(repro: Any, home: Home) -> None:
    first = repro("artifacts", "alias", "model-small:v1", "production", "--json").document
    second = repro("artifacts", "alias", "model-small", "production", "--json").document
    assert (first["version"], first["replaces"], second["version"]) == (1, None, 2)
    assert second["replaces"] is not None
    assert repro("artifacts", "show", "model-small@production", "--json").document["aliases"][0]["version"] == 2
    refused = repro("artifacts", "delete", "model-small:v2")
    assert refused.code == 2 and "model-small@production" in refused.err
    assert repro("artifacts", "rollback", "model-small", "--json").document["version"] == 1
    back = repro("artifacts", "rollback", "model-small@production", "--to", "model-small:v2", "--json").document
    assert back["version"] == 2
    assert repro("artifacts", "rollback", "model-small@production", "--to", "v1", "--json").document["version"] == 1
    assert repro("artifacts", "rollback", "model-small@production", "--to", "v9").code == 2
    assert repro("artifacts", "alias", "model-small", "latest").code == 2
    assert repro("artifacts", "rollback", "model-small@best").code == 2
    assert repro("artifacts", "alias", second["digest"], "best").code == 2, "a digest is no version"


def test_rules_are_kept_and_applied_when_asked(repro: Any, home: Home) -> None:
    assert repro("store", "policy", "--json").document["collections"] == {}
    assert repro("store", "policy").out == "no rules: everything is kept\n"
    refused = repro("store", "policy", "set", "--collection", "", "--keep-last", "1")
    assert refused.code == 2 and "--collection is empty" in refused.err
    nothing = repro("store", "policy", "set", "--collection", "model-*")
    assert nothing.code == 2 and "no rule is given" in nothing.err
    words = ("--collection", "model-*", "--keep-last", "1", "--checkpoints-last", "2", "--json")
    assert repro("store", "policy", "set", *words).document["collections"] == {"model-*": 1}
    assert repro("store", "policy", "show", "--json").document["checkpoints"]["keep_last"] == 2
    shown = [line.split() for line in repro("store", "policy").out.splitlines()]
    assert shown == [["versions", "of", "model-*", "the", "last", "1"], ["checkpoints:", "keep_last", "2"]]
    told = repro("store", "policy", "apply", "--json").document
    assert told["dry_run"] and told["versions"] == ["model-small:v1"]
    assert repro("artifacts", "show", "model-small:v1").code == 0
    assert not repro("store", "policy", "apply", "--delete", "--json").document["dry_run"]
    assert repro("store", "policy", "apply", "--json").document["versions"] == []
    assert (
        repro("store", "policy", "set", "--collection", "model-*", "--keep-last", "0", "--json").document["collections"]
        == {}
    )
    assert repro("store", "policy", "set", "--checkpoints-best", "loss", "--mode", "sideways").code == 2
    for metric, kept in (("loss", "loss"), ("none", None)):
        said = repro("store", "policy", "set", "--checkpoints-best", metric, "--json")
        assert said.document["checkpoints"]["metric"] == kept


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("90m", 5400.0),
        ("12h", 43200.0),
        ("12", 43200.0),
        ("0.5", 1800.0),
        ("30d", 2592e3),
        ("4w", 2419200.0),
    ],
)
def test_a_length_of_time_reads_in_one_way(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-1h", "1 h", "h", "1e3", "inf", "9999999w"])
def test_what_is_no_length_of_time_is_refused_by_every_command_alike(repro: Any, home: Home, text: str) -> None:
    commands = (("store", "gc", "--grace"), ("store", "repack", "--older-than"), ("runs", "delete", "--older-than"))
    said = [repro(*words, text) for words in commands]
    assert [(answer.code, answer.out) for answer in said] == [(2, "")] * 3
    assert len({answer.err for answer in said}) == 1 and "12h" in said[0].err


def test_the_grace_time_of_collecting_is_written_like_every_other(repro: Any, home: Home) -> None:
    repro("artifacts", "delete", "model-small:v1")
    lease_on(home).release()
    young = repro("store", "gc", "--grace", "90m", "--json").document
    assert (young["objects"], young["young_objects"] > 0) == (0, True)
    assert repro("store", "gc", "--grace", "0s", "--json").document["objects"] == young["young_objects"]


def test_nothing_is_evicted_unasked_or_unproven(repro: Any, home: Home) -> None:
    assert repro("store", "evict").code == 2
    assert repro("store", "evict", "--reproducible", "--json").document["artifacts"] == []


@pytest.mark.parametrize(
    "words", [("store", "du"), ("store", "gc"), ("store", "policy"), ("store", "evict", "--reproducible")]
)
def test_each_also_speaks_to_people(repro: Any, home: Home, words: tuple[str, ...]) -> None:
    said = repro(*words)
    assert said.code == 0 and said.out + said.err


def test_what_a_rule_chooses_among_all_runs_goes_only_when_asked(repro: Any, home: Home) -> None:
    first, second, failed = "aaaaaaaa11111111", "bbbbbbbb22222222", "cccccccc33333333"
    told = repro("runs", "delete", "--older-than", "0")
    assert told.code == 0 and all(run in told.out for run in (first, second, failed))
    assert "nothing was deleted; the same command with --delete does it" in told.err
    assert repro("runs", "delete", "--keep-last", 0, "--json").document["dry_run"]
    assert len(repro("runs", "list", "--json").document) == 3
    refused = repro("runs", "delete", "--older-than", "0", "--delete", "--dry-run")
    assert refused.code == 2 and "exclude each other" in refused.err
    named = repro("runs", "delete", failed, second, "--older-than", "90d", "--json").document
    assert (named["dry_run"], named["runs"]) == (False, [])
    assert not repro("runs", "delete", failed, "--older-than", "0", "--json").document["dry_run"]
    done = repro("runs", "delete", "--older-than", "0", "--delete", "--json").document
    assert (done["dry_run"], [row["run_id"] for row in done["runs"]]) == (False, [first, second])
    assert repro("runs", "list", "--json").document == []
