"""Spans in the catalog: read once, lost with their file, and never in the way of facts."""

from __future__ import annotations

import shutil

import pytest

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import SPANS_SHOWN, show_run
from repro_assets.catalog.projection import rebuild, refresh
from repro_assets.journal import run_records


def names(home):
    return [row["name"] for row in queries.rows(home, "SELECT name FROM spans ORDER BY name")]


def test_a_span_becomes_a_row(home, traced, span):
    attributes = [
        {"key": "repro.kind", "value": {"stringValue": "epoch"}},
        {"key": "repro.run_id", "value": {"stringValue": "RUN"}},
        {"key": "number", "value": {"intValue": "3"}},
        {"key": "rate", "value": {"doubleValue": 0.5}},
        {"key": "nothing", "value": {"doubleValue": "NaN"}},
        {"key": "sizes", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "2"}]}}},
    ]
    traced(
        home,
        span("ü", attributes=attributes, parentSpanId="b" * 16, status={"code": 2, "message": "no"}),
        span("plain"),
    )
    rows = {row["name"]: row for row in queries.rows(home, "SELECT * FROM spans")}
    row = rows["ü"]
    assert (row["run_id"], row["kind"], row["trace_id"], row["parent_span_id"]) == ("RUN", "epoch", "a" * 32, "b" * 16)
    assert (row["started_at"].isoformat(), row["seconds"]) == ("2026-09-21T14:13:20.250000", 1.5)
    assert (row["status"], row["error"]) == ("error", "no")
    assert row["attributes"] == '{"number": 3, "rate": 0.5, "nothing": "NaN", "sizes": [1, 2], "repro.rank": 1}'
    assert (rows["plain"]["run_id"], rows["plain"]["kind"], rows["plain"]["status"]) == (None, None, "unset")


def test_lines_are_read_once_and_a_torn_one_when_it_is_whole(home, traced, span, tables):
    traced(home, span("one"), span("two"))
    traced(home, span("torn"), end="")
    assert names(home) == ["one", "two"]
    assert not refresh(home).changed
    with (home.traces / "host-1-a.jsonl").open("a") as file:
        file.write("\n")
    traced(home, span("three"), file="host-2-b.jsonl")
    assert names(home) == ["one", "three", "torn", "two"]
    before = tables(home.catalog)
    rebuild(home)
    assert tables(home.catalog) == before
    assert queries.rows(home, "SELECT file, spans FROM trace_files ORDER BY file") == [
        {"file": "host-1-a.jsonl", "spans": 3},
        {"file": "host-2-b.jsonl", "spans": 1},
    ]


def test_spans_go_with_their_file_and_nothing_else_does(home, recorder, traced, span, tables):
    recorder.run("RUN")
    refresh(home)
    without = tables(home.catalog)
    traced(home, span("one", run="RUN"))
    traced(home, span("two", run="RUN"), file="host-2-b.jsonl")
    assert names(home) == ["one", "two"]
    (home.traces / "host-1-a.jsonl").unlink()
    assert names(home) == ["two"]
    shutil.rmtree(home.traces)
    assert names(home) == []
    assert tables(home.catalog) == without


def test_a_folder_of_traces_that_is_none_costs_no_refresh(home, recorder):
    home.traces.write_text("a file")
    recorder.run("RUN")
    assert refresh(home).changed
    assert names(home) == []


def test_a_file_that_was_written_over_is_read_again(home, traced, span):
    traced(home, span("one"), span("two"))
    assert names(home) == ["one", "two"]
    (home.traces / "host-1-a.jsonl").unlink()
    traced(home, span("short"))
    assert names(home) == ["short"]


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "no times"}]}]}]}',
        '{"resourceSpans": 3}',
        "\\ud800",
    ],
)
def test_a_line_that_does_not_read_is_named_and_hides_no_other(home, traced, span, line):
    traced(home, span("before"))
    size = (home.traces / "host-1-a.jsonl").stat().st_size
    with (home.traces / "host-1-a.jsonl").open("a") as file:
        file.write(line + "\n")
    traced(home, span("after"))
    assert names(home) == ["after", "before"]
    (damage,) = queries.rows(home, "SELECT kind, segment, byte_offset, reason FROM damages")
    assert (damage["kind"], damage["segment"], damage["byte_offset"]) == ("trace", "host-1-a.jsonl", size)
    assert damage["reason"].startswith("no spans: ")
    (home.traces / "host-1-a.jsonl").unlink()
    assert queries.rows(home, "FROM damages") == []


def test_a_span_with_an_impossible_time_spoils_no_other_line(home, traced, span):
    traced(home, span("never", startTimeUnixNano=str(10**40), endTimeUnixNano=str(10**40)))
    traced(home, span("now"))
    assert names(home) == ["now"]


def test_a_run_is_shown_with_trace_spans_system_and_missing_sensors(home, recorder, traced, span):
    recorder.run("RUN")
    rows = [["cpu_percent", None, 10.0, 0.0], ["cpu_percent", 3, 30.0, 1.0], ["gpu0_watts", 3, float("nan"), 1.0]]
    recorder.journal.append(
        run_records.RunTraced("RUN", "c" * 32, "d" * 16),
        run_records.Metrics.of("RUN", rows, system=True),
        run_records.ReadingsMissing("RUN", {"gpu": "no driver"}),
    )
    traced(home, *(span(f"stage {n}", run="RUN", endTimeUnixNano=str(1790000000250000000 + n)) for n in range(20)))
    record = show_run(home, "RUN")
    assert record["trace_id"] == "c" * 32
    assert record["system"] == [{"name": "cpu_percent", "mean": 20.0, "greatest": 30.0, "samples": 2}]
    assert record["missing_readings"] == {"gpu": "no driver"}
    slowest = [row["name"] for row in record["slowest_spans"]]
    assert slowest == [f"stage {n}" for n in range(19, 19 - SPANS_SHOWN, -1)]
    wide = queries.rows(
        home, "SELECT system_mean['cpu_percent'] AS mean, system_max['cpu_percent'] AS top FROM runs_wide"
    )
    assert wide == [{"mean": 20.0, "top": 30.0}]
    assert queries.rows(home, "SELECT step, value FROM system_metrics WHERE name = 'cpu_percent' ORDER BY time") == [
        {"step": None, "value": 10.0},
        {"step": 3, "value": 30.0},
    ]
