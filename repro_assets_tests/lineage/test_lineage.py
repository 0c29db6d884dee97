from __future__ import annotations

import json
import re
import shutil
import subprocess
import time

import pytest

from repro_assets.artifacts import repository
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal import artifact_records, run_records
from repro_assets.journal.segments import Journal, journal_at
from repro_assets.lineage.graph import Edge, Graph, Node, lineage_of, read_graph
from repro_assets.lineage.rendering import FORMATS, render, to_dot, to_mermaid
from repro_assets.lineage.validation import find_cycles, measure, validate
from repro_assets.store.home import Home, make_store
from repro_assets.store.opening import open_objects


@pytest.fixture
def home(tmp_path) -> Home:
    return make_store(tmp_path / "store")


class Chain:
    """Records runs that turn stored values into others."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.journal = Journal(home.journal)

    def value(self, value: object) -> str:
        return str(repository.put(self.home, value).digest)

    def run(self, run: str, inputs: dict[str, str | tuple[str, str]], outputs: dict[str, str]) -> None:
        self.journal.append(run_records.RunStarted(run, "asset", f"name of {run}"))
        for slot, given in inputs.items():
            digest, maker = given if isinstance(given, tuple) else (given, None)
            self.journal.append(run_records.RunInput(run, slot, digest, made_by=maker))
        for slot, digest in outputs.items():
            self.journal.append(run_records.RunOutput(run, slot, digest, f"{slot}-{run}"))
        self.journal.append(run_records.RunEnded(run, "COMPLETED"))


@pytest.fixture
def chain(home):
    made = Chain(home)
    yield made
    made.journal.close()


@pytest.fixture
def diamond(chain):
    """A raw file, two data sets made from it, one model made from both, and an evaluation."""
    names = {name: chain.value({"is": name}) for name in ("raw", "left", "right", "model", "scores")}
    chain.run("run-left", {"raw": names["raw"]}, {"left": names["left"]})
    chain.run("run-right", {"raw": names["raw"]}, {"right": names["right"]})
    chain.run(
        "run-model",
        {"a": (names["left"], "run-left"), "b": (names["right"], "run-right")},
        {"model": names["model"]},
    )
    chain.run("run-scores", {"model": (names["model"], "run-model")}, {"scores": names["scores"]})
    return names


def long_chain(length: int) -> Graph:
    edges = []
    for number in range(length):
        edges.append(Edge(f"sha256:{number}", f"run-{number}", "input", "x"))
        edges.append(Edge(f"run-{number}", f"sha256:{number + 1}", "output", "x"))
    return Graph({}, edges)


def test_ancestors_and_descendants_are_at_their_distance(home, diamond):
    graph = read_graph(home)
    assert graph.ancestors(diamond["model"]) == {
        "run-model": 1,
        diamond["left"]: 2,
        diamond["right"]: 2,
        "run-left": 3,
        "run-right": 3,
        diamond["raw"]: 4,
    }
    assert graph.ancestors(diamond["model"], 2).keys() == {"run-model", diamond["left"], diamond["right"]}
    assert graph.descendants("run-model") == {diamond["model"]: 1, "run-scores": 2, diamond["scores"]: 3}
    assert graph.ancestors(diamond["raw"]) == {}
    with pytest.raises(UnknownName):
        graph.ancestors("nothing")
    with pytest.raises(InvalidValue):
        graph.descendants("run-model", -1)


def test_every_way_between_two_nodes_is_found(home, diamond):
    graph = read_graph(home)
    ways = graph.paths(diamond["raw"], diamond["model"])
    assert sorted(way[1] for way in ways) == ["run-left", "run-right"]
    assert {len(way) for way in ways} == {5}
    assert graph.paths(diamond["model"], diamond["raw"]) == []
    assert len(graph.paths(diamond["raw"], diamond["model"], limit=1)) == 1
    assert graph.paths("run-left", "run-left") == [["run-left"]]


def test_lineage_of_a_name_in_one_direction_within_a_depth(home, diamond):
    key, graph = lineage_of(home, "model-run-model", downstream=False, depth=2)
    assert key == diamond["model"]
    assert graph.nodes.keys() == {key, "run-model", diamond["left"], diamond["right"]}
    key, graph = lineage_of(home, "run-left", upstream=False)
    assert key == "run-left"
    assert diamond["raw"] not in graph.nodes
    assert diamond["scores"] in graph.nodes
    with pytest.raises(UnknownName):
        lineage_of(home, "no such thing")


def test_a_sound_lineage_is_valid(home, diamond):
    report = validate(home)
    assert report.valid
    assert (report.cycles, report.missing, report.orphans, report.bytes_gone) == ([], [], [], [])
    assert report.stats == {"nodes": 9, "edges": 9, "max_depth": 6, "components": 1}


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
    assert validate(home).valid


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
    graph = read_graph(home)
    # Only the pass-on does not say which of two equal inputs it read, and it does not make itself.
    assert find_cycles(graph) == []
    assert validate(home).valid


def test_a_chain_of_100000_nodes_is_walked():
    graph = long_chain(50_000)
    begin = time.perf_counter()
    assert len(graph.ancestors("sha256:50000")) == 100_000
    assert len(graph.descendants("sha256:0", 70_000)) == 70_000
    assert len(graph.paths("sha256:0", "sha256:50000")[0]) == 100_001
    assert measure(graph) == {"nodes": 100_001, "edges": 100_000, "max_depth": 100_000, "components": 1}
    assert find_cycles(graph) == []
    assert time.perf_counter() - begin < 60


HOSTILE = [
    'a "quoted" [name] {of} (all) | <b>kinds</b>',
    "two\nlines\r\nand\rmore",
    "emoji 🧪 and ümlaut",
    "back\\slash\\",
    "#quot; #35;",
    "`code`; end",
    "style x: y#1;z",
    "subgraph end",
    "-->|a| n1",
    "%% comment",
    "\x00\x07 control \ud800",
    "",
]


@pytest.fixture
def hostile() -> Graph:
    nodes, edges = {}, []
    for number, name in enumerate(HOSTILE):
        artifact, run = f"sha256:{number:064d}", f"run {number} {name}"
        nodes[artifact] = Node(artifact, "artifact", name)
        nodes[run] = Node(run, "run", name)
        edges.append(Edge(artifact, run, "input", name))
    return Graph(nodes, edges)


def test_dot_is_read_by_graphviz_whatever_the_names(hostile):
    dot = shutil.which("dot")
    if dot is None:
        pytest.skip("graphviz is not installed")
    done = subprocess.run([dot, "-Tjson"], input=to_dot(hostile).encode(), capture_output=True, check=True)
    assert done.stderr == b""
    drawn = json.loads(done.stdout)
    assert len(drawn["objects"]) == 2 * len(HOSTILE)
    assert len(drawn["edges"]) == len(HOSTILE)


def test_mermaid_holds_no_character_of_a_name_that_could_be_syntax(hostile):
    head, *lines = to_mermaid(hostile).splitlines()
    assert head == "flowchart LR"
    text = r"(?:[A-Za-z0-9 ._/=+,-]|#\d+;|<br/>)*"
    node = re.compile(rf'  n\d+(?:\["{text}"\]|\(\["{text}"\]\))')
    edge = re.compile(rf'  n\d+ -->(?:\|"{text}"\|)? n\d+')
    assert len(lines) == 3 * len(HOSTILE)
    for line in lines:
        assert node.fullmatch(line) or edge.fullmatch(line), line


def test_mermaid_entity_codes_give_the_name_back(hostile):
    written = to_mermaid(hostile).splitlines()[1]
    label = re.search(r'\["(.*)"\]', written)
    assert label is not None
    decoded = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label[1].split("<br/>")[0])
    assert decoded == HOSTILE[0]


def test_every_format_is_the_same_for_equal_graphs(home, diamond):
    for name in FORMATS:
        assert render(read_graph(home), name) == render(read_graph(home), name)
    document = json.loads(render(read_graph(home), "json"))
    assert len(document["nodes"]) == 9
    assert {edge["role"] for edge in document["edges"]} == {"input", "output"}
    with pytest.raises(InvalidValue):
        render(read_graph(home), "picture")
