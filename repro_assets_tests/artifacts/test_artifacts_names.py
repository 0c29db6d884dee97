"""Versions are claimed, not counted, and sort as integers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro_assets.artifacts import names
from repro_assets.errors import CorruptRecord, InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home, make_store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


def claim(home: Home, content: str, *, trial: bool = False, collection: str = "model") -> tuple[int, bool]:
    version, new = names.claim(home, collection, Digest.of(content.encode()), "json", "run", trial=trial)
    assert version.digest == Digest.of(content.encode())
    return version.number, new


CLAIM = """
import sys
from pathlib import Path
from repro_assets.artifacts import names
from repro_assets.identity.digest import Digest
from repro_assets.store.home import open_store

home = open_store(Path(sys.argv[1]))
digests = [Digest.of(sys.argv[3].encode() + b"%d" % number) for number in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.readline()
print(*(names.claim(home, "model", digest, "json", None, trial=False)[0].number for digest in digests))
"""


def claim_at_once(home: Home, each: int, contents: list[str]) -> list[list[int]]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(home.root), str(each), content],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for content in contents
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [[int(word) for word in process.communicate(timeout=60)[0].split()] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return answers


def test_eight_processes_that_claim_get_one_number_each_without_a_gap(home: Home) -> None:
    answers = claim_at_once(home, 1, [f"content {number}" for number in range(8)])
    assert sorted(number for (number,) in answers) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [version.number for version in names.versions(home, "model")] == [1, 2, 3, 4, 5, 6, 7, 8]
    # A process that starts afresh goes on, and overwrites nothing.
    before = [version.digest for version in names.versions(home, "model")]
    ((ninth, tenth),) = claim_at_once(home, 2, ["later"])
    assert (ninth, tenth) == (9, 10)
    assert [version.digest for version in names.versions(home, "model")][:8] == before


def test_eight_processes_that_claim_the_same_artifact_share_one_version(home: Home) -> None:
    assert claim_at_once(home, 1, ["same"] * 8) == [[1]] * 8


def test_the_newest_of_twelve_is_the_twelfth(home: Home) -> None:
    for number in range(1, 13):
        assert claim(home, str(number)) == (number, True)
    newest = names.newest(home, "model")
    assert str(newest) == "model:v12"
    assert newest.digest == Digest.of(b"12")
    assert [version.number for version in names.versions(home, "model")] == list(range(1, 13))
    with pytest.raises(UnknownName, match="v12"):
        names.version(home, "model", 13)


def test_what_was_claimed_is_read_back(home: Home) -> None:
    digest = Digest.of(b"x")
    expected = names.Version("model", 1, digest, "tensors", "run-1", True)
    assert names.claim(home, "model", digest, "tensors", "run-1", trial=True) == (expected, True)
    assert names.version(home, "model", 1) == expected
    assert names.newest(home, "model", trials=True) == expected
    assert names.collections(home) == ["model"]
    assert list(home.temporary.iterdir()) == []


def test_an_artifact_that_equals_the_newest_version_is_that_version_and_an_older_one_is_a_new(home: Home) -> None:
    assert claim(home, "a") == (1, True)
    assert claim(home, "a") == (1, False)
    assert claim(home, "b") == (2, True)
    assert claim(home, "a") == (3, True)
    assert claim(home, "a", collection="other") == (1, True)


def test_a_trial_is_never_what_others_load(home: Home) -> None:
    assert claim(home, "a", trial=True) == (1, True)
    with pytest.raises(UnknownName, match="model"):
        names.newest(home, "model")
    # A trial takes what is there; a run that is no trial does not take over a trial's version.
    assert claim(home, "a", trial=True) == (1, False)
    assert claim(home, "a") == (2, True)
    assert claim(home, "a", trial=True) == (2, False)
    assert claim(home, "b", trial=True) == (3, True)
    assert names.newest(home, "model").number == 2
    assert names.newest(home, "model", trials=True).number == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15)
@given(claims=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_claims_follow_their_rules(home: Home, claims: list[tuple[str, bool]]) -> None:
    collection = f"model-{len(names.collections(home))}"
    home.names.joinpath(collection).mkdir(parents=True)
    model: list[tuple[str, bool]] = []
    for content, trial in claims:
        taken = bool(model) and model[-1][0] == content and (trial or not model[-1][1])
        if not taken:
            model.append((content, trial))
        assert claim(home, content, trial=trial, collection=collection) == (len(model), not taken)
    found = [(version.digest, version.trial) for version in names.versions(home, collection)]
    assert found == [(Digest.of(content.encode()), trial) for content, trial in model]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "-a", ".a", "a b", "a\n", "é", "a" * 201, "a:v1"])
def test_what_cannot_name_a_collection_is_refused(home: Home, name: str) -> None:
    for ask in (names.newest, names.versions):
        with pytest.raises(InvalidValue, match="cannot name"):
            ask(home, name)
    with pytest.raises(InvalidValue, match="cannot name"):
        claim(home, "x", collection=name)
    assert not home.names.exists()


@pytest.mark.parametrize("name", ["a", "dataset-cota_sft", "model-1.2+b", "_x", "9", "a" * 200])
def test_what_names_a_collection_is_taken(home: Home, name: str) -> None:
    assert claim(home, "x", collection=name) == (1, True)
    assert names.collections(home) == [name]


def test_what_is_not_there_is_named(home: Home) -> None:
    assert names.collections(home) == []
    assert names.versions(home, "model") == []
    with pytest.raises(UnknownName, match="model"):
        names.newest(home, "model")
    for number in (0, 1, -1):
        with pytest.raises(UnknownName, match=f"version {number}"):
            names.version(home, "model", number)


@pytest.mark.parametrize("name", [".DS_Store", "01", "1.bak", "0", "١"])
def test_a_file_that_another_program_left_is_no_version(home: Home, name: str) -> None:
    claim(home, "a")
    (home.names / "model" / name).write_text("x")
    (home.names / "file").write_text("x")
    assert [version.number for version in names.versions(home, "model")] == [1]
    assert claim(home, "b") == (2, True)
    assert names.collections(home) == ["model"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"digest": "x", "kind": "json", "run_id": null, "trial": false}',
        b'{"digest": 1, "kind": "json", "run_id": null, "trial": false}',
        b'{"digest": "sha256:%s", "kind": "json", "run_id": null, "trial": "no"}' % (b"a" * 64),
        b'{"digest": "sha256:%s", "kind": null, "run_id": null, "trial": false}' % (b"a" * 64),
    ],
)
def test_a_damaged_claim_is_named_and_never_overwritten(home: Home, content: bytes) -> None:
    claim(home, "a")
    path = home.names / "model" / "1"
    path.write_bytes(content)
    for ask in (names.newest, names.versions):
        with pytest.raises(CorruptRecord, match="model/1"):
            ask(home, "model")
    with pytest.raises(CorruptRecord, match="model/1"):
        claim(home, "b")
    assert path.read_bytes() == content
