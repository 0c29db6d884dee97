"""Where the files of an execution that Dagster did not do lie when it is done again.

Laws: everything is laid out in one empty folder, the source tree at the project's place in it, a file that a command
reads at the path where it reads it, relative to the project's top. A path outside of the project is given a place in
the folder as well, in every word that names it, so that nothing of the machine is written over; a file there that is
read only, and still has the recorded bytes, is read where it is. What was done is said.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from repro_assets.artifacts import repository
from repro_assets.errors import InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.replay.records import Recorded
from repro_assets.store.home import Home

_PARENTS = 3
_WILD = "*?["


@dataclass(slots=True)
class Places:
    """A laid-out execution.

    Parameters
    ----------
    tree : Path
        The project's top.
    folder : Path
        Where the process begins.
    moved : dict
        Where paths of the recorded machine are now.
    notes : list of str
        What a person should know of it.
    """

    tree: Path
    folder: Path
    moved: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def there(self, text: str) -> str:
        """Return a word with every path in it that has moved replaced."""
        for path in sorted(self.moved, key=len, reverse=True):
            pattern = rf"(?<![\w.~/-]){re.escape(path)}(?=$|[/\s'\":;,)])"
            text = re.sub(pattern, lambda _: self.moved[path], text)  # noqa: B023 (called at once)
        return text

    def slot(self, name: str) -> str:
        """Return what a path that is named now was called then."""
        for path, now in self.moved.items():
            if name == now or name.startswith(f"{now}/"):
                return path + name.removeprefix(now)
        return name


def lay_out(home: Home, run: Recorded, work: Path) -> Places:
    """Lay the source tree out in an empty folder, and of a command the files that it reads.

    Parameters
    ----------
    home : Home
        The store.
    run : Recorded
        Whose process is going to be started.
    work : Path
        The folder, resolved.

    Raises
    ------
    InvalidValue
        If what it needs cannot have a place; nothing has been started then.
    """
    root = Path(str(run.plan.get("project_root") or "/project"))
    around = work / "around"
    tree = around.joinpath(*root.parts[1:][-_PARENTS:])
    tree.parent.mkdir(parents=True)
    repository.by_digest(home, Digest.parse(str(run.source)), name="source tree").lay_out(tree)
    there = Path(str(run.plan.get("working_folder", ".")))
    places = Places(tree, tree / there, {str(root): str(tree)})
    if there.is_absolute():
        places.folder = work / "folder"
        places.notes.append(f"it was started in {there}, outside of its project; an empty folder stands for that")
    places.folder.mkdir(parents=True, exist_ok=True)
    if run.run_kind == "command":
        _lay_out_inputs(home, run, places, around)
        _move_outputs(run, places, around)
    return places


def _lay_out_inputs(home: Home, run: Recorded, places: Places, around: Path) -> None:
    for number, (slot, _, digest) in enumerate(run.inputs):
        assert slot is not None and digest is not None
        artifact = repository.by_digest(home, Digest.parse(digest), name=slot)
        inside = Path(os.path.normpath(places.tree / slot))
        if not Path(slot).is_absolute() and not inside.is_relative_to(around):
            raise InvalidValue(f"the input {slot} of run {run.run_id} lies too far above its project to be laid out")
        target = around.parent / "outside" / str(number) / Path(slot).name if Path(slot).is_absolute() else inside
        # What the source tree has at this place are the same bytes, or those of before.
        _remove(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        artifact.lay_out(target)
        if not Path(slot).is_absolute():
            continue
        if slot not in run.products and Path(slot).is_file() and filecmp.cmp(slot, target, shallow=False):
            places.notes.append(f"{slot}, outside of the project, is as it was, and is read there")
        else:
            places.moved[slot] = str(target)
            places.notes.append(f"{slot} is outside of the project; what was read then lies in another place")


def _move_outputs(run: Recorded, places: Places, around: Path) -> None:
    """Give what the command makes outside of the project a place of its own."""
    outside = [slot for slot in run.products if Path(slot).is_absolute() and slot not in places.moved]
    for pattern in run.plan.get("outputs", []):
        fixed = Path(pattern)
        while any(letter in str(fixed) for letter in _WILD):
            fixed = fixed.parent
        outside += [str(fixed if str(fixed) != pattern else fixed.parent)] if fixed.is_absolute() else []
    for number, path in enumerate(dict.fromkeys(outside)):
        if Path(path).is_relative_to(str(run.plan.get("project_root"))):
            continue
        target = around.parent / "made" / str(number) / Path(path).name
        (target if path not in run.products else target.parent).mkdir(parents=True)
        places.moved[path] = str(target)
        places.notes.append(f"what it makes at {path}, outside of the project, is made elsewhere")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
