"""What differs between the source trees of two runs, file by file, as unified diffs.

Laws: every file that differs is named, and nothing of a difference is cut; what has no lines (bytes that are no text,
links, modes) or too many of them is told in words. The trees are read from the store, so neither the repository nor its
history is needed.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping
from dataclasses import dataclass

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds.tree import Tree
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry
from repro_assets.store.home import Home

MOST_LINES = 20_000
"""Lines of both files together that are compared line by line; more would take minutes."""


@dataclass(frozen=True, slots=True)
class FileDifference:
    """One file that differs.

    Parameters
    ----------
    path : str
        Its path in the tree.
    change : str
        ``added``, ``removed`` or ``changed``.
    added, removed : int or None
        Numbers of lines; None where the file is not compared by lines.
    diff : str
        The unified diff, or one line that says why there is none.
    """

    path: str
    change: str
    added: int | None
    removed: int | None
    diff: str


def diff_sources(home: Home, a: str, b: str) -> list[FileDifference]:
    """Return the files that differ from one source tree to another, by path.

    Parameters
    ----------
    home : Home
        The store.
    a, b : str
        Digests of the trees.

    Raises
    ------
    UnknownName, MissingObject, CorruptObject
        If a tree is gone, or its bytes are gone or do not match.
    """
    trees: list[Mapping[str, bytes]] = []
    listed: list[dict[str, Entry]] = []
    for digest in (a, b):
        artifact = repository.by_digest(home, Digest.parse(digest), name=f"source tree {digest}")
        tree: Tree = artifact.load()
        trees.append(tree)
        listed.append({entry.name: entry for entry in artifact.manifest.entries})
    found = []
    for path in sorted({*listed[0], *listed[1]}):
        before, after = listed[0].get(path), listed[1].get(path)
        if before != after:
            found.append(_difference(path, before, after, *trees))
    return found


def _difference(
    path: str, before: Entry | None, after: Entry | None, tree_a: Mapping[str, bytes], tree_b: Mapping[str, bytes]
) -> FileDifference:
    change = "added" if before is None else "removed" if after is None else "changed"
    words = [] if before is None or after is None else _facts_that_differ(before, after)
    names = "/dev/null" if before is None else f"a/{path}", "/dev/null" if after is None else f"b/{path}"
    if before is not None and after is not None and before.objects == after.objects:
        return FileDifference(path, change, None, None, _told(names, words))
    texts = [
        _text(tree[path] if entry is not None and entry.objects else b"")
        for tree, entry in ((tree_a, before), (tree_b, after))
    ]
    if texts[0] is None or texts[1] is None:
        return FileDifference(path, change, None, None, _told(names, [*words, f"not text: {_sizes(before, after)}"]))
    # Only newlines part lines: a form feed or one of Unicode's separators within a string begins no line of code.
    one, other = (list(io.StringIO(text, newline="\n")) for text in texts if text is not None)
    if len(one) + len(other) > MOST_LINES:
        reason = f"{len(one) + len(other):,} lines are not compared one by one: {_sizes(before, after)}"
        return FileDifference(path, change, None, None, _told(names, [*words, reason]))
    if not one and not other and not words:
        words = ["empty, a link or a folder"]
    lines = [_ended(line) for line in difflib.unified_diff(one, other, *names)]
    body = "".join(lines)
    shown = f"{_told(names, words)}{body}" if words else body
    return FileDifference(
        path,
        change,
        sum(line.startswith("+") for line in lines[2:]),
        sum(line.startswith("-") for line in lines[2:]),
        shown,
    )


def _facts_that_differ(before: Entry, after: Entry) -> list[str]:
    return [
        f"{name}: {before.facts.get(name)} -> {after.facts.get(name)}"
        for name in sorted({*before.facts, *after.facts})
        if before.facts.get(name) != after.facts.get(name)
    ]


def _told(names: tuple[str, str], words: list[str]) -> str:
    return f"{names[0]} {names[1]}: {'; '.join(words)}\n"


def _sizes(before: Entry | None, after: Entry | None) -> str:
    return " -> ".join(f"{entry.size} bytes" if entry is not None else "none" for entry in (before, after))


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _text(data: bytes) -> str | None:
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
