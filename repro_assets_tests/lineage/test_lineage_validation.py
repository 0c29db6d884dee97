from __future__ import annotations

from repro_assets.artifacts import repository
from repro_assets.catalog.descriptions import list_artifacts
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.segments import journal_at
from repro_assets.lineage.reading import read_graph
from repro_assets.lineage.validation import validate
from repro_assets.store.opening import open_objects


def test_a_sound_lineage_is_valid(home, diamond):
    report = validate(home)
    assert report.valid
    assert (report.cycles, report.missing, report.orphans, report.bytes_gone) == ([], [], [], [])
    assert report.stats == {
        "nodes": 9,
        "artifacts": 5,
        "runs": 4,
        "edges": 9,
        "max_depth": 6,
        "roots": 1,
        "leaves": 1,
        "components": 1,
    }


def test_a_parent_that_nobody_made_and_whose_bytes_are_gone_is_named(home, chain, diamond):
    unknown = "sha256:" + "12" * 32
    chain.run("run-late", {"x": unknown, "y": (diamond["raw"], "run-unheard-of")}, {})
    report = validate(home)
    assert not report.valid
    assert report.missing == [unknown, "run-unheard-of"]
    assert unknown in read_graph(home).nodes


def test_bytes_from_outside_are_a_source_and_not_missing(home, chain):
    # Stored by a process that died before it could record the artifact.
    outside = open_objects(home).put(b"bytes without a record")
    chain.run("run-one", {"x": str(outside)}, {})
    report = validate(home)
    assert report.valid
    assert report.unrecorded == [str(outside)]


def test_bytes_that_are_gone_and_artifacts_that_nobody_uses_are_named(home, chain, diamond):
    alone = chain.value({"is": "alone"})
    assert validate(home).orphans == [alone]
    objects = open_objects(home)
    manifest = repository.by_digest(home, Digest.parse(diamond["left"])).manifest
    objects.path(next(manifest.objects())).unlink()
    report = validate(home)
    assert report.bytes_gone == [diamond["left"]]
    assert not report.valid
    journal_at(home.journal).append(artifact_records.ArtifactEvicted(diamond["left"], "run-left", "a:1"))
    assert validate(home).valid


def test_what_describes_a_run_is_no_orphan_and_listed_only_when_asked_for(home):
    values = {
        name: str(repository.put(home, {"is": name}).digest) for name in ("environment", "source", "diff", "data")
    }
    facts = {"dirty": True, "diff": values["diff"]}
    started = run_records.RunStarted(
        "run-a", "script", "a", environment=values["environment"], source=values["source"], source_facts=facts
    )
    output = run_records.RunOutput("run-a", "data", values["data"], "run-a/data")
    journal_at(home.journal).append(started, output, run_records.RunEnded("run-a", "COMPLETED"))
    assert validate(home).orphans == []
    assert [row["digest"] for row in list_artifacts(home)] == [values["data"]]
    assert {row["digest"] for row in list_artifacts(home, internal=True)} == set(values.values())
    # What is data as well is a node, and listed.
    repository.claim(repository.by_digest(home, Digest.parse(values["diff"])), "kept")
    assert {row["digest"] for row in list_artifacts(home)} == {values["data"], values["diff"]}
    assert values["diff"] in read_graph(home).nodes


def test_bytes_that_nothing_keeps_may_be_gone(home, chain, diamond):
    alone = chain.value({"is": "alone"})
    open_objects(home).path(Digest.parse(alone)).unlink()
    assert validate(home).valid


def test_a_cycle_is_found_whether_or_not_the_makers_are_recorded(home, chain):
    first, second = chain.value({"is": 1}), chain.value({"is": 2})
    chain.run("run-a", {"x": (first, "run-b")}, {"y": second})
    chain.run("run-b", {"x": second}, {"y": first})
    report = validate(home)
    assert report.cycles == [["run-a", "run-b"]]
    assert not report.valid


def test_equal_content_that_comes_back_is_no_cycle(home, chain):
    first, second = chain.value({"is": 1}), chain.value({"is": 2})
    chain.run("run-source", {}, {"y": first})
    chain.run("run-there", {"x": (first, "run-source")}, {"y": second})
    chain.run("run-back", {"x": (second, "run-there")}, {"y": first})
    chain.run("run-pass-on", {"x": first}, {"y": first})
    # Only the pass-on does not say which of two equal inputs it read, and it does not make itself.
    report = validate(home)
    assert report.valid
    assert report.cycles == []


def test_a_run_that_says_it_read_what_itself_made_is_a_cycle(home, chain):
    value = chain.value({"is": 1})
    chain.run("run-loop", {"x": (value, "run-loop")}, {"y": value})
    assert validate(home).cycles == [["run-loop"]]


def test_a_long_cycle_and_what_hangs_on_it_are_told_apart(home, chain):
    values = [chain.value({"is": number}) for number in range(6)]
    for number in range(5):
        chain.run(f"run-{number}", {"x": (values[number], f"run-{(number - 1) % 5}")}, {"y": values[(number + 1) % 5]})
    chain.run("run-behind", {"x": (values[0], "run-4")}, {"y": values[5]})
    report = validate(home)
    assert report.cycles == [["run-0", "run-1", "run-2", "run-3", "run-4"]]
    # The cycle is one place, and the way out of it has two edges.
    assert report.stats["max_depth"] == 2


def test_an_input_that_is_put_by_hand_closes_no_cycle(home, chain):
    first, second = repository.claim(repository.put(home, {"is": 1}), "mine"), chain.value({"is": 2})
    chain.run("run-a", {"x": str(first.digest)}, {"y": second})
    chain.run("run-b", {"x": (second, "run-a")}, {"y": str(first.digest)})
    assert validate(home).cycles == []


def test_data_that_a_run_read_without_a_record_of_it_is_named(home, chain):
    made = "sha256:" + "34" * 32
    chain.run("run-maker", {}, {"y": made})
    chain.run("run-reader", {"x": (made, "run-maker"), "odd": "no digest at all"}, {})
    report = validate(home)
    # What a run made is not missing where its bytes are gone and nothing is known of them: the run can make it again.
    assert report.unrecorded == [made]
    assert report.missing == ["no digest at all"]
    assert not report.valid


def test_a_run_of_which_nothing_else_is_known_is_missing(home, chain):
    chain.journal.append(run_records.RunOutput("run-unheard-of", "y", chain.value({"is": 1}), "y-name"))
    report = validate(home)
    assert report.missing == ["run-unheard-of"]
    assert "run-unheard-of" in read_graph(home).nodes


def test_bytes_are_found_wherever_they_lie(home, chain):
    alone = open_objects(home).put(b"in a file of its own")
    # A batch of many small objects becomes a pack.
    packed = [Digest.parse(chain.value({"number": number, "text": "x" * 50})) for number in range(3)]
    objects = open_objects(home)
    keys = {bytes.fromhex(digest.hex) for digest in (alone, *packed)}
    unknown = bytes(32)
    assert objects.lacking(keys | {unknown}) == {unknown}
    objects.path(alone).unlink()
    assert objects.lacking(keys) == {bytes.fromhex(alone.hex)}
