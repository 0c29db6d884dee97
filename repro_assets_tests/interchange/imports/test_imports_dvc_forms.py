"""Forms of a DVC repository that DVC of today does not write: of older versions, of clouds, of templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dvc_by_hand import Theirs, md5, taken
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.artifacts import names, repository
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidInput
from repro_assets.interchange.imports.dvc import collection_of
from repro_assets.store.home import Home


@pytest.fixture
def theirs(tmp_path: Path) -> Theirs:
    return Theirs(tmp_path / "theirs")


def values(home: Home, collection: str) -> list[Any]:
    return [repository.handle(home, version).load() for version in names.versions(home, collection)]


def test_texts_of_dvc_2_are_known_by_their_hash_without_line_ends_of_dos(theirs: Theirs, empty: Home) -> None:
    text, binary, long = b"a\r\nb\r\n", b"\0a\r\n", b"first" + b"line\r\n" * 400_000
    # A block of DVC's ends between the two characters of one line end: it counted them block by block.
    blocks = [long[start : start + (1 << 20)] for start in range(0, len(long), 1 << 20)]
    assert any(block.endswith(b"\r") for block in blocks)
    unix = b"".join(block.replace(b"\r\n", b"\n") for block in blocks)
    # What begins as no text and goes on as text: DVC 2 left it alone, DVC 3 looks at each block.
    mixed = b"\0" * (1 << 20)
    for name, data, hashed in (
        ("text", text, md5(b"a\nb\n")),
        ("binary", binary, md5(binary)),
        ("long", long, md5(unix)),
        ("mixed2", mixed + text, md5(mixed + text)),
        ("mixed3", mixed + text, md5(mixed + b"a\nb\n")),
    ):
        theirs.keep(data, hashed, legacy=True)
        (theirs.root / f"{name}.dvc").write_text(f"outs:\n- md5: '{hashed}'\n  path: {name}\n")
    listed = json.dumps([{"md5": md5(b"a\nb\n"), "relpath": "in/text"}]).encode()
    theirs.keep(listed, f"{md5(listed)}.dir", legacy=True)
    # Before DVC 2 a lock had no schema, and before that a stage was a file of its own.
    (theirs.root / "dvc.lock").write_text(f"old:\n  cmd: make\n  outs:\n  - path: folder\n    md5: {md5(listed)}.dir\n")
    (theirs.root / "single.dvc").write_text(
        f"cmd: ./single\ndeps:\n- md5: {md5(b'a' + bytes([10]) + b'b' + bytes([10]))}\n  path: text\nouts: []\n"
    )
    done = taken(empty, theirs)
    assert done.left_out == []
    assert values(empty, "text") == [text] and values(empty, "binary") == [binary] and values(empty, "long") == [long]
    (folder,) = values(empty, "folder")
    assert dict(folder) == {"in/text": text}
    single = next(run for run in (show_run(empty, run) for run in done.runs) if run["name"] == "single.dvc")
    assert single["imported_from"][0]["details"]["command"] == "./single"
    assert [row["slot"] for row in single["inputs"]] == ["text"]
    # What DVC 3 tracks is no other than it is.
    theirs.track("text3", md5(b"a\nb\n"), file="text3.dvc")
    theirs.keep(text, md5(b"a\nb\n"))
    with pytest.raises(InvalidInput, match="is damaged"):
        taken(empty, theirs)


def test_what_lies_elsewhere_is_named_and_the_rest_comes(theirs: Theirs, empty: Home) -> None:
    given = {
        "outs": [
            {"path": "s3://bucket/data", "etag": "abc"},
            {
                "path": "cloud",
                "files": [{"relpath": "a", "md5": theirs.keep(b"a"), "cloud": {"s3": {}}}],
                "hash": "md5",
            },
            {"path": "nothing"},
        ],
        "deps": [
            {"path": "data.xml", "repo": {"url": "https://u:secret@forge.example/x", "rev_lock": "c0ffee"}},
            {"path": "https://u:secret@other.example/y", "checksum": "1"},
            {"path": "/abs/olute", "md5": md5(b"")},
            {"path": "../beside", "md5": md5(b"")},
        ],
    }
    (theirs.root / "x.dvc").write_text(json.dumps(given))
    done = taken(empty, theirs)
    assert [item["name"] for item in done.left_out] == ["s3://bucket/data", "nothing"]
    (cloud,) = values(empty, "cloud")
    assert dict(cloud) == {"a": b"a"}
    shown = json.dumps(show_run(empty, done.runs[0]), default=str)
    assert "secret" not in shown and "forge.example/x" in shown and "/abs/olute" in shown


def test_stages_of_templates_and_of_folders_of_their_own(theirs: Theirs, empty: Home) -> None:
    (theirs.root / "sub").mkdir()
    pipeline = {
        "stages": {
            "each": {
                "foreach": ["a", "b"],
                "do": {
                    "cmd": "x",
                    "wdir": "deep",
                    "outs": ["${item}"],
                    "metrics": ["${item}.json", "m.json", "n.yaml"],
                },
            },
            "moved": {"cmd": "y", "wdir": "${where}", "outs": ["o"], "desc": "of a template"},
        }
    }
    (theirs.root / "sub" / "dvc.yaml").write_text(json.dumps(pipeline))

    def out(path: str, data: bytes) -> dict[str, str]:
        return {"path": path, "md5": theirs.keep(data), "hash": "md5"}

    metrics = [out("m.json", b'{"loss": 1, "yes": true}'), out("n.yaml", b"acc: .inf\n"), out("o.json", b"[")]
    stages = {
        "each@a": {"cmd": ["x 1", "x 2"], "outs": [out("a", b"a"), *metrics], "params": {"params.yaml": {"n": 1}}},
        "moved": {"cmd": "y", "outs": [out("o", b"o")]},
    }
    (theirs.root / "sub" / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))
    done = taken(empty, theirs)
    runs = {run["name"]: run for run in (show_run(empty, run) for run in done.runs)}
    assert {row["slot"] for row in runs["each@a"]["outputs"]} == {
        f"sub/deep/{n}" for n in ("a", "m.json", "n.yaml", "o.json")
    }
    assert runs["each@a"]["imported_from"][0]["details"]["command"] == ["x 1", "x 2"]
    points = queries.rows(empty, "SELECT name, value, step FROM metrics ORDER BY name")
    assert points == [
        {"name": "m.loss", "value": 1.0, "step": None},
        {"name": "n.acc", "value": float("inf"), "step": None},
    ]
    assert runs["moved"]["outputs"] == [] and runs["moved"]["note"] == "of a template"
    assert [item["name"] for item in done.left_out] == ["moved"]


def test_metrics_that_do_not_read_are_said_to_be_so(theirs: Theirs, empty: Home) -> None:
    files = {
        "a.json": b"{", "b.csv": b"a,b", "c.toml": b"[x]\ny = 2.5\n", "d.json": b"7",
        "e.json": b'{"x":' * 5000 + b"1" + b"}" * 5000,
    }  # fmt: skip
    outs = [{"path": n, "md5": theirs.keep(data), "hash": "md5", "metric": True} for n, data in files.items()]
    (theirs.root / "x.dvc").write_text(json.dumps({"cmd": "x", "outs": outs}))
    done = taken(empty, theirs)
    assert [row["name"] for row in queries.rows(empty, "SELECT name FROM metrics ORDER BY name")] == [
        "c.x.y",
        "d.value",
    ]
    warnings = show_run(empty, done.runs[0])["warnings"]
    assert [" ".join(text.split()[:4]) for text in warnings] == [
        "the metrics of a.json",
        "the metrics of b.csv",
        "the metrics of e.json",
    ]


PARTS = st.text(st.sampled_from("aB1_.-+ ü"), min_size=1, max_size=4).filter(lambda part: part not in (".", ".."))
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@given(st.sets(PATHS, min_size=2, max_size=30))
def test_no_two_paths_have_one_collection(paths: set[str]) -> None:
    made = {collection_of(path) for path in paths}
    assert len(made) == len(paths)
    for name in made:
        names.check_new_name(name)


def test_collections_are_called_as_a_person_would() -> None:
    assert collection_of("data/train.csv") == "data__train.csv"
    assert collection_of("model.bin") == "model.bin"
    assert collection_of("deadbeef").startswith("deadbeef_")
    assert collection_of("a/_b") != collection_of("a_/b") != collection_of("a__b")
    assert len(collection_of("x/" * 300 + "x")) < 200
