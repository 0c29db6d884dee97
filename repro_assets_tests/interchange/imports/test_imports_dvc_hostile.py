"""What an attacker may put into a DVC repository: refused whole, and nothing of it is written or executed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundled import files_of
from dvc_by_hand import Theirs, md5, taken

from repro_assets.errors import InvalidInput
from repro_assets.interchange import plain_yaml
from repro_assets.interchange.plain_yaml import DEEPEST
from repro_assets.store.home import Home


@pytest.fixture
def theirs(tmp_path: Path) -> Theirs:
    return Theirs(tmp_path / "theirs")


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
