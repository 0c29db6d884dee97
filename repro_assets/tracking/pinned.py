"""What a replay pins: which runs are executed again, and what each of them read.

Laws: whoever replays names a file in the variable `PINS`. An experiment that begins there is the one of the recorded
runs that has its name, its parent and, of several, its configuration and seed, else the first of them that nobody has
become yet, in whatever process; it reads the pinned artifacts whatever it asks for, claims no version, and is recorded
as a replay. One that no recorded run stands for, and a slot that the first run did not read, are refused. A process
says which modules it had loaded, so that wrong code can be noticed.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from repro_assets.capture.project import project_root
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.recording.redaction import redact

PINS = "REPRO_PINS"
FORMAT = 2
_CLAIMS, _RUNS, MODULES = "claims", "runs", "modules"


@dataclass(frozen=True, slots=True)
class PinnedRun:
    """A run that is executed again.

    Parameters
    ----------
    run_id, name : str
        Its id and name.
    parent : str or None
        The run that it belonged to, where that is executed again too.
    inputs : dict
        Digest of what it read, by slot.
    source : str or None
        Digest of its source tree, which is the one that is executed.
    source_facts : dict
        What its record says of the source.
    config : dict
        Its configuration, as recorded.
    seed : int or None
        Its seed.
    until : list of str
        Of a run that was interrupted, what it had made; where all of that is made again, the replay ends.
    """

    run_id: str
    name: str
    parent: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    source_facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    until: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pinned:
    """An execution that is done again.

    Parameters
    ----------
    runs : tuple of PinnedRun
        Its runs, in the order in which they began.
    folder : Path
        Where pinned files are laid out, and the processes of the replay leave what they say.
    tree : Path or None
        The project's top now; the one of the current folder where there is none.
    project_root : str or None
        Where the project's top was.
    """

    runs: tuple[PinnedRun, ...]
    folder: Path
    tree: Path | None = None
    project_root: str | None = None

    def written(self, path: Path) -> dict[str, str]:
        """Write them into a file and return the variable that a process needs to find it."""
        document = {
            "format": FORMAT,
            "runs": [asdict(run) for run in self.runs],
            "folder": str(self.folder),
            "tree": None if self.tree is None else str(self.tree),
            "project_root": self.project_root,
        }
        path.write_text(json.dumps(document), "utf-8")
        return {PINS: str(path)}

    def replays(self) -> dict[str, str]:
        """Return the run that each of the recorded runs was executed as, as far as they have begun."""
        folder = self.folder / _CLAIMS
        return {path.name: path.read_text() for path in sorted(folder.glob("*"))} if folder.is_dir() else {}

    def modules(self) -> dict[str, str]:
        """Return the file of each module that the processes of the replay said they had loaded."""
        found: dict[str, str] = {}
        for path in sorted((self.folder / MODULES).glob("*.json")):
            found |= json.loads(path.read_text())
        return found


@dataclass(frozen=True, slots=True)
class Pins:
    """What is pinned for one run.

    Parameters
    ----------
    run : PinnedRun
        The run that is executed again.
    pinned : Pinned
        The execution that it belongs to.
    """

    run: PinnedRun
    pinned: Pinned

    @property
    def inputs(self) -> dict[str, str]:
        """Digest of what was read, by slot."""
        return self.run.inputs

    @property
    def folder(self) -> Path:
        """Where pinned files are laid out."""
        return self.pinned.folder

    def there(self, path: Path) -> Path:
        """Return where a path of the project, as it was called then, is now; any other path as it is."""
        root = self.pinned.project_root
        if root is None or not path.is_absolute() or not path.is_relative_to(root):
            return path
        return top() / path.relative_to(root)


def pinned() -> Pinned | None:
    """Return what this process executes again; None where it is no replay.

    Raises
    ------
    InvalidInput
        If the file of pins does not read.
    """
    path = os.environ.get(PINS)
    return _read(path) if path else None


def top() -> Path:
    """Return the project's top: the laid-out tree of a replay, else as `project_root` finds it."""
    found = pinned()
    return project_root() if found is None or found.tree is None else found.tree


def pins_for(
    run_id: str, name: str, parent: str | None, config: Mapping[str, Any], seed: int | None, *, rank: int = 0
) -> Pins | None:
    """Return what is pinned for a run that begins in this process; None where it is no replay.

    Parameters
    ----------
    run_id, name, parent, config, seed
        What is about to be recorded of it.
    rank : int
        Which of several processes of one launcher this is; what all but the first begin is recorded by the first.

    Raises
    ------
    InvalidInput
        If the file of pins does not read.
    InvalidValue
        If no run that is executed again is left that it could be.
    """
    found = pinned()
    if found is None:
        return None
    above = None if parent is None else _original_of(found, parent)
    taken = set(_here.values())
    like = [run for run in found.runs if run.name == name and run.parent == above and run.run_id not in taken]
    shown = redact(dict(config), "config")[0]
    # A configuration that went through JSON is compared with one that did too.
    plain = json.loads(json.dumps(shown))
    same = [run for run in like if (run.config, run.seed) == (plain, seed)]
    for run in (*same, *(run for run in like if run not in same)):
        if _becomes(found, run, run_id, rank):
            return Pins(run, found)
    began = ", ".join(sorted({repr(run.name) for run in found.runs}))
    raise InvalidValue(
        f"the execution that is replayed began no further run {name!r} here", f"it began {began} and went no further"
    )


def pins_of(run_id: str) -> Pins | None:
    """Return what is pinned for a run of this replay that another process began; None where it is no replay."""
    found = pinned()
    if found is None:
        return None
    original = _original_of(found, run_id)
    return next((Pins(run, found) for run in found.runs if run.run_id == original), None)


def say_modules(found: Pinned) -> None:
    """Leave a note of the modules that this process has loaded, each with its file."""
    folder = found.folder / MODULES
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: getattr(module, "__file__", None) for name, module in sorted(sys.modules.items())}
    partial = folder / uuid.uuid4().hex
    partial.write_text(json.dumps({name: os.path.abspath(file) for name, file in files.items() if file}))  # noqa: PTH100
    partial.replace(folder / f"{os.getpid()}.json")


_here: dict[str, str] = {}
"""The recorded run of each run that this process has begun, and of a rank that records nothing."""


def _becomes(found: Pinned, run: PinnedRun, run_id: str, rank: int) -> bool:
    """Take a recorded run for one that begins; False where another has become it."""
    if rank:
        _here[run_id] = run.run_id
        return True
    for folder, name, text in ((_CLAIMS, run.run_id, run_id), (_RUNS, run_id, run.run_id)):
        (found.folder / folder).mkdir(parents=True, exist_ok=True)
        try:
            with (found.folder / folder / name).open("x") as file:
                file.write(text)
        except FileExistsError:
            return False
    _here[run_id] = run.run_id
    return True


def _original_of(found: Pinned, run_id: str) -> str | None:
    """Return the recorded run that one of this replay stands for; None for a run that is none."""
    if run_id in _here:
        return _here[run_id]
    try:
        return (found.folder / _RUNS / run_id).read_text()
    except FileNotFoundError:
        return None


@lru_cache(maxsize=1)
def _read(path: str) -> Pinned:
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        if document["format"] != FORMAT:
            raise ValueError("its format is another one")
        tree = document["tree"]
        return Pinned(
            tuple(PinnedRun(**run) for run in document["runs"]),
            Path(document["folder"]),
            None if tree is None else Path(tree),
            document["project_root"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"the pins in {path} do not read: {error}", f"unset {PINS}") from error
