"""Text of records as LaTeX.

Laws: no character of a record is a command; what pdfLaTeX has no glyph for is written as its code point; a long word
without spaces, such as a digest, may be broken; no package is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",
    "\n": " ",
    "\t": " ",
    "\r": " ",
}
_NO_GLYPH = frozenset("«»ÐÞðþ")
"""Of Latin-1, what the font encoding that LaTeX begins with (OT1) lacks."""
_BREAK_EVERY = 8


def escape(value: object) -> str:
    """Return a value as LaTeX text."""
    return "".join(_letter(letter) for letter in str(value))


def typed(value: object) -> str:
    """Return a value as LaTeX in the typewriter face, in which long words may be broken."""
    parts = []
    run = 0
    for letter in str(value):
        run = 0 if letter.isspace() else run + 1
        parts.append(_letter(letter))
        if run and run % _BREAK_EVERY == 0:
            parts.append(r"\allowbreak{}")
    return r"\texttt{" + "".join(parts) + "}"


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    latin = letter.isprintable() and "\u00a1" <= letter <= "\u00ff" and letter not in _NO_GLYPH
    if " " <= letter <= "~" or latin:
        return letter
    return rf"\texttt{{U+{ord(letter):04X}}}"


def mean_and_spread(values: Sequence[float]) -> str:
    r"""Return ``mean $\pm$ sd`` of a sample, the spread to two digits and the mean to as many places; mean of one."""
    mean = sum(values) / len(values)
    if not math.isfinite(mean):
        return escape(mean)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else 0.0
    if not math.isfinite(spread) or spread == 0:
        return _number(mean) if len(values) == 1 else rf"{_number(mean)} $\pm$ {_number(spread)}"
    places = 1 - math.floor(math.log10(spread))
    if not 0 <= places <= 6:
        return rf"{_number(mean)} $\pm$ {_number(spread)}"
    return rf"{mean:.{places}f} $\pm$ {spread:.{places}f}".replace("-", "$-$", int(mean < 0))


def _number(value: float) -> str:
    digits, _, power = f"{value:.4g}".partition("e")
    shown = f"$-${digits[1:]}" if digits.startswith("-") else digits
    return rf"{shown}$\,\cdot 10^{{{int(power)}}}$" if power else shown


def tabular(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, left: int) -> str:
    """Return a floating table.

    Parameters
    ----------
    head : sequence of str
        Heads of the columns, LaTeX.
    rows : sequence of sequences of str
        Cells, LaTeX.
    caption, label : str
        LaTeX, and the word after ``tab:``.
    left : int
        How many columns are text.
    """
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{label}}}",
        rf"  \begin{{tabular}}{{{'l' * left}{'r' * (len(head) - left)}}}",
        r"    \hline",
        "    " + " & ".join(head) + r" \\",
        r"    \hline",
        *("    " + " & ".join(row) + r" \\" for row in rows),
        r"    \hline",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
