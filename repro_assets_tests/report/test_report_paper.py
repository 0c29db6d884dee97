"""The files of a paper: right numbers, and every run behind them."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest
from report_store import run_id

from repro_assets.catalog.queries import connect
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.report.paper import counts, paper_files
from repro_assets.report.points import read_points
from repro_assets.report.reading import read
from repro_assets.store.home import Home


def test_the_table_has_mean_and_spread_over_the_seeds(report: Path) -> None:
    table = (report / "paper" / "results.tex").read_text()
    for rate in (0.1, 0.2):
        values = [0.9 - rate + seed / 100 for seed in range(3)]
        expected = rf"{statistics.mean(values):.3f} $\pm$ {statistics.stdev(values):.3f}"
        assert f"{rate} & 3 & {expected}" in table
    assert "99" not in table and "textless" not in table
    assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") == 1


def test_every_run_behind_a_number_is_in_the_appendix_and_no_other(report: Path) -> None:
    text = (report / "paper" / "reproduce.tex").read_text().replace(r"\allowbreak{}", "")
    for rate in (0.1, 0.2):
        for seed in range(3):
            run = run_id(rate, seed)
            section = text[text.index(rf"\item[run] \texttt{{{run}}}") :].partition(r"\end{description}")[0]
            assert rf"\item[seed] {seed}" in section
            assert "--select models/sft" in text.replace("-{}", "-")
            assert re.search(r"output result\] \\texttt\{sha256:[0-9a-f]{64}\}", section)
            assert re.search(r"environment\] \\texttt\{sha256:[0-9a-f]{64}\}", section)
            assert (r"\item[replayed] identical" if run == run_id(0.1, 0) else "not yet") in section
    assert "e0" * 8 not in text and "f0" * 8 not in text
    assert "numpy 2.1.0" in text and "A processor" in text


def test_the_plot_is_a_pdf_with_a_panel_for_each_metric(report: Path) -> None:
    content = (report / "paper" / "curves.pdf").read_bytes()
    assert content.startswith(b"%PDF-") and b"%%EOF" in content[-32:]
    assert b"CreationDate" not in content


def test_what_no_run_has_is_named(filled: Home) -> None:
    with connect(filled) as connection:
        reading = read(connection)
        with pytest.raises(UnknownName, match="accuracy"):
            paper_files(reading, [], ["acuracy"])
        failed = read(connection, ["e0" * 8])
        with pytest.raises(InvalidValue, match="no completed run with a metric"):
            paper_files(failed, [], [])


def test_a_named_metric_is_the_only_one(filled: Home) -> None:
    with connect(filled) as connection:
        reading = read(connection)
        curves = [curve for of_run in read_points(connection, "curves", reading.run_ids) for curve in of_run]
        files = paper_files(reading, curves, ["loss"])
    assert b"loss" in files["results.tex"] and b"accuracy" not in files["results.tex"]


@pytest.mark.parametrize(
    ("differs", "counted"),
    [
        ({}, True),
        ({"state": "FAILED"}, False),
        ({"trial": True}, False),
        ({"replay_of": "a0"}, False),
        ({"run_kind": "parent"}, False),
    ],
)
def test_only_completed_runs_that_are_neither_trials_nor_replays_count(
    differs: dict[str, object], counted: bool
) -> None:
    run = {"state": "COMPLETED", "run_kind": "asset", "trial": False, "replay_of": None}
    assert counts({**run, **differs}) is counted
