"""Mermaid itself reads the flowcharts: the bundle of its own release, in an offline browser."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")

from dagster_page import ARGUMENTS, chromium
from hostile_names import NAMES, graph_of, names, seen, shown
from hypothesis import given, settings
from playwright.sync_api import sync_playwright

from repro_assets.lineage.graph import Graph
from repro_assets.lineage.rendering import to_mermaid

pytestmark = pytest.mark.browser
REQUIRED = "REPRO_REQUIRE_BROWSER"
BUNDLE = Path(str(importlib.metadata.distribution("mermaidx").locate_file("mermaidx/assets/mermaid.js")))
# dist/mermaid.min.js of the npm package mermaid 11.16.0.
RELEASED = "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"
# Mermaid keeps an entity as a sequence of its own until it draws.
READ = """async (text) => {
  const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
  const box = document.createElement("textarea");
  const lines = (text) => (text ?? "").split(/<br ?\\/?>/).map((line) => {
    box.innerHTML = line.replaceAll("ﬂ°°", "&#").replaceAll("ﬂ°", "&").replaceAll("¶ß", ";");
    return box.value;
  });
  return {
    nodes: [...db.getVertices().values()].map((node) => [node.id, node.type, lines(node.text)]),
    edges: db.getEdges().map((edge) => [edge.start, edge.end, lines(edge.text)]),
  };
}"""


@pytest.fixture(scope="module")
def read() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Returns what mermaid's parser makes of a flowchart."""
    if chromium() is None:
        reason = "chromium is not on PATH (Debian's package is called chromium)"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)
    assert hashlib.sha256(BUNDLE.read_bytes()).hexdigest() == RELEASED, "this is not what mermaid released"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_context(offline=True).new_page()
        page.add_script_tag(path=str(BUNDLE))
        page.evaluate("mermaid.initialize({ startOnLoad: false })")
        yield lambda text: page.evaluate(READ, text)
        browser.close()


def check(read: Callable[[str], dict[str, Any]], graph: Graph) -> None:
    found = read(to_mermaid(graph))
    number = {key: f"n{place}" for place, key in enumerate(graph.nodes)}
    assert [(name, kind, seen(lines)) for name, kind, lines in found["nodes"]] == [
        (
            number[key],
            "square" if node.kind == "artifact" else "stadium",
            shown(f"{node.name}\n{key.removeprefix('sha256:')[:8]}"),
        )
        for key, node in graph.nodes.items()
    ]
    assert [(start, end, seen(lines)) for start, end, lines in found["edges"]] == [
        (number[edge.source], number[edge.target], shown(edge.slot)) for edge in graph.edges
    ]


def test_mermaid_reads_every_name_as_it_is(read: Callable[[str], dict[str, Any]]) -> None:
    check(read, graph_of(NAMES))


@given(names())
@settings(max_examples=40, deadline=None)
def test_mermaid_reads_whatever_the_names_are(read: Callable[[str], dict[str, Any]], texts: list[str]) -> None:
    check(read, graph_of(texts))
