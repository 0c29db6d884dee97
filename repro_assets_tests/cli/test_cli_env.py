"""``repro env``: environments by every name that they have, and exit codes that say what was found."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.capture.environment import capture_environment
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home

Repro = Callable[..., Any]

RUN_A, RUN_B = "dddddddd44444444", "eeeeeeee55555555"


@pytest.fixture
def documents(home: Home) -> tuple[dict[str, Any], dict[str, Any]]:
    """The environments of two runs, which differ in one package and one thread count."""
    first = capture_environment(variables={"OMP_NUM_THREADS": "1"}).document
    second = copy.deepcopy(first)
    second["variables"]["OMP_NUM_THREADS"] = "2"
    numpy = next(each for each in second["packages"] if each["name"] == "numpy")
    numpy["version"] = "99.1"
    for run_id, document, threads in ((RUN_A, first, 1), (RUN_B, second, 2)):
        digest = str(repository.put(home, document).digest)
        settings = {"threads": threads}
        begin(home, RunStarted(run_id, "asset", f"of-{run_id}", environment=digest, settings=settings)).end()
    return first, second


def changed(document: dict[str, Any]) -> set[tuple[str, str | None]]:
    assert not document["added"] and not document["removed"]
    return {(row["name"], row["how"]) for row in document["changed"]}


def test_two_runs_differ_in_package_variable_and_setting(repro: Repro, documents: Any) -> None:
    said = repro("env", "diff", RUN_A, f"of-{RUN_B}", "--json")
    assert said.code == 0
    expected = {("numpy", "upgrade"), ("variables.OMP_NUM_THREADS", None), ("settings.threads", None)}
    assert changed(said.document) == expected
    assert not said.document["equal"]
    shown = repro("env", "diff", RUN_B, RUN_A)
    assert shown.code == 0
    assert "downgrade" in shown.out and "settings.threads" in shown.out and "3 differences" in shown.out
    same = repro("env", "diff", RUN_A, RUN_A)
    assert (same.code, same.out) == (0, "equal\n")


def test_a_digest_and_a_file_name_an_environment_and_a_file_needs_no_store(
    repro: Repro, home: Home, documents: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = str(repository.put(home, documents[0]).digest)
    plain, wrapped = tmp_path / "environment.json", tmp_path / "system_info.json"
    plain.write_text(json.dumps(documents[1]))
    wrapped.write_text(json.dumps({"platform": {"system": "Linux"}, "environment": documents[1]}))
    expected = {("numpy", "upgrade"), ("variables.OMP_NUM_THREADS", None)}
    assert changed(repro("env", "diff", digest, plain, "--json").document) == expected
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "nowhere"))
    assert repro("env", "diff", plain, wrapped, "--json").document["equal"]
    current = repro("env", "diff", "current", plain, "--json")
    assert current.code == 0
    assert "numpy" in {row["name"] for row in current.document["changed"]}


def test_what_names_no_environment_is_a_wrong_request(repro: Repro, home: Home, documents: Any, tmp_path: Path) -> None:
    for name, text in {"list.json": "[]", "other.json": '{"files": []}', "torn.json": "{"}.items():
        (tmp_path / name).write_text(text)
        said = repro("env", "diff", tmp_path / name, "current")
        assert (said.code, said.out) == (2, "") and name in said.err
    unknown = repro("env", "diff", "no-such-thing", "current")
    assert unknown.code == 2 and "there is no run, environment or file named 'no-such-thing'" in unknown.err
    model = repro("env", "diff", "model-small", "current")
    assert model.code == 2 and "neither packages nor python" in model.err
    without = repro("env", "diff", "aaaaaaaa11111111", "current")
    assert without.code == 2 and "has no environment on record" in without.err
    gone = "sha256:" + "0" * 64
    begin(home, RunStarted("ffffffff66666666", "asset", "lost", environment=gone)).end()
    lost = repro("env", "diff", "ffffffff66666666", "current")
    assert lost.code == 2 and gone in lost.err


def test_a_check_answers_with_its_code(repro: Repro) -> None:
    met = repro("env", "check", "--package", "numpy>=2", "--package", "torch", "--json")
    assert met.code == 0
    assert met.document == {"is_valid": True, "errors": [], "warnings": []}
    lacking = repro("env", "check", "--package", "numpy<1", "--min-gpu-memory-gb", "100000")
    assert lacking.code == 1
    assert "<1 is required" in lacking.out and "GPU" in lacking.out and "NOT VALID" in lacking.out
    for wrong in (("--package", "numpy>="), ("--min-cuda-version", "twelve"), ("--min-gpu-memory-gb", "-1")):
        said = repro("env", "check", *wrong)
        assert (said.code, said.out) == (2, "") and wrong[1] in said.err


def test_an_unknown_run_cannot_be_restored(repro: Repro, home: Home, tmp_path: Path) -> None:
    said = repro("env", "restore", "no-such-run", "--to", tmp_path / "env")
    assert said.code == 2 and "no-such-run" in said.err
    assert not (tmp_path / "env").exists()


def test_a_capture_writes_its_files_and_says_under_which_digest_a_store_holds_it(
    repro: Repro, home: Home, tmp_path: Path
) -> None:
    said = repro("env", "capture", "--output-dir", str(tmp_path / "out"), "--json")
    assert said.code == 0
    assert said.document["level"] == "standard"
    files = [Path(name) for name in said.document["files"]]
    assert [file.name for file in files] == ["requirements.txt", "system_info.json"]
    environment = json.loads(files[1].read_text())["environment"]
    assert str(repository.put(home, environment).digest) == said.document["digest"]
    assert f"numpy=={version('numpy')}" in files[0].read_text().splitlines()
    shown = repro("env", "capture", "--level", "1", "--output-dir", str(tmp_path / "out"))
    assert shown.code == 0
    assert "captured (basic)" in shown.out
    assert repro("env", "diff", str(files[1]), str(files[1])).out.endswith("equal\n")


@pytest.mark.parametrize("words", [["--level", "4"], ["--level", "all"]])
def test_a_capture_of_no_level_is_refused(repro: Repro, tmp_path: Path, words: list[str]) -> None:
    said = repro("env", "capture", *words, "--output-dir", str(tmp_path / "out"))
    assert said.code == 2
    assert "capture level" in said.err
    assert not (tmp_path / "out").exists()
