"""Whatever a record holds, it is shown and never becomes syntax."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from repro_assets.cards.markdown import NOTHING, bytes_, clean, code, facts, fence, front_matter, page, table, text

PARSER = MarkdownIt("gfm-like", {"linkify": False})
HOSTILE = (
    "a|b", "``x`` `y", "<script>alert(1)</script>", "line\nbreak\r\n# head", "*bold* _it_ ~~no~~", "[a](http://b.c)",
    "![x](y)", "\\|", "a\\", "- item", "1. one", "# head", "> quote", "---", "&lt;b&gt;", "<!-- -->", "https://a.b/c",
    "www.example.org", "\x00\x1b[31m", "\u202eevil", "$x^2$", "=== ", "    indented", "\ud800", "a@b.cd",
)  # fmt: skip
ANYTHING = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))


def inline_texts(source: str) -> list[list[Any]]:
    return [token.children for token in PARSER.parse(source) if token.type == "inline"]


def read(children: list[Any]) -> str:
    """What a reader sees of inline tokens, which are text, code, and the tags of our own code spans."""
    kinds = {child.type for child in children}
    assert kinds <= {"text", "code_inline", "html_inline", "text_special"}, kinds
    assert {child.content for child in children if child.type == "html_inline"} <= {"<code>", "</code>"}
    return "".join(child.content for child in children if child.type != "html_inline")


@settings(max_examples=50)
@given(ANYTHING, ANYTHING)
def test_a_table_has_the_cells_that_it_was_given_whatever_is_in_them(one: str, two: str) -> None:
    source = table(("a", "b"), [(text(one), code(two)), (code(one), text(two))])
    tokens = PARSER.parse(source)
    assert [token.type for token in tokens if token.level == 0] == ["table_open", "table_close"]
    cells = [read(children) for children in inline_texts(source)]
    assert len(cells) == 6
    expected = [clean(one), clean(two) or NOTHING, clean(one) or NOTHING, clean(two)]
    assert [" ".join(cell.split()) for cell in cells[2:]] == [" ".join(item.split()) for item in expected]


@settings(max_examples=50)
@given(ANYTHING)
def test_prose_is_one_paragraph_of_what_was_written(value: str) -> None:
    source = text(value)
    tokens = PARSER.parse(source)
    if not clean(value):
        assert tokens == []
        return
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert " ".join(read(tokens[1].children or []).split()) == " ".join(clean(value).split())


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_a_fence_ends_where_it_should(value: str) -> None:
    tokens = PARSER.parse(f"{fence(value)}\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


def test_a_fence_keeps_lines_and_marks_of_its_own() -> None:
    (token, *_) = PARSER.parse(fence("one\n```\ntwo\n````\n  three", "text"))
    assert token.content == "one\n```\ntwo\n````\n  three\n"


@settings(max_examples=50)
@given(st.recursive(st.text(max_size=10), lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3)))
def test_front_matter_reads_as_what_was_written(value: Any) -> None:
    written = front_matter({"name": value, "model-index": [{"name": "a: b"}]})
    first, middle, last = written.partition("\n")[0], written[4:-3], written[-3:]
    assert (first, last) == ("---", "---")
    assert "\n---" not in middle
    assert yaml.safe_load(middle) == {"name": value, "model-index": [{"name": "a: b"}]}


def test_what_is_not_there_says_so() -> None:
    assert table(("a",), []) == NOTHING
    assert bytes_(None) == NOTHING
    assert code("") == NOTHING
    assert page({"a": 1}, "t", [("## Part", "")]).endswith(f"## Part\n\n{NOTHING}\n")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB (1,000 bytes)"), (2_500_000, "2.5 MB (2,500,000 bytes)")],
)
def test_sizes_are_exact_and_readable(count: int, shown: str) -> None:
    assert bytes_(count) == shown


def test_facts_are_two_columns() -> None:
    assert facts({"a|b": "`c`"}) == "|  |  |\n| --- | --- |\n| a&#124;b | `c` |"
