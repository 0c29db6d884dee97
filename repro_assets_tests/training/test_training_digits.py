from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training.digits import SPLITS, DigitsConfig, SplitConfig, digits_from_csv, read_digits, split_digits

COMMITTED = Path(__file__).parents[2] / "data" / "raw" / "digits.csv"


def test_the_committed_file_holds_scikit_learns_digits(raw_digits):
    from sklearn.datasets import load_digits

    theirs = load_digits()
    assert raw_digits["images"].dtype == raw_digits["labels"].dtype == np.uint8
    assert np.array_equal(raw_digits["images"], theirs.images)
    assert np.array_equal(raw_digits["labels"], theirs.target)


def test_bytes_and_file_read_alike(new_run, raw_digits):
    run = new_run()
    read = digits_from_csv(run, DigitsConfig(), COMMITTED.read_bytes())
    assert all(np.array_equal(read[name], raw_digits[name]) for name in raw_digits)
    assert run.last("images") == 1797
    with pytest.raises(InvalidInput, match=r"raw/digits.csv, line 1798"):
        digits_from_csv(run, DigitsConfig(), COMMITTED.read_bytes().rsplit(b"\n", 2)[0])


def change(line, text):
    def spoil(lines):
        lines[line - 1] = text(lines[line - 1]) if callable(text) else text
        return lines

    return spoil


def field(line, column, text):
    def replace(old):
        fields = old.split(",")
        fields[column] = text
        return ",".join(fields)

    return change(line, replace)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (change(1, lambda old: old.replace("p07", "q07")), 1),
        (change(1, lambda old: old.replace("p07,p08", "p08,p07")), 1),
        (change(3, lambda old: old.rsplit(",", 1)[0]), 3),
        (change(3, lambda old: old + ",1"), 3),
        (change(9, ""), 9),
        (field(5, 10, "17"), 5),
        (field(5, 10, "-1"), 5),
        (field(5, 10, "3.5"), 5),
        (field(5, 10, "٣"), 5),
        (field(5, 10, ""), 5),
        (field(7, 1, "10"), 7),
        (field(7, 0, "4"), 7),
        (change(4, '"0'), 4),
        (lambda lines: lines[:-1], 1798),
        (lambda lines: [*lines, lines[-1]], 1799),
        (lambda lines: [], 1),
    ],
)
def test_a_malformed_file_is_refused_by_name_and_line(tmp_path, spoil, line):
    path = tmp_path / "spoilt.csv"
    path.write_text("\n".join(spoil(COMMITTED.read_text().splitlines())) + "\n", encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_digits(path)
    assert str(path) in caught.value.message
    assert f"line {line}:" in caught.value.message
    assert caught.value.remedy


def test_a_file_that_is_missing_unreadable_or_not_text_is_refused_by_name(tmp_path):
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nothing.csv", tmp_path, binary):
        with pytest.raises(InvalidInput, match=path.name) as caught:
            read_digits(path)
        assert caught.value.remedy


def test_splits_are_disjoint_complete_and_of_the_sizes_asked_for(splits, raw_digits):
    assert {name: len(split["images"]) for name, split in splits.items()} == {
        "sft": 450, "rft": 450, "validation": 97, "stream": 400, "test": 400,
    }  # fmt: skip
    ids = np.concatenate([split["image_ids"] for split in splits.values()])
    assert sorted(ids.tolist()) == list(range(1797))
    for name, split in splits.items():
        assert np.array_equal(split["images"], raw_digits["images"][split["image_ids"]])
        if name != "stream":
            assert np.array_equal(split["labels"], raw_digits["labels"][split["image_ids"]])


def test_the_stream_carries_no_labels(splits):
    assert set(splits["stream"]) == {"images", "image_ids"}


def test_every_split_holds_every_digit_within_two_of_its_share(splits, raw_digits):
    share = np.bincount(raw_digits["labels"]) / 1797
    for split in splits.values():
        counts = np.bincount(raw_digits["labels"][split["image_ids"]], minlength=10)
        assert np.abs(counts - share * len(split["image_ids"])).max() <= 2


def test_a_split_is_a_function_of_the_seed(new_run, raw_digits, splits):
    again = split_digits(new_run(0), SplitConfig(), raw_digits)
    other = split_digits(new_run(1), SplitConfig(), raw_digits)
    for name in SPLITS:
        assert np.array_equal(again[name]["image_ids"], splits[name]["image_ids"])
        assert not np.array_equal(other[name]["image_ids"], splits[name]["image_ids"])


def test_sizes_may_leave_images_over_but_not_ask_for_more(new_run, raw_digits):
    run = new_run()
    small = split_digits(run, SplitConfig(sft=20, rft=20, validation=10, stream=0, test=10), raw_digits)
    assert sum(len(split["images"]) for split in small.values()) == 60
    assert run.last("split/unused") == 1797 - 60
    with pytest.raises(InvalidValue, match="1798"):
        split_digits(new_run(), SplitConfig(test=401), raw_digits)
    with pytest.raises(ValidationError):
        SplitConfig(test=-1)
    with pytest.raises(ValidationError):
        SplitConfig(unknown=1)
