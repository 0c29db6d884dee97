"""Whether the code that was executed is the recorded code.

Law: a module is first-party if its file, or that of its top-level package, has a place in the tree, in its ``src`` or
in a folder of it that the run imported from; it must have come from the tree, and be the recorded file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from repro_assets.artifacts import repository
from repro_assets.capture.project import source_folders
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home


def wrong_code(
    home: Home, tree: Path, source: str, modules: Mapping[str, str | None], path: Sequence[str] = ()
) -> list[str]:
    """Name the first-party modules that are not the recorded code.

    Parameters
    ----------
    home : Home
        The store.
    tree : Path
        Where the source tree was laid out.
    source : str
        Its digest.
    modules : mapping
        The file of each module that was loaded, by its name.
    path : sequence of str
        Further folders of the tree that modules were imported from.
    """
    manifest = repository.by_digest(home, Digest.parse(source)).manifest
    recorded = {entry.name: entry.objects[0] for entry in manifest.entries if entry.objects}
    folders = ["", *(f"{folder.name}/" for folder in source_folders(tree)[1:]), *(f"{each}/" for each in path)]
    names = {path.removeprefix(folder) for path in recorded for folder in folders if path.startswith(folder)}
    tops = {path.partition("/")[0] for path in names if path.endswith(".py")}
    wrong = []
    for name, file in sorted(modules.items()):
        top = name.partition(".")[0]
        if f"{top}.py" not in names and (top not in tops or f"{top}/__init__.py" not in names):
            continue
        if file is None:
            continue
        there = Path(file)
        if not there.is_relative_to(tree):
            wrong.append(f"{name} came from outside the recorded tree")
        elif recorded.get(there.relative_to(tree).as_posix()) != Digest.of(there.read_bytes()):
            wrong.append(f"{name} is not the recorded file")
    return wrong
