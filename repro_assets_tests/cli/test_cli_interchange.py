"""``repro export --format bundle``, ``repro import`` and ``repro attest``: words, codes and documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.artifacts import repository
from repro_assets.cli.app import main
from repro_assets.interchange.formats import EXPORTS, IMPORTS
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

Repro = Callable[..., Any]
A, B, C = "aaaaaaaa11111111", "bbbbbbbb22222222", "cccccccc33333333"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Home:
    return make_store(tmp_path / "elsewhere")


def test_a_bundle_goes_from_one_store_to_another_and_answers_there(
    repro: Repro, home: Home, elsewhere: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = repro("export", A, "model-small:v2", "--to", tmp_path / "out", "--format", "bundle", "--json")
    path = tmp_path / "out" / "aaaaaaaa.repro"
    assert said.code == 0, said.err
    document = said.document
    assert (document["path"], document["verified"], document["runs"]) == (str(path), True, 2)
    assert document["bytes"] == path.stat().st_size and document["name"] == f"{A} and 1 more"
    assert repro("export", A, "--to", path, "--format", "bundle").code == 2
    monkeypatch.setenv("REPRO_HOME", str(elsewhere.root))
    for _ in range(2):
        told = repro("import", path, "--dry-run", "--json")
        assert told.code == 0 and told.document["dry_run"] and told.document["runs"] == [A, B]
    done = repro("import", path, "--json")
    assert done.code == 0, done.err
    assert {**told.document, "dry_run": False} == done.document
    again = repro("import", path, "--format", "bundle")
    assert again.code == 0 and "0 runs, 0 records, 0 versions and 0 objects" in again.out
    shown = repro("runs", "show", A, "--json")
    assert shown.code == 0 and shown.document["run_id"] == A and shown.document["state"] == "COMPLETED"
    assert repro("lineage", "show", "model-small:v1", "--json").code == 0
    assert repro("store", "fsck", "--full").code == 0
    assert repro("runs", "show", C).code == 2


def test_an_export_with_options_or_names_that_do_not_fit_is_one_line(repro: Repro, home: Home, tmp_path: Path) -> None:
    begin(home, RunStarted("dddddddd44444444", "script", "goes"))
    to = tmp_path / "a.repro"
    for words, said in (
        ((A, "--to", to, "--format", "bundel"), f"one of {', '.join(EXPORTS)}"),
        (("nothing", "--to", to, "--format", "bundle"), "there is no run or artifact 'nothing'"),
        (("dddddddd", "--to", to, "--format", "bundle"), "has not ended"),
        ((A, B, "--to", tmp_path / "a.md", "--format", "card"), "takes one run or artifact"),
        (("model-small", "--to", tmp_path / "a.md", "--format", "card", "--anonymize"), "has no --anonymize"),
        (("model-small", "--to", tmp_path / "a.md", "--format", "card", "--with-environment"), "no --with-environment"),
        ((A, "--to", home.root / "journal" / "a.repro", "--format", "bundle"), "belongs to the store"),
        ((A, "--to", tmp_path / "none" / "a.repro", "--format", "bundle"), "its folder is not there"),
    ):
        answer = repro("export", *words, "--json")
        assert (answer.code, answer.out) == (2, ""), words
        assert said in answer.err and answer.err.count("\n") == 1, answer.err
    assert not to.exists()


def test_an_import_that_is_refused_is_one_line_and_makes_no_store(
    repro: Repro, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.repro"
    assert repro("export", A, "--to", path, "--format", "bundle").code == 0
    path.write_bytes(path.read_bytes()[:-5])
    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setenv("REPRO_HOME", str(tmp_path / "new"))
    for words, said in (
        ((path, "--dry-run"), "it was cut short or changed"),
        ((tmp_path / "none.repro", "--dry-run"), "there is no file"),
        ((tmp_path, "--dry-run"), "say --format mlflow, tensorboard, dvc for"),
        ((tmp_path / "run.json", "--dry-run"), "say --format mlflow, tensorboard, dvc for"),
        ((path, "--format", "zip", "--dry-run"), f"one of {', '.join(IMPORTS)}"),
    ):
        answer = repro("import", *words, "--json")
        assert (answer.code, answer.out) == (2, ""), words
        assert said in answer.err and answer.err.count("\n") == 1, answer.err
    assert not (tmp_path / "new").exists()


def test_a_version_that_is_another_artifact_here_is_named_and_the_code_is_one(
    repro: Repro, home: Home, elsewhere: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.repro"
    assert repro("export", A, "--to", path, "--format", "bundle").code == 0
    mine = repository.claim(repository.put(elsewhere, {"mine": 1}), "model-small")
    monkeypatch.setenv("REPRO_HOME", str(elsewhere.root))
    said = repro("import", path, "--json")
    assert said.code == 1
    assert [(item["name"], item["local"]) for item in said.document["conflicts"]] == [
        ("model-small:v1", str(mine.digest))
    ]
    assert repro("import", path).code == 1


def test_attest_signs_and_verifies_and_says_no_with_code_one(
    repro: Repro, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = repro("attest", "keygen", "--to", tmp_path, "--json")
    key, public = tmp_path / "attest.pem", tmp_path / "attest.pem.pub"
    assert made.code == 0 and (made.document["private_key"], made.document["public_key"]) == (str(key), str(public))
    assert repro("attest", "keygen", "--to", tmp_path).code == 2
    signed = repro("attest", A, B, "--key", key, "--json")
    assert signed.code == 0 and signed.document["path"] == "aaaaaaaa.intoto.json"
    assert signed.document["runs"] == [A, B] and len(signed.document["subjects"]) == 2
    assert repro("attest", A, "--key", key, "--to", tmp_path / "b.json").code == 0
    taken = repro("attest", A, "--key", key, "--to", tmp_path / "b.json")
    assert taken.code == 2 and "--force" in taken.err
    path = tmp_path / "aaaaaaaa.intoto.json"
    found = repro("attest", "verify", path, "--public-key", public, "--json")
    assert found.code == 0 and found.document["verified"] is True
    assert [item["stored"] for item in found.document["subjects"]] == [True, True]
    assert "verified: signed by" in repro("attest", "verify", path, "--public-key", public).out
    assert repro("attest", "keygen", "--to", tmp_path / "other.pem").code == 0
    no = repro("attest", "verify", path, "--public-key", tmp_path / "other.pem.pub", "--json")
    assert no.code == 1 and no.document["verified"] is False and no.err.count("\n") == 1
    for words, said in (
        (("nothing", "--key", key), "there is no run 'nothing'"),
        ((C, "--key", key), "is FAILED"),
        ((A, "--key", tmp_path / "none.pem", "--to", tmp_path / "c.json"), "there is no file"),
        (("verify", key, "--public-key", public), "no signed attestation"),
        (("verify", path, "--public-key", key), "no public key"),
    ):
        answer = repro("attest", *words, "--json")
        assert (answer.code, answer.out) == (2, ""), words
        assert said in answer.err and answer.err.count("\n") == 1


def test_the_commands_of_the_page_run_as_they_are_written(
    repro: Repro, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    block = (
        (Path(__file__).parents[2] / "docs" / "attest.md").read_text().partition("```console\n")[2].partition("```")[0]
    )
    lines = [line.removeprefix("$ repro ") for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        answer = repro(*({"RUN": A, "OTHER": B}.get(word, word) for word in line.split()))
        assert answer.code == 0, answer.err


def test_the_commands_are_in_the_help_and_load_no_heavy_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "import" in said and "attest" in said
    assert main(["attest", "--help"]) == 0
    said = capsys.readouterr().out
    assert "keygen" in said and "verify" in said and "RUN..." in said


def test_runs_go_to_other_trackers_and_come_from_them(
    repro: Repro, home: Home, elsewhere: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("tensorboard", "mlflow"):
        to = tmp_path / tool
        said = repro("export", "--where", "state = 'COMPLETED'", "--to", to, "--format", tool, "--json")
        assert said.code == 0, said.err
        assert (said.document["path"], said.document["verified"]) == (str(to), True)
        assert said.document["runs"] == [A, B] and said.document["format"] == tool
        with monkeypatch.context() as patch:
            patch.setenv("REPRO_HOME", str(elsewhere.root))
            told = repro("import", to, "--format", tool, "--dry-run", "--json")
            done = repro("import", to, "--format", tool, "--json")
            assert done.code == 0, done.err
            assert {**told.document, "dry_run": False} == done.document and len(done.document["runs"]) == 2
            again = repro("import", to, "--format", tool)
            assert again.code == 0 and "0 runs, 0 records" in again.out
            shown = repro("runs", "show", done.document["runs"][0], "--json").document
            assert (shown["name"], shown["imported_from"][0]["tool"]) == ("small-seed1", tool)
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"SQLite format 3\0 and no more")
    wrong = repro("import", tmp_path / "mlflow", "--format", "mlflow", "--dry-run")
    assert wrong.code == 2 and wrong.err.count("\n") == 1 and "damaged" in wrong.err and not wrong.out
