"""Markdown whose words come from records.

Laws: a word of a record never becomes syntax, whatever stands in it: neither Markdown's, nor a table's, nor HTML's;
what is not there is written as `NOTHING`; equal values give equal text.
"""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTHING = "not recorded"
_SAFE_IN_CODE = re.compile(r"[A-Za-z0-9 _./:=+,;@#%(){}\[\]<>*~!?$^&'\"-]+")
_MARKUP = re.compile(r"([\\`*_\[\]~$#])")
_BLOCK_START = re.compile(r"^(?:[-+=>]|\d+(?=[.)](?:\s|$)))")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}


def text(value: Any) -> str:
    """Return a value as prose of one line: an address or a tag in it is shown, not followed."""
    escaped = _MARKUP.sub(r"\\\1", clean(value))
    escaped = "".join(_HTML.get(letter, letter) for letter in escaped)
    # Nothing that stands at the beginning of a line may make a list, a quotation or a rule of it.
    escaped = _BLOCK_START.sub(lambda match: f"{match[0]}\\" if match[0][0].isdigit() else f"\\{match[0]}", escaped)
    return escaped.replace("://", ":&#47;/").replace("www.", "www&#46;")


def code(value: Any) -> str:
    """Return a value as a code span, which may stand in a table."""
    shown = clean(value)
    if not shown:
        return NOTHING
    if _SAFE_IN_CODE.fullmatch(shown) and shown == shown.strip():
        return f"`{shown}`"
    entities = "".join(
        letter if letter.isalnum() or letter in " ./" or ord(letter) > 127 else f"&#{ord(letter)};" for letter in shown
    )
    return f"<code>{entities}</code>"


def clean(value: Any) -> str:
    """Return a value as one line without control characters, surrogates and marks of direction."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter) in ("Cc", "Cs", "Cf") else letter
        for letter in re.sub(r"\s+", " ", str(value))
    )
    return shown.strip()


def shown(value: Any) -> str:
    """Return any value of a record for a cell of a table."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return code(value)


def number(value: float | None) -> str:
    """Return a figure to six digits."""
    if value is None:
        return NOTHING
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def bytes_(count: int | None) -> str:
    """Return a number of bytes, as it is and in a unit of 1,000s."""
    if count is None:
        return NOTHING
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{count:,} bytes" if unit == "B" else f"{amount:.3g} {unit} ({count:,} bytes)"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already; `NOTHING` where there is no row."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return NOTHING
    return "\n".join([f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}", *lines])


def facts(pairs: Mapping[str, str]) -> str:
    """Return a table of names and what they are, which is Markdown already."""
    return table(("", ""), [(text(name), value) for name, value in pairs.items()])


def fence(content: str, language: str = "text") -> str:
    """Return a block of lines that are shown as they are."""
    kept = "".join(
        letter
        if letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cs", "Cf")
        else "\N{REPLACEMENT CHARACTER}"
        for letter in content.strip("\n")
    )
    marks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", kept)), default=0))
    return f"{marks}{language}\n{kept}\n{marks}"


def front_matter(document: Mapping[str, Any]) -> str:
    """Return a document as the YAML that a card begins with."""
    import yaml

    written: str = yaml.safe_dump(dict(document), sort_keys=False, width=120)
    return f"---\n{written}---"


def page(head: Mapping[str, Any], title: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return a whole card: front matter, title, and sections of which each has a heading and Markdown.

    Parameters
    ----------
    head : mapping
        The front matter.
    title : str
        Markdown of the title.
    sections : iterable of pairs
        Heading with its signs, such as ``## Uses``; empty for what stands under the title.
    """
    parts = [front_matter(head), f"# {title}"]
    for heading, body in sections:
        parts += [heading] if heading else []
        parts.append(body or NOTHING)
    return "\n\n".join(parts) + "\n"
