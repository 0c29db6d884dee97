"""HTML from records.

Laws: every text of a record is escaped here, by the one function that makes text into HTML; characters that no page can
hold become U+FFFD; a table is a real one, with a caption and headers that say what they head.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NewType

from repro_assets.recording.console import readable
from repro_assets.wording import words

Html = NewType("Html", str)
_NO_PLACE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LONG = 300


def text(value: Any) -> Html:
    """Return a value as a person reads it, as HTML; nothing for None."""
    return Html(html.escape(_NO_PLACE.sub("\N{REPLACEMENT CHARACTER}", words(value)), quote=True))


def cell(value: Any) -> Html:
    """Return the content of a table's cell; what is long can be opened."""
    shown = text(value)
    if len(shown) <= _LONG:
        return shown
    return Html(f"<details><summary>{text(words(value)[:60])}…</summary><pre>{shown}</pre></details>")


def link(address: str, value: Any) -> Html:
    """Return a link to a page of this report."""
    return Html(f'<a href="{text(address)}">{text(value)}</a>')


def table(
    caption: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    cells: Mapping[str, Callable[[Mapping[str, Any]], Html]] | None = None,
) -> Html:
    """Return a section with a table; nothing where there are no rows.

    Parameters
    ----------
    caption : str
        What it shows.
    rows : sequence of mappings
        The rows.
    columns : sequence of str, optional
        Which columns, in which order; the first row's if left out. Those that are empty in every row are left out.
    cells : mapping, optional
        What makes the cell of a column, where that is not `cell`.
    """
    if not rows:
        return Html("")
    cells = cells or {}
    named = [name for name in columns or list(rows[0]) if any(row.get(name) not in (None, [], {}) for row in rows)]
    numeric = {name for name in named if all(_is_number(row.get(name)) for row in rows)}
    head = "".join(f'<th scope="col"{_class(name in numeric)}>{text(name.replace("_", " "))}</th>' for name in named)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_class(name in numeric)}>{cells[name](row) if name in cells else cell(row.get(name))}</td>"
            for name in named
        )
        + "</tr>\n"
        for row in rows
    )
    return Html(
        f"<section><h2>{text(caption)}</h2>{_scrolling(caption)}<table>{_caption(caption)}"
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"
        "</div></section>\n"
    )


def facts(caption: str, pairs: Sequence[tuple[str, Any]]) -> Html:
    """Return a section with names and values; a value that is `Html` already is shown as it is."""
    shown = [(name, value) for name, value in pairs if value is not None and value not in ("", [], {})]
    if not shown:
        return Html("")
    body = "".join(f'<tr><th scope="row">{text(name)}</th><td>{value}</td></tr>\n' for name, value in shown)
    return Html(
        f'<section><h2>{text(caption)}</h2>{_scrolling(caption)}<table class="facts">'
        f"{_caption(caption)}<tbody>\n{body}</tbody></table></div></section>\n"
    )


def console(stream: str, written: str) -> Html:
    """Return a section with what a run wrote to a stream, without the sequences that only a terminal understands."""
    shown = text(readable(written))
    return Html(f"<section><h2>{text(stream)}</h2>{_scrolling(stream)}<pre>{shown}</pre></div></section>\n")


def _scrolling(caption: str) -> str:
    # What scrolls must be reached with the keyboard.
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">'


def _caption(caption: str) -> str:
    # The heading above says it to those who see it.
    return f'<caption class="unseen">{text(caption)}</caption>'


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
