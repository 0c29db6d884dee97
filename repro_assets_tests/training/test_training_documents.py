"""Documents are read whole or refused by name, and chunks lead back to their place."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training.documents import Document, chunks_of, read_documents

FOLDER = Path(__file__).parents[2] / "data" / "raw" / "documents"
PIECES = ["# Head\n", "## Sub\n\n", "word ", "a sentence. ", "\n\n", "\r\n", "```\n", "é😀 ", "x" * 30, "\t", "#no "]


def pieces(text: str, largest: int, overlap: int = 0) -> list[str]:
    return [text[start:end] for _, start, end in chunks_of([Document("a.md", "a", text)], largest, overlap)]


def test_documents_stand_in_the_order_of_their_paths_with_their_titles_and_exact_text() -> None:
    files = {"b.txt": b"no heading\r\n", "sub/a.md": "\n# Él \nText".encode(), "A.MD": b"x", "picture.png": b"\xff"}
    assert read_documents(files, "here") == [
        Document("A.MD", "A", "x"),
        Document("b.txt", "b", "no heading\r\n"),
        Document("sub/a.md", "Él", "\n# Él \nText"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "the folder here holds no document"),
        ({"a.png": b"x"}, "the folder here holds no document"),
        ({"a.md": b"fine", "b.md": b"caf\xe9"}, "b.md of here is not UTF-8 text: .* at byte 3"),
        ({"a.md": b" \n"}, "a.md of here is empty"),
        ({"a.md": b"Same.", "b.md": b"Other.", "c.md": b"Same.\n"}, "a.md and c.md of here are the same text"),
    ],
)
def test_what_is_no_set_of_documents_is_refused_by_name(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        read_documents(files, "here")
    assert refused.value.remedy


def test_a_text_is_cut_at_headings_and_a_heading_without_text_belongs_to_the_next() -> None:
    text = "Before.\n\n# One\n\n## Two\n\nText.\n\n```\n# a comment\n```\n\n# Three\nEnd."
    assert pieces(text, 500) == ["Before.", "# One\n\n## Two\n\nText.\n\n```\n# a comment\n```", "# Three\nEnd."]


def test_what_is_too_long_is_cut_after_a_paragraph_else_a_sentence_else_a_word_else_anywhere() -> None:
    assert pieces("One. Two.\n\nThree four.", 20) == ["One. Two.", "Three four."]
    assert pieces("One two three. Four five", 20) == ["One two three.", "Four five"]
    assert pieces("one two three four five", 20) == ["one two three four", "five"]
    assert pieces("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_neighbours_share_whole_words_up_to_the_overlap() -> None:
    assert pieces("one two three four five six", 14, 7) == ["one two three", "three four", "four five six"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.integers(1, 40), st.integers(0, 20))
def test_chunks_hold_every_character_in_order_and_keep_their_sizes(text: str, largest: int, overlap: int) -> None:
    overlap = min(overlap, largest // 2)
    chunks = chunks_of([Document("a.md", "a", text)], largest, overlap)
    held: set[int] = set()
    for _, start, end in chunks:
        assert 0 < end - start <= largest
        assert text[start:end] == text[start:end].strip()
        held.update(range(start, end))
    assert all(text[place].isspace() for place in set(range(len(text))) - held)
    for one, other in itertools.pairwise(chunks):
        assert one.start < other.start and one.end < other.end
        assert one.end - other.start <= overlap


def test_sizes_that_make_no_sense_are_refused() -> None:
    for largest, overlap in ((0, 0), (10, 6), (10, -1)):
        with pytest.raises(InvalidValue, match="chunks of"):
            chunks_of([Document("a.md", "a", "text")], largest, overlap)


def test_the_documents_that_ship_are_short_articles_with_a_title() -> None:
    documents = read_documents({path.name: path.read_bytes() for path in FOLDER.iterdir()}, str(FOLDER))
    assert len(documents) == 30
    for document in documents:
        assert document.text.startswith(f"# {document.title}\n"), document.path
        assert 110 <= len(document.text.split()) <= 250, document.path
