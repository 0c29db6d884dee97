"""Text documents: reading a folder of them, and cutting them into chunks that can be traced to their place.

Laws: documents stand in the order of their paths; each is read whole as UTF-8, or refused by name; two of them never
have the same text; a chunk is the text between its two positions in its document and nothing else; it has at most the
largest size, and no heading but those it begins with; all chunks of a document together hold every character of it
that is no white space. Positions count characters of the decoded file, so ``text[start:end]`` is the chunk; nothing is
normalized, line endings neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from repro_assets.errors import InvalidInput, InvalidValue

SUFFIXES = (".md", ".txt")

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*?)[ \t#]*\r?$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
_WORD = re.compile(r"(?<=\s)\S")
# Where a text may be cut, the best first: after a paragraph, after a sentence, after a word.
_CUTS = (re.compile(r"\n[ \t\r]*\n"), re.compile(r"[.!?][\"')\]]*(?=\s)"), re.compile(r"\S(?=\s)"))


class Document(NamedTuple):
    """One text.

    Attributes
    ----------
    path : str
        Relative to the folder, with slashes.
    title : str
        Its first heading; the file's name without suffix where it has none.
    text : str
        The whole decoded file.
    """

    path: str
    title: str
    text: str


class Chunk(NamedTuple):
    """A stretch of a document: the document's number, and the positions of its first character and behind its last."""

    document: int
    start: int
    end: int


def read_documents(files: Mapping[str, bytes], where: str) -> list[Document]:
    """Decode the documents of a folder, in the order of their paths.

    Parameters
    ----------
    files : mapping
        Bytes by path; files that do not end in one of `SUFFIXES` are no documents.
    where : str
        What the folder is called, for errors.

    Raises
    ------
    InvalidInput
        If there is no document, or one is not UTF-8, is blank, or has the text of another.
    """
    found: list[Document] = []
    first: dict[str, str] = {}
    for path in sorted(path for path in files if path.lower().endswith(SUFFIXES)):
        try:
            text = files[path].decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"the document {path} of {where} is not UTF-8 text: {error.reason} at byte {error.start}",
                "save it as UTF-8, or take it out of the folder",
            ) from error
        content = text.strip()
        if not content:
            raise InvalidInput(f"the document {path} of {where} is empty", "write it, or take it out of the folder")
        if content in first:
            raise InvalidInput(
                f"the documents {first[content]} and {path} of {where} are the same text",
                "keep one, or no search could tell them apart",
            )
        first[content] = path
        headings = [match[1] for match in _headings(text)]
        found.append(Document(path, headings[0] if headings else PurePosixPath(path).stem, text))
    if not found:
        raise InvalidInput(
            f"the folder {where} holds no document", f"put files there that end in {', '.join(SUFFIXES)}"
        )
    return found


def chunks_of(documents: list[Document], largest: int, overlap: int) -> list[Chunk]:
    """Cut documents at their headings, and what is too long after a paragraph, a sentence or a word.

    Parameters
    ----------
    documents : list of Document
        In the order of which chunks get their numbers.
    largest : int
        Characters of a chunk at most.
    overlap : int
        Characters at most with which a chunk begins in the one before it, of the same section.

    Raises
    ------
    InvalidValue
        If `largest` is not positive or `overlap` is not between 0 and half of it.
    """
    if largest < 1 or not 0 <= overlap <= largest // 2:
        raise InvalidValue(
            f"chunks of {largest} characters that overlap by {overlap}",
            "give a largest size of 1 or more, and an overlap of half of it at most",
        )
    return [
        Chunk(number, *place)
        for number, document in enumerate(documents)
        for section in _sections(document.text)
        for place in _windows(document.text, *section, largest, overlap)
    ]


def _headings(text: str) -> list[re.Match[str]]:
    """Return the headings that stand outside of fenced code."""
    found: list[re.Match[str]] = []
    fences = [match.start() for match in _FENCE.finditer(text)]
    for match in _HEADING.finditer(text):
        if sum(fence < match.start() for fence in fences) % 2 == 0:
            found.append(match)
    return found


def _sections(text: str) -> Iterator[tuple[int, int]]:
    """Yield from heading to heading; a heading without a text of its own belongs to the next one."""
    headings = _headings(text)
    start = 0
    for number, match in enumerate(headings):
        before = headings[number - 1].end() if number else 0
        if text[before : match.start()].strip():
            yield _stripped(text, start, match.start())
            start = match.start()
    if text[start:].strip():
        yield _stripped(text, start, len(text))


def _windows(text: str, start: int, end: int, largest: int, overlap: int) -> Iterator[tuple[int, int]]:
    fresh = start
    while end - start > largest:
        cut = _cut(text, start, fresh, start + largest)
        yield _stripped(text, start, cut)
        fresh, _ = _stripped(text, cut, end)
        # Where much white space follows, an overlap must leave room for something that is new.
        again = _WORD.search(text, max(cut - overlap, fresh - largest + 1), cut)
        start = again.start() if again else fresh
    yield start, end


def _cut(text: str, start: int, fresh: int, limit: int) -> int:
    """Return where to cut: at the best place of the second half that takes in what is new, else at the limit."""
    least = max(fresh, start + (limit - start) // 2)
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(text, start, limit) if match.end() > least]
        if ends:
            return ends[-1]
    return limit


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
