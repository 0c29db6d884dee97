"""No character of a record is a command to LaTeX, and figures have the places that they deserve."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_store import ATTACK

from repro_assets.inspection.latex import escape, mean_and_spread, typed

REQUIRED = "REPRO_REQUIRE_LATEX"
PLAIN = re.compile(r"[A-Za-z0-9 .,:;!?()\[\]=+/*@\u00a1-\u00ff-]")
COMMAND = re.compile(r"\\(?:[{}$&#%_]|symbol\{34\}|texttt\{U\+[0-9A-F]+\}|(?:text[a-z]+|allowbreak)\b(?:\{\})?)|-\{\}")


@pytest.mark.parametrize(
    "text", [ATTACK, "\\input{/etc/passwd}", "a_b^c~d#e%f&g$h", "\"quoted\" 'x' `y`", "a\nb\tc", "é ß 😀 漢\x00"]
)
def test_no_text_is_a_command(text: str) -> None:
    left = COMMAND.sub("", escape(text))
    assert all(PLAIN.fullmatch(letter) for letter in left), left
    assert "\\input" not in escape(text)
    assert typed(text).startswith(r"\texttt{") and typed(text).count("{") - typed(text).count("\\{") == typed(
        text
    ).count("}") - typed(text).count("\\}")


def test_a_long_word_may_be_broken_and_keeps_its_letters() -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    assert typed(digest).replace(r"\allowbreak{}", "") == rf"\texttt{{{digest}}}"
    assert typed(digest).count(r"\allowbreak{}") == len(digest) // 8


@pytest.mark.skipif(not shutil.which("pdflatex") and REQUIRED not in os.environ, reason="there is no pdflatex")
def test_pdflatex_takes_every_letter(tmp_path: Path) -> None:
    letters = "".join(chr(code) for code in range(0x180)) + "😀漢“”" + ATTACK
    body = rf"\begin{{tabular}}{{lr}}\toprule {escape(letters)} & 1 \\ \bottomrule\end{{tabular}} {typed(letters)}"
    text = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "page.tex").write_text(text, "utf-8")
    # Draft mode makes no fonts and no PDF; it finds every error.
    done = subprocess.run(
        ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.5], "0.5"),
        ([0.9, 0.91, 0.92], r"0.910 $\pm$ 0.010"),
        ([1.0, 1.0], r"1 $\pm$ 0"),
        ([-0.5, -0.7], r"$-$0.60 $\pm$ 0.14"),
        ([1e-7], r"1$\,\cdot 10^{-7}$"),
        ([float("nan"), 1.0], "nan"),
        ([float("-inf")], "-{}inf"),
    ],
)
def test_a_sample_is_a_mean_and_its_spread(values: list[float], shown: str) -> None:
    assert mean_and_spread(values) == shown
