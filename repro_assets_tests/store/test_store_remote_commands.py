"""The commands for remotes, and the page about them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro_assets.cli.app import main
from repro_assets.store.home import make_store
from repro_assets.store.objects import LocalObjects

PAGE = Path(__file__).parents[2] / "docs" / "remotes.md"
Repro = Callable[..., tuple[int, str, str]]


@pytest.fixture
def repro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Repro:
    """Executes a command line on the store `home`, in the folder that holds it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "shared").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def execute(home: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("REPRO_HOME", str(make_store(tmp_path / home).root))
        capsys.readouterr()
        code = main(words)
        return (code, *capsys.readouterr())

    return execute


def _document(said: tuple[int, str, str], code: int = 0) -> Any:
    assert said[0] == code, said
    return json.loads(said[1])


def _results(tmp_path: Path, text: str = "measured") -> None:
    folder = tmp_path / "work" / "results"
    folder.mkdir(exist_ok=True)
    for number in range(12):
        (folder / f"{number}.txt").write_text(f"{text} {number}\n" * 50)


def test_every_command_of_the_page_does_what_it_is_shown_for(tmp_path: Path, repro: Repro) -> None:
    _results(tmp_path)
    block = re.search(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    commands = [line.removeprefix("$ ") for line in block[1].splitlines()]
    assert len(commands) == 12
    (tmp_path / "shared-store").mkdir()
    for command in commands:
        code, _, err = repro("here", *shlex.split(command)[1:])
        assert code == 0, f"{command}: {err}"
    assert (tmp_path / "shared-store" / "names" / "results" / "1").is_file()


def test_the_answers_count_what_travelled(tmp_path: Path, repro: Repro) -> None:
    _results(tmp_path)
    repro("here", "artifacts", "put", "results", "--name", "results")
    pushed = _document(repro("here", "store", "push", "../shared", "--json"))
    assert (pushed["objects"], pushed["names"], pushed["skipped"]) == (13, 1, 0)
    assert pushed["bytes"] > 0 and pushed["conflicts"] == pushed["failed"] == []
    pulled = _document(repro("there", "store", "pull", "../shared", "--json"))
    assert (pulled["objects"], pulled["names"], pulled["skipped"]) == (13, 1, 0)
    assert repro("there", "artifacts", "get", "results", "--to", "got")[0] == 0
    assert (tmp_path / "work" / "got" / "3.txt").read_text() == "measured 3\n" * 50
    (listed,) = _document(repro("there", "artifacts", "list", "--json"))
    assert listed["name"] == "results:v1"


def test_without_a_remote_the_default_is_meant(tmp_path: Path, repro: Repro) -> None:
    _results(tmp_path)
    repro("here", "artifacts", "put", "results", "--name", "results")
    repro("here", "store", "remote", "add", "other", "../shared")
    for word in ("push", "pull"):
        code, out, err = repro("here", "store", word)
        assert (code, out) == (2, "") and "none is the default" in err and len(err.splitlines()) == 1
    repro("here", "store", "remote", "add", "origin", "../shared", "--default")
    assert _document(repro("here", "store", "push", "--json"))["objects"] == 13
    repro("there", "store", "remote", "add", "origin", "../shared", "--default")
    learnt = _document(repro("there", "store", "pull", "--records", "--json"))
    assert (learnt["objects"], learnt["names"]) == (0, 1)


def test_a_conflict_is_shown_and_is_exit_code_1(tmp_path: Path, repro: Repro) -> None:
    for home in ("here", "there"):
        _results(tmp_path, home)
        repro(home, "artifacts", "put", "results", "--name", "results")
    assert repro("here", "store", "push", "../shared")[0] == 0
    code, out, _ = repro("there", "store", "push", "../shared")
    assert code == 1 and "results:v1" in out
    (clash,) = _document(repro("there", "store", "pull", "../shared", "--json"), 1)["conflicts"]
    assert clash["local"] != clash["remote"]


def test_what_is_missing_comes_when_it_is_read_and_fsck_can_fetch_it(tmp_path: Path, repro: Repro) -> None:
    _results(tmp_path)
    repro("here", "artifacts", "put", "results", "--name", "results")
    repro("here", "store", "push", "../shared")
    repro("there", "store", "remote", "add", "origin", "../shared", "--default")
    learnt = _document(repro("there", "store", "pull", "origin", "--records", "--json"))
    assert learnt["objects"] == 0 and learnt["names"] == 1
    assert repro("there", "artifacts", "get", "results", "--to", "got")[0] == 0
    repro("other", "store", "pull", "../shared", "--records")
    assert repro("other", "store", "fsck")[0] == 1
    (tmp_path / "empty").mkdir()
    code, _, said = repro("other", "store", "fsck", "--repair", "../empty")
    assert code == 2 and "holds nothing of a store" in said
    found = _document(repro("other", "store", "fsck", "--full", "--repair", "../shared", "--json"))
    assert found["ok"] and len(found["repaired"]) == 13 and found["lost"] == []
    assert len(list(LocalObjects(make_store(tmp_path / "other")).digests())) == 13


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["push", "nowhere"], 2),
        (["pull", "../not-there"], 2),
        (["push", "../not-there"], 2),
        (["remote", "add", "disk", "../not-there"], 2),
        (["remote", "add", "bad", "work"], 2),
        (["push", "s3://key:secret@bucket"], 2),
        (["remote", "remove", "nobody"], 2),
        (["push", "s3://bucket"], 3),
    ],
)
def test_what_cannot_be_done_is_one_line(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = repro("here", "store", *words)
    assert said[0] == code and said[1] == "" and len(said[2].splitlines()) == 1 and "secret" not in said[2]
