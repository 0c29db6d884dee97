from __future__ import annotations

from pathlib import Path

import pytest
from data_manifest_folders import made, verdict
from folders import write

from repro_assets.capture.data_manifest.creation import create_manifest
from repro_assets.errors import InvalidValue

EVERYTHING = ["a.csv", "build/x", "deep/build/x", "deep/er/b.csv", "n.txt", "sub/a.csv", "sub/n.txt"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "data", dict.fromkeys(EVERYTHING, "x"))


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], EVERYTHING),
        (["*.csv"], [], ["a.csv", "deep/er/b.csv", "sub/a.csv"]),
        (["/*.csv"], [], ["a.csv"]),
        (["sub/"], [], ["sub/a.csv", "sub/n.txt"]),
        (["deep/**/b.csv"], [], ["deep/er/b.csv"]),
        (["sub/*.csv"], [], ["sub/a.csv"]),
        ([], ["build/"], ["a.csv", "deep/er/b.csv", "n.txt", "sub/a.csv", "sub/n.txt"]),
        ([], ["/build/"], ["a.csv", "deep/build/x", "deep/er/b.csv", "n.txt", "sub/a.csv", "sub/n.txt"]),
        ([], ["n.txt", "deep"], ["a.csv", "build/x", "sub/a.csv"]),
        ([], ["*", "!a.csv"], ["a.csv"]),
        (["*.csv", "!sub/a.csv"], ["er/"], ["a.csv"]),
        (["A.CSV"], [], []),
    ],
)
def test_patterns_mean_what_they_mean_in_a_gitignore_file(data, include, exclude, expected):
    assert list(create_manifest(data, include=include, exclude=exclude).items) == expected


def test_what_the_patterns_leave_out_is_never_extra_and_what_they_take_is(data, tmp_path):
    manifest = made(data, tmp_path / "m.json", include=["*.csv"], exclude=["build/"])
    write(data, {"sub/more.txt": "x", "sub/build/more.csv": "x"})
    assert verdict(manifest) == set()
    write(data, {"sub/deeper/more.csv": "x"})
    assert verdict(manifest) == {"extra_files"}


def test_a_pattern_matches_names_with_newlines_as_any_other(tmp_path):
    data = write(tmp_path / "data", {"su\nb/a.csv": "x", "a.csv\n": "x", "b\n.csv": "x", "su\nb/a.txt": "x"})
    assert list(create_manifest(data, include=["*.csv"]).items) == ["b\n.csv", "su\nb/a.csv"]


def test_empty_folders_count_as_the_patterns_say(tmp_path):
    data = write(tmp_path / "data", {"a.csv": "x"})
    for name in ("empty/deep", "build/deep"):
        (data / name).mkdir(parents=True)
    assert list(create_manifest(data).items) == ["a.csv", "build/deep", "empty/deep"]
    assert list(create_manifest(data, exclude=["build/"]).items) == ["a.csv", "empty/deep"]
    assert list(create_manifest(data, include=["*.csv"]).items) == ["a.csv"]
    assert list(create_manifest(data, include=["build/"]).items) == ["build/deep"]


@pytest.mark.parametrize("pattern", ["", " ", "# a comment", "!", "[a", "/", "a\\", "\udcff"])
def test_a_pattern_that_can_match_nothing_is_refused(data, pattern):
    for side in ("include", "exclude"):
        with pytest.raises(InvalidValue, match="pattern"):
            create_manifest(data, **{side: [pattern]})
