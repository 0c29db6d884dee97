"""Forms of a DVC repository that DVC of today does not write: of older versions, of other tools, and of an attacker."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundled import files_of
from hypothesis import given
from hypothesis import strategies as st

from repro_assets.artifacts import names, repository
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidInput
from repro_assets.interchange import formats, plain_yaml
from repro_assets.interchange.dvc_objects import OBJECTS, object_path
from repro_assets.interchange.imports.dvc import collection_of
from repro_assets.interchange.plain_yaml import DEEPEST
from repro_assets.store.home import Home


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Theirs:
    """A repository without git, written by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".dvc").mkdir(parents=True)

    def keep(self, data: bytes, name: str | None = None, *, legacy: bool = False) -> str:
        """Put bytes into the cache and return what they are called there."""
        name = name or md5(data)
        cache = self.root / ".dvc" / "cache"
        path = object_path(cache if legacy else cache / OBJECTS, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def keep_folder(self, entries: Any) -> str:
        data = json.dumps(entries).encode()
        return self.keep(data, f"{md5(data)}.dir")

    def place(self, name: str) -> Path:
        return object_path(self.root / ".dvc" / "cache" / OBJECTS, name)

    def track(self, path: str, name: str, file: str = "x.dvc", **more: Any) -> None:
        (self.root / file).write_text(json.dumps({"outs": [{"path": path, "md5": name, "hash": "md5"}], **more}))


@pytest.fixture
def theirs(tmp_path: Path) -> Theirs:
    return Theirs(tmp_path / "theirs")


def taken(home: Home, theirs: Theirs) -> Any:
    return formats.take_in(theirs.root, "dvc", home=home)


def values(home: Home, collection: str) -> list[Any]:
    return [repository.handle(home, version).load() for version in names.versions(home, collection)]


def _climbing(theirs: Theirs) -> None:
    theirs.track("../outside", theirs.keep(b"x"))


def _absolute(theirs: Theirs) -> None:
    theirs.track(str(theirs.root / "x"), theirs.keep(b"x"))


def _home(theirs: Theirs) -> None:
    theirs.track("~/x", theirs.keep(b"x"))


def _windows(theirs: Theirs) -> None:
    theirs.track("C:\\x", theirs.keep(b"x"))


def _itself(theirs: Theirs) -> None:
    theirs.track(".", theirs.keep(b"x"))


def _working_outside(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep(b"x"), wdir="../..")


def _lock_outside(theirs: Theirs) -> None:
    outs = [{"path": "sub/../../x", "md5": theirs.keep(b"x"), "hash": "md5"}]
    (theirs.root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"a": {"cmd": "c", "outs": outs}}}))


def _damaged(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep(b"x", md5(b"y")))


def _damaged_list(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep(b"[]", f"{md5(b'[ ]')}.dir"))


def _linked(theirs: Theirs) -> None:
    name = theirs.keep(b"x")
    theirs.place(name).rename(theirs.root / "aside")
    theirs.place(name).symlink_to(theirs.root / "aside")
    theirs.track("x", name)


def _linked_folder(theirs: Theirs) -> None:
    name = theirs.keep(b"x")
    theirs.place(name).parent.rename(theirs.root / "aside")
    theirs.place(name).parent.symlink_to(theirs.root / "aside")
    theirs.track("x", name)


def _pipe(theirs: Theirs) -> None:
    name = theirs.keep(b"x")
    theirs.place(name).unlink()
    os.mkfifo(theirs.place(name))
    theirs.track("x", name)


def _listing(*paths: Any) -> Callable[[Theirs], None]:
    def make(theirs: Theirs) -> None:
        name = theirs.keep(b"x")
        theirs.track("x", theirs.keep_folder([{"md5": name, "relpath": path} for path in paths]))

    return make


def _no_listing(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep_folder({"md5": md5(b"x"), "relpath": "x"}))


def _listing_of_lists(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep_folder([{"md5": f"{md5(b'')}.dir", "relpath": "x"}]))


def _deep_listing(theirs: Theirs) -> None:
    data = b"[" * 100_000
    theirs.track("x", theirs.keep(data, f"{md5(data)}.dir"))


def _bomb(theirs: Theirs) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    (theirs.root / "x.dvc").write_text("\n".join(lines))


def _merging_bomb(theirs: Theirs) -> None:
    lines = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))]
    (theirs.root / "x.dvc").write_text("\n".join(lines))


def _holding_itself(theirs: Theirs) -> None:
    (theirs.root / "x.dvc").write_text("outs: &a [*a]")


def _deep(theirs: Theirs) -> None:
    (theirs.root / "x.dvc").write_text("outs: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


def _very_deep(theirs: Theirs) -> None:
    (theirs.root / "x.dvc").write_text("[" * 1_000_000)


def _large(theirs: Theirs) -> None:
    with (theirs.root / "x.dvc").open("wb") as file:
        file.truncate(1 << 40)


def _text(text: str) -> Callable[[Theirs], None]:
    def make(theirs: Theirs) -> None:
        (theirs.root / "x.dvc").write_text(text)

    return make


def _no_unicode(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep(b"x"))
    (theirs.root / "x.dvc").rename(os.fsdecode(bytes(theirs.root) + b"/\xff.dvc"))


def _link_to_a_file_of_dvcs(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep(b"x"))
    (theirs.root / "x.dvc").rename(theirs.root / "real")
    (theirs.root / "x.dvc").symlink_to("real")


def _linked_configuration(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep(b"x"))
    (theirs.root / ".dvc" / "config").symlink_to("/dev/zero")


def _configuration(theirs: Theirs) -> None:
    theirs.track("x", theirs.keep(b"x"))
    (theirs.root / ".dvc" / "config").write_bytes(b"\xff[cache\n")


HOSTILE = {
    "a path above": (_climbing, "not inside"),
    "an absolute path": (_absolute, "not inside"),
    "a home": (_home, "not inside"),
    "a drive": (_windows, "not inside"),
    "the repository itself": (_itself, "the repository itself"),
    "a working folder above": (_working_outside, "not inside"),
    "a path of a lock above": (_lock_outside, "not inside"),
    "other bytes": (_damaged, "is damaged"),
    "another list": (_damaged_list, "is damaged"),
    "a link in the cache": (_linked, "is a link"),
    "a linked folder in the cache": (_linked_folder, "is a link"),
    "a pipe in the cache": (_pipe, "is no file"),
    "a list that leads out": (_listing("../../x"), "not a relative path"),
    "a list with a root": (_listing("/etc/x"), "not a relative path"),
    "a list with an empty name": (_listing("a//b"), "not a relative path"),
    "a list with a zero": (_listing("a\0b"), "not a relative path"),
    "a file below a file": (_listing("a", "a/b"), "below something"),
    "a path twice": (_listing("a", "a"), "a path twice"),
    "half a character": (_listing("\ud800"), "not taken"),
    "a number as a path": (_listing(7), "no list of a folder's files"),
    "no list": (_no_listing, "no list of a folder's files"),
    "a list of lists": (_listing_of_lists, "no list of a folder's files"),
    "a list without a bottom": (_deep_listing, "no list of a folder's files"),
    "a bomb": (_bomb, "more than"),
    "a bomb of merges": (_merging_bomb, "more than"),
    "what holds itself": (_holding_itself, "of itself"),
    "what is deep": (_deep, "deeper than"),
    "what is very deep": (_very_deep, "deeper than"),
    "what is large": (_large, "bytes"),
    "no YAML": (_text("a: [b"), "is not YAML"),
    "no bytes of a text": (_text("a: \x07"), "is not YAML"),
    "a text": (_text("hello"), "not a dictionary"),
    "no list of outputs": (_text("outs: {path: x}"), "no list of files"),
    "no path": (_text("outs: [{md5: 00000000000000000000000000000000}]"), "which is no text"),
    "no MD5": (_text("outs: [{path: x, md5: ../../../../etc/passwd}]"), "has the MD5"),
    "a command of numbers": (_text("cmd: [1, 2]"), "a command that is no text"),
    "a name that is no text": (_no_unicode, "no Unicode text"),
    "an object of Python's": (_text("outs: !!python/object/apply:os.system [touch sprung]"), "names and values"),
    "a link instead of a file of DVC's": (_link_to_a_file_of_dvcs, "is no file"),
    "a link instead of a configuration": (_linked_configuration, "is no file"),
    "no configuration": (_configuration, "no configuration"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_whole(name: str, theirs: Theirs, empty: Home) -> None:
    make, said = HOSTILE[name]
    good = theirs.keep(b"good")
    theirs.track("good", good, file="good.dvc")
    make(theirs)
    before = files_of(empty)
    with pytest.raises(InvalidInput, match=said):
        taken(empty, theirs)
    assert files_of(empty) == before


def test_half_a_character_is_refused_where_libyaml_is_not_there(
    theirs: Theirs, empty: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_yaml, "_base", lambda: yaml.SafeLoader)
    monkeypatch.setattr(plain_yaml, "_loader", plain_yaml._loader.__wrapped__)
    (theirs.root / "x.dvc").write_text('outs: [{path: "\\ud800", md5: 00000000000000000000000000000000}]')
    with pytest.raises(InvalidInput, match="which is no text"):
        taken(empty, theirs)
    theirs.track("x", theirs.keep(b"x"))
    assert taken(empty, theirs).versions == ["x:v1"]


def test_tags_of_python_make_nothing(theirs: Theirs, empty: Home) -> None:
    (theirs.root / "x.dvc").write_text(
        f"outs:\n- path: x\n  hash: md5\n  md5: {theirs.keep(b'x')}\ndesc: !!python/object/apply:os.system ['exit 1']\n"
    )
    assert taken(empty, theirs).versions == ["x:v1"]


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
