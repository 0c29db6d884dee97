"""The difference from a commit to the files, as ``git apply`` reads it.

Laws: no section enters in which the secret scanner finds something, in an added line or in a removed one. New files are
sections too, which are written here, because ``git diff`` knows only what is in the index or a commit; ``git apply``
makes such a file from its section if that has text, and of other files there is only the name. Git is asked again as
soon as one of the files has changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from repro_assets.capture.git import Facts, Worktree
from repro_assets.capture.remembered import Remembered, stamps
from repro_assets.capture.secrets import find_secrets, told

DIFF_LIMIT = 1024 * 1024
"""Largest new file, in bytes, that is shown in a diff. It is in the source tree all the same."""

_QUOTED = re.compile(r'[\x00-\x1f"\\\x7f]')
_ESCAPES = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", '"': '"', "\\": "\\"}


_known = Remembered(None, "diff")  # never on the disk: it has the text of files


def diff_of(
    worktree: Worktree, facts: Facts, reasons: Mapping[str, str | None]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the sections of the changed tracked files.

    Parameters
    ----------
    worktree : Worktree
        The folder.
    facts : Facts
        What git just said of it.
    reasons : mapping
        Changed path to the reason why it is left out; None where it is not.

    Returns
    -------
    list of str
        The sections that were kept, in git's order.
    list of (path, reason)
        The others.

    Raises
    ------
    MachineError
        If git refuses or hangs.
    """
    index = worktree.top / ".git" / "index"
    paths = [f"{worktree.folder}/{path}" for path in facts.changed]
    # A repository below changes without its folder, and the index of a linked worktree is elsewhere: asked every time.
    if not index.is_file() or any(os.path.isdir(path) for path in paths):  # noqa: PTH112
        return _asked(worktree, reasons)
    key, stamp = repr((os.fspath(worktree.folder), facts.commit, dict(reasons))), stamps([index, *paths])
    known: tuple[list[str], list[tuple[str, str]]] | None = _known.get(key, stamp)
    if known is None:
        known = _asked(worktree, reasons)
        _known.clear()
        _known.put(key, stamp, known)
    return list(known[0]), list(known[1])


def _asked(worktree: Worktree, reasons: Mapping[str, str | None]) -> tuple[list[str], list[tuple[str, str]]]:
    kept, dropped = [], []
    for path, section in worktree.diff():
        reason = reasons.get(path)
        if reason is None:
            # Without the first column, so that a removed line reads as it did in its file.
            found = find_secrets(b"\n".join(line[1:] for line in section.split(b"\n")), path)
            reason = told(found) if found else None
        if reason is None:
            kept.append(section.decode("utf-8", "backslashreplace"))
        else:
            dropped.append((path, reason))
    return kept, dropped


def new_file(path: str, content: bytes, executable: bool, link: bool) -> str:
    """Return the section of a patch that adds a file.

    Parameters
    ----------
    path : str
        Relative, with ``/``.
    content : bytes
        Its bytes; of a link, its target's name.
    executable, link : bool
        What it is.
    """
    mode = "120000" if link else "100755" if executable else "100644"
    old, new = _name(f"a/{path}"), _name(f"b/{path}")
    head = f"diff --git {old} {new}\nnew file mode {mode}\n"
    if not content:
        return head
    if b"\0" in content[:8000]:
        return f"{head}Binary files /dev/null and {new} differ\n"
    lines = content.decode("utf-8", "backslashreplace").split("\n")
    ended = lines[-1] == ""
    if ended:
        lines.pop()
    body = "".join(f"+{line}\n" for line in lines)
    count = "" if len(lines) == 1 else f",{len(lines)}"
    # Git puts a tab behind a name with a space, so that `patch` sees where it ends.
    tab = "\t" if " " in path else ""
    return f"{head}--- /dev/null\n+++ {new}{tab}\n@@ -0,0 +1{count} @@\n{body}" + (
        "" if ended else "\\ No newline at end of file\n"
    )


def _name(path: str) -> str:
    if not _QUOTED.search(path):
        return path

    def escape(match: re.Match[str]) -> str:
        return "\\" + (_ESCAPES[match[0]] if match[0] in _ESCAPES else f"{ord(match[0]):03o}")

    return f'"{_QUOTED.sub(escape, path)}"'
