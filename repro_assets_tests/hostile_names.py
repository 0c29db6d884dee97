"""Names that mean something to the programs that draw a lineage graph, and graphs whose every text is such a name."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from repro_assets.lineage.graph import Edge, Graph, Node

NAMES = (
    'a "quoted" [name] {of} (all) | <b>kinds</b>',
    "two\nlines\r\nand\rmore",
    "emoji 🧪 and ümlaut",
    "back\\slash\\",
    "\\N \\G \\n \\l",
    "#quot; #35;",
    "&lt;b&gt; &amp; &#65; &nosuch;",
    "`code` `**bold**`; end",
    "end",
    "subgraph end",
    "style x: y#1;z",
    "click n0 href",
    "-->|a| n1",
    "%% comment",
    "%%{init: {}}%%",
    "---\ntitle: x\n---",
    "<br/><script>alert(1)</script>",
    "ﬂ°°65¶ß",
    "__proto__",
    "\x00\x07 control \x85 \ud800",
    "\u2028 \u202e \ufeff \u00ad \uffff",
    "  spaces  ",
    "\x1f",
    "",
)
_TOKENS = (
    '"', "'", "`", "\\", "[", "]", "(", ")", "{", "}", "|", "<", ">", "#", ";", "&", ":", "%%", "-->", "end", "\n",
    "\r", "<br/>", "graph", "n0", "$$", "@", "~~~", "==", "🧪", "\ud800", "\x1b", "\x85",
)  # fmt: skip
_UNSEEN = re.compile(r"[\s\ufeff]+")


def names() -> st.SearchStrategy[list[str]]:
    """Draw lists of names: any text, and runs of what is syntax somewhere."""
    spiced = st.lists(st.sampled_from(_TOKENS), max_size=8).map("".join)
    return st.lists(st.one_of(st.text(max_size=30), spiced), min_size=1, max_size=20)


def graph_of(texts: list[str] | tuple[str, ...]) -> Graph:
    """Return a graph with an artifact, a run and an edge of each name."""
    nodes, edges = {}, []
    for number, name in enumerate(texts):
        artifact, run = f"sha256:{number:064d}", f"run {number} {name}"
        nodes[artifact] = Node(artifact, "artifact", name)
        nodes[run] = Node(run, "run", name)
        edges.append(Edge(artifact, run, "input", name))
    return Graph(nodes, edges)


def shown(text: str) -> list[str]:
    """Return the lines of a text as a picture shows them, without the characters that leave no mark."""
    plain = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
    return seen(re.split(r"\r\n|\r|\n", plain))


def seen(lines: list[str]) -> list[str]:
    """Return lines without the characters that leave no mark, and no empty ones."""
    return [line for line in (_UNSEEN.sub("", line) for line in lines) if line]
