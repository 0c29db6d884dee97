"""Files of traces: the same rows whichever the format, errors with the line, and data sets made from them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training.filter_file import FilterFileConfig, filter_file
from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.trace_files import COLUMNS, FORMATS, format_of, read_traces_file, write_traces_file
from repro_assets.training.traces import TracesConfig, generate_traces


@pytest.fixture(scope="module")
def raw(new_run, splits):
    few = {name: values[:120] for name, values in splits["sft"].items()}
    return generate_traces(new_run(), TracesConfig(per_image=4), few)


def config(format, **more):
    return FilterFileConfig(file_format=format, **more)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_reads_back_and_filters_like_the_table(raw, new_run, format):
    data = write_traces_file(raw, format)
    assert data == write_traces_file(raw.copy(), format)
    read = read_traces_file(data, format)
    assert read.table.to_dict("list") == raw.to_dict("list")
    assert (len(read.places), read.left_out) == (len(raw), [])
    run, other = new_run(), new_run()
    kept = filter_file(run, config(format, min_quality_score=0.6), data)
    pd.testing.assert_frame_equal(kept, filter_and_score(other, FilterConfig(min_quality_score=0.6), raw))
    assert run.curves == other.curves


@pytest.mark.parametrize("format", FORMATS)
def test_a_filtered_file_can_be_filtered_again_and_says_what_it_leaves_out(raw, new_run, format):
    kept = filter_and_score(new_run(), FilterConfig(), raw)
    run = new_run()
    again = filter_file(run, config(format), write_traces_file(kept, format))
    pd.testing.assert_frame_equal(kept, again)
    assert run.params["columns_left_out"] == ["quality", "difficulty"]


@pytest.mark.parametrize("kind", ["rft", "eval"])
def test_a_set_of_questions_has_the_best_trace_of_each_image_and_counts_the_others(raw, new_run, kind):
    whole, run = filter_and_score(new_run(), FilterConfig(), raw), new_run()
    best = filter_file(run, config("jsonl", dataset_type=kind), write_traces_file(raw, "jsonl"))
    assert best["image_id"].is_unique
    assert set(best["image_id"]) == set(whole["image_id"])
    highest = whole.groupby("image_id")["quality"].max()
    assert best.set_index("image_id")["quality"].to_dict() == highest.to_dict()
    dropped = {name: run.last(name) for name in run.curves if name.startswith("dropped/")}
    assert dropped["dropped/not_the_best"] == len(whole) - len(best)
    assert run.last("kept") == len(best)
    assert len(best) + sum(dropped.values()) == run.last("traces") == len(raw)


GOOD = {
    "image_id": 1,
    "trace_id": 0,
    "label": 4,
    "actions": [3, 20],
    "thoughts": ["1 (0.600) or 4 (0.350)", "4 (0.900) or 1 (0.050)"],
}


def jsonl(*rows):
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 3: it is not JSON"),
        ("[1]", "line 3: it is a list, not an object"),
        ({**GOOD, "trace_id": 2, "label": 11}, "trace 2 in line 3: label is 11"),
        ({**GOOD, "trace_id": 2, "label": None}, "trace 2 in line 3: label is None"),
        ({**GOOD, "trace_id": 2, "label": 4.0}, r"trace 2 in line 3: label is 4\.0"),
        ({**GOOD, "trace_id": "x"}, "trace in line 3: trace_id is 'x'"),
        ({**GOOD, "trace_id": 0}, "trace 0 in line 3: its trace_id is used twice"),
        ({**GOOD, "trace_id": 2, "actions": [3, 4]}, "trace 2 in line 3: the last action 4 is a look"),
        ({**GOOD, "trace_id": 2, "thoughts": ["a", "b"]}, "trace 2 in line 3: the thought 'a'"),
        ({name: GOOD[name] for name in COLUMNS if name != "actions"}, "line 3: it has no actions"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(new_run, row, said):
    with pytest.raises(InvalidInput, match=said):
        filter_file(new_run(), config("jsonl"), jsonl(GOOD, "", row))


def csv(*lines):
    return "\n".join(["image_id,trace_id,label,actions,thoughts", *lines]).encode()


FINE = '1,0,4,"[3, 20]","[""1 (0.600) or 4 (0.350)"",\n ""4 (0.900) or 1 (0.050)""]"'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (csv(FINE, "2,1,4"), "line 4: it has 3 fields, the header 5"),
        (csv(FINE, '2,one,4,"[20]","[]"'), "line 4: trace_id is 'one', not a whole number"),
        (csv(FINE, '2,1,4,20,"[]"'), "trace 1 in line 4: actions is an int"),
        (csv(FINE, '2,1,4,[,"[]"'), r"line 4: actions is '\[', not a JSON list"),
        (csv(FINE, '2,1,4,[,"[\n]"', FINE), r"line 4: actions is '\['"),
        (csv(FINE, '2,1,4,"[20]'), "it is not CSV"),
        (b"image_id,label,label\n", "line 1: the column label is there twice"),
        (b"image_id\n1\n", "line 2: it has no trace_id and no label"),
        (csv(), "holds none"),
        (b"a\nb\xff\n", "line 2: it is not UTF-8"),
    ],
)
def test_a_malformed_line_of_csv_is_named_where_it_begins(new_run, data, said):
    with pytest.raises(InvalidInput, match=said):
        filter_file(new_run(), config("csv"), data)


def test_a_malformed_row_of_parquet_is_named(new_run):
    buffer = io.BytesIO()
    pd.DataFrame([GOOD, {**GOOD, "trace_id": 1, "actions": [40, 20]}]).to_parquet(buffer)
    with pytest.raises(InvalidInput, match="trace 1 in row 2: action 40"):
        filter_file(new_run(), config("parquet"), buffer.getvalue())
    with pytest.raises(InvalidInput, match="not Parquet"):
        filter_file(new_run(), config("parquet"), b"PAR1")


def test_what_is_no_file_of_traces_is_refused(new_run):
    with pytest.raises(InvalidInput, match="holds none"):
        filter_file(new_run(), config("jsonl"), b"\n\n")
    with pytest.raises(InvalidInput, match="is a dict, not the bytes"):
        filter_file(new_run(), config("jsonl"), {})
    for path in ("raw", "raw.json", "raw.txt"):
        with pytest.raises(InvalidValue, match=r"\.jsonl, \.csv, \.parquet"):
            format_of(Path(path))
    assert format_of(Path("RAW.CSV")) == "csv"
    for wrong in ({"dataset_type": "test"}, {"file_format": "xml"}):
        with pytest.raises(ValueError, match="one of"):
            FilterFileConfig(**wrong)
