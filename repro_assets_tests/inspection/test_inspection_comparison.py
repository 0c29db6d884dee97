"""Comparisons: packages as versions, nested settings, three runs, and code from the recorded trees."""

from __future__ import annotations

import json
import shutil

import pytest

from repro_assets.artifacts import repository
from repro_assets.inspection.code_differences import diff_sources
from repro_assets.inspection.comparison import compare_runs
from repro_assets.journal import run_records
from repro_assets.journal.segments import journal_at
from repro_assets.store.home import make_store


@pytest.fixture
def home(tmp_path):
    return make_store(tmp_path / "store")


def environment(home, numpy, **more):
    document = {
        "level": "standard", "python": {"version": "3.11.9"}, "hardware": {"cpu": {"model": "A"}},
        "packages": [{"name": "numpy", "version": numpy}, {"name": "same", "version": "1.0"}], **more,
    }  # fmt: skip
    return str(repository.put(home, document).digest)


def tree(home, folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(repository.put(home, folder).digest)


def record(home, run_id, **started):
    journal_at(home.journal).append(
        run_records.RunStarted(run_id, "asset", run_id, **started), run_records.RunEnded(run_id, "COMPLETED")
    )


def test_packages_are_compared_as_versions_and_nested_settings_by_their_leaves(home):
    config = {"optimizer": {"name": "adam", "lr": 0.1}, "k": 1, "flag": True, "none": None}
    other = {"optimizer": {"name": "adam", "lr": 0.2}, "k": 1.0, "flag": 1}
    record(home, "one", config=config, mode={"threads": 1}, environment=environment(home, "9.0"))
    record(home, "two", config=other, mode={"threads": 2}, environment=environment(home, "12.1"))
    third = environment(home, "9.0.0", hardware={"cpu": {"model": "B"}})
    record(home, "three", config=config, mode={"threads": 1}, environment=third)
    found = compare_runs(home, ["one", "two", "three"]).document()
    assert {each["name"]: each["values"] for each in found["config"]} == {
        "optimizer.lr": (0.1, 0.2, 0.1), "flag": (True, 1, True),
    }  # fmt: skip
    assert found["package"] == [{"name": "numpy", "values": ("9.0", "12.1", "9.0"), "how": (None, "upgrade", None)}]
    assert found["hardware"] == [{"name": "cpu.model", "values": ("A", "A", "B")}]
    assert found["mode"] == [{"name": "threads", "values": (1, 2, 1)}]
    json.dumps(found, default=str)


def test_what_one_run_does_not_speak_of_is_not_taken_for_the_others_value(home):
    record(home, "one", environment=environment(home, "1.0"))
    record(home, "two", environment=environment(home, "2.0"))
    record(home, "three", environment=str(repository.put(home, {"python": {"version": "3.11.9"}}).digest))
    found = compare_runs(home, ["one", "two", "three"])
    (numpy,) = [each for each in found.differences if each.part == "package"]
    assert numpy.values == ("1.0", "2.0", None)
    assert "packages (run three)" in found.not_compared


def test_the_code_is_compared_file_by_file_and_nothing_is_hidden(home, tmp_path):
    folder = tmp_path / "tree"
    long = b"".join(b"%d\n" % number for number in range(15_000))
    before = tree(
        home, folder, {"a.py": b"x = 1\ny = 2", "gone.py": b"1\n", "data": b"\0\1", "long": long, "s": b"\xff"}
    )
    (folder / "a.py").write_bytes(b"x = 1\n\x0cy = 3\n")
    (folder / "gone.py").unlink()
    (folder / "new.py").write_bytes("é = '\u2028'\n".encode())
    (folder / "data").write_bytes(b"\0\2\3")
    (folder / "long").write_bytes(long + b"more\n")
    (folder / "s").chmod(0o755)
    after = str(repository.put(home, folder).digest)
    found = {each.path: each for each in diff_sources(home, before, after)}
    assert {path: (each.change, each.added, each.removed) for path, each in found.items()} == {
        "a.py": ("changed", 1, 1), "gone.py": ("removed", 0, 1), "new.py": ("added", 1, 0),
        "data": ("changed", None, None), "long": ("changed", None, None), "s": ("changed", None, None),
    }  # fmt: skip
    assert found["a.py"].diff == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n\\ No newline at end of file\n+\x0cy = 3\n"
    )
    assert "+é = '\u2028'\n" in found["new.py"].diff
    assert "not text: 2 bytes -> 3 bytes" in found["data"].diff
    assert "30,001 lines are not compared" in found["long"].diff
    assert "executable: False -> True" in found["s"].diff
    assert diff_sources(home, before, before) == []


def test_a_tree_that_is_gone_or_was_never_recorded_leaves_the_rest_comparable(home, tmp_path):
    source = tree(home, tmp_path / "tree", {"a.py": b"1\n"})
    record(home, "one", source=source, seed=1)
    record(home, "two", source="sha256:" + "0" * 64, seed=2)
    record(home, "three", seed=3)
    found = compare_runs(home, ["one", "two", "three"])
    assert {each.name for each in found.differences} == {"seed", "source"}
    assert "sha256:0000" in found.not_compared["code (run two)"]
    assert found.not_compared["code (run three)"] == "run three has no source tree on record"
