from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

import pytest
from hostile_names import NAMES, graph_of, names, seen, shown
from hypothesis import given, settings

from repro_assets.errors import InvalidValue
from repro_assets.lineage.graph import Graph
from repro_assets.lineage.reading import read_graph
from repro_assets.lineage.rendering import FORMATS, render, to_dot, to_mermaid

REQUIRED = "REPRO_REQUIRE_GRAPHVIZ"


@pytest.fixture(scope="module")
def dot() -> str:
    found = shutil.which("dot")
    if found is None:
        reason = "dot is not on PATH (Debian's package is called graphviz)"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)
    return found


def drawn(program: str, graph: Graph) -> dict[str, Any]:
    """What graphviz draws; it may have nothing to complain of."""
    done = subprocess.run([program, "-Tjson"], input=to_dot(graph).encode(), capture_output=True, check=True)
    assert done.stderr == b""
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def texts(item: dict[str, Any]) -> list[str]:
    return seen([part["text"] for part in item.get("_ldraw_", []) if part["op"] == "T"])


def check_drawing(program: str, graph: Graph) -> None:
    document = drawn(program, graph)
    objects = document["objects"]
    assert [texts(item) for item in objects] == [
        shown(f"{node.name}\n{node.key.removeprefix('sha256:')[:8]}") for node in graph.nodes.values()
    ]
    assert [item["shape"] for item in objects] == [
        "box" if node.kind == "artifact" else "ellipse" for node in graph.nodes.values()
    ]
    place = {key: number for number, key in enumerate(graph.nodes)}
    assert sorted((edge["tail"], edge["head"], texts(edge)) for edge in document.get("edges", [])) == sorted(
        (place[edge.source], place[edge.target], shown(edge.slot)) for edge in graph.edges
    )


def test_graphviz_draws_every_name_as_it_is(dot):
    check_drawing(dot, graph_of(NAMES))


@given(names())
@settings(max_examples=15, deadline=None)
def test_graphviz_draws_whatever_the_names_are(dot, texts):
    check_drawing(dot, graph_of(texts))


def test_mermaid_holds_no_character_of_a_name_that_could_be_syntax():
    head, *lines = to_mermaid(graph_of(NAMES)).splitlines()
    assert head == "flowchart LR"
    text = r"(?:[A-Za-z0-9 ._/=+,-]|#\d+;|<br/>)*"
    node = re.compile(rf'  n\d+(?:\["{text}"\]|\(\["{text}"\]\))')
    edge = re.compile(rf'  n\d+ -->(?:\|"{text}"\|)? n\d+')
    assert len(lines) == 3 * len(NAMES)
    for line in lines:
        assert node.fullmatch(line) or edge.fullmatch(line), line


def test_every_format_is_the_same_for_equal_graphs(home, diamond):
    for name in FORMATS:
        assert render(read_graph(home), name) == render(read_graph(home), name)
    document = json.loads(render(read_graph(home), "json"))
    assert len(document["nodes"]) == 9
    assert {edge["role"] for edge in document["edges"]} == {"input", "output"}
    with pytest.raises(InvalidValue):
        render(read_graph(home), "picture")


def test_json_gives_every_name_back():
    graph = graph_of([name for name in NAMES if "\ud800" not in name])
    document = json.loads(render(graph, "json"))
    assert [item["name"] for item in document["nodes"]] == [node.name for node in graph.nodes.values()]
    assert sorted(item["slot"] for item in document["edges"]) == sorted(edge.slot for edge in graph.edges)
