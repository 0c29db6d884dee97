from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
from pathlib import Path

import dagster as dg
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "manifests.md"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "photos"
    (data / "sub/build").mkdir(parents=True)
    for name in ("a.csv", "sub/b.csv", "sub/build/c.csv", "sub/d.txt"):
        (data / name).write_text(name)
    return data


def test_create_answers_with_the_document_and_writes_the_same(repro, data):
    said = repro(
        *("manifest", "create", "photos", "--output", "m.json", "--json", "--include", "*.csv", "--exclude", "build/"),
        *("--hash-algorithm", "md5,sha1", "--hash-algorithm", "sha512", "--metadata", "k=a=b", "--max-files", "1"),
    )
    document = said.document
    assert (said.code, said.err) == (0, "")
    assert document == json.loads(Path("m.json").read_text())
    assert [file["relative_path"] for file in document["files"]] == ["a.csv"]
    assert set(document["files"][0]["hashes"]) == {"md5", "sha1", "sha512"}
    assert (document["truncated"], document["left_out_files"], document["metadata"]) == (True, 1, {"k": "a=b"})


def test_verify_says_valid_with_0_and_what_is_wrong_with_1(repro, data):
    assert repro("manifest", "create", "photos", "--output", "m.json").code == 0
    said = repro("manifest", "verify", "m.json", "--json")
    assert (said.code, said.document["valid"]) == (0, True)
    (data / "a.csv").write_text("a.csw")
    (data / "sub/d.txt").unlink()
    (data / "extra\nfile").write_text("")
    said = repro("manifest", "verify", "m.json", "photos", "--json")
    assert (said.code, said.document["valid"]) == (1, False)
    assert said.document["modified_files"] == ["a.csv"]
    assert said.document["missing_files"] == ["sub/d.txt"]
    assert said.document["extra_files"] == ["extra\nfile"]
    shown = repro("manifest", "verify", "m.json")
    assert shown.code == 1
    assert "NOT VALID: 2 files" in shown.out


def test_diff_exits_with_0_whether_or_not_there_is_a_difference(repro, data):
    repro("manifest", "create", "photos", "--output", "m.json")
    (data / "a.csv").rename(data / "z.csv")
    repro("manifest", "create", "photos", "--base", "m.json", "--output", "n.json")
    said = repro("manifest", "diff", "m.json", "n.json", "--json")
    assert (said.code, said.document["identical"]) == (0, False)
    assert (said.document["renamed"], said.document["unchanged"]) == ([{"from": "a.csv", "to": "z.csv"}], 3)
    assert repro("manifest", "diff", "n.json", "n.json", "--json").document["identical"]


def test_tables_on_a_pipe_show_every_name(repro, data):
    (data / "sub/d.txt").rename(data / ("d" * 200))
    os.mkfifo(data / "fifo")
    said = repro("manifest", "create", "photos", "--output", "m.json")
    assert (said.code, "sockets, FIFOs, devices  1" in said.out) == (0, True)
    shutil.rmtree(data)
    data.mkdir()
    assert "d" * 200 in repro("manifest", "verify", "m.json").out


def test_a_file_that_cannot_be_hashed_is_a_warning(repro, data):
    # A folder whose path is too long for the system cannot be listed.
    here, depth = data, 0
    os.chdir(data)
    while depth < 20:
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
        depth += 1
    os.chdir(here.parent)
    said = repro("manifest", "create", "photos", "--json", "--output", "m.json")
    assert said.code == 0
    assert len(said.document["errors"]) == 1
    assert "warning: " in said.err
    assert repro("manifest", "verify", "m.json").code == 1


@pytest.mark.parametrize(
    "words",
    [
        ("create", "none"),
        ("create", "socket"),
        ("create", "photos", "--hash-algorithm", "crc32"),
        ("create", "photos", "--max-files", "0"),
        ("create", "photos", "--max-files", "many"),
        ("create", "photos", "--include", "#"),
        ("create", "photos", "--metadata", "word"),
        ("create", "photos", "--metadata", "k=1", "--metadata", "k=2"),
        ("create", "photos", "--output", "none/m.json"),
        ("create", "photos", "--output", "photos/a.csv"),
        ("create", "photos", "--output", "photos"),
        ("create", "photos", "--base", "photos/a.csv"),
        ("verify", "none"),
        ("verify", "photos/a.csv"),
        ("verify", "newer.json"),
        ("diff", "newer.json", "newer.json"),
        ("verify",),
    ],
)
def test_a_wrong_request_is_one_line_on_stderr_and_exit_code_2(repro, data, words):
    Path("newer.json").write_text('{"manifest_version": "2.0"}')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    said = repro("manifest", *words, "--json")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert (data / "a.csv").read_text() == "a.csv"


def test_a_full_disk_is_exit_code_3_and_leaves_nothing_half_written(repro, data, small_disk):
    with (small_disk / "rest").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    said = repro("manifest", "create", "photos", "--output", small_disk / "m.json")
    assert said.code == 3
    assert "no space left" in said.err
    assert [path.name for path in small_disk.iterdir()] == ["rest"]


def test_every_command_on_the_page_works(repro, data):
    commands = re.findall(r"^\$ repro (.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) >= 8
    shutil.copytree(data, "copy-of-photos")
    for command in commands:
        said = repro(*shlex.split(command))
        assert (said.code, said.err) == (0, ""), (command, said.err)


def test_the_page_names_every_member_of_the_answers(repro, data):
    page = set(re.findall(r"`([a-z_]+)`", PAGE.read_text()))
    repro("manifest", "create", "photos", "--output", "m.json")
    document = repro("manifest", "create", "photos", "--base", "m.json", "--output", "n.json", "--json").document
    answers = [document, document["changes"]]
    answers.append(repro("manifest", "verify", "n.json", "--json").document)
    answers.append(repro("manifest", "diff", "m.json", "n.json", "--json").document)
    named = {member for answer in answers for member in answer}
    assert named - page == {"manifest", "data_path"} - page


def test_the_python_on_the_page_makes_a_manifest_and_a_source_asset(data, repro):
    made, observed = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(made, names)
    (data / "a.csv").write_text("another")
    assert (
        names["verify_manifest"]("tables.json").document()
        == repro("manifest", "verify", "tables.json", "--json").document
    )
    assert names["verify_manifest"]("tables.json", str(data)).modified_files == ["a.csv"]
    exec(observed, names)
    assert isinstance(names["photos"], dg.SourceAsset)
