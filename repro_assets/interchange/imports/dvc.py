"""A DVC repository: each entry of its files that a commit changed becomes a run, each output a version of its path.

Laws: every byte is hashed before anything is written, and one that is damaged, or a path that leads out, refuses the
whole; what DVC tracks and is nowhere to be had, not even in the store, is named and left out, and comes when the
repository is imported again and has it. A run has the commit's time and says nothing that DVC did not write: no state
of its environment, no source but what a stage depended on. The last of all is what is not committed.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from repro_assets.artifacts.names import DIGEST_PREFIX
from repro_assets.errors import InvalidInput
from repro_assets.interchange.dvc_objects import LISTING, listing, listing_md5
from repro_assets.interchange.imports.dvc_files import (
    LOCK,
    PIPELINE,
    Content,
    Item,
    Stage,
    is_unicode,
    read_data,
    read_lock,
)
from repro_assets.interchange.imports.dvc_folder import Moment, Reader
from repro_assets.interchange.imports.dvc_here import Here
from repro_assets.interchange.imports.dvc_history import history_of
from repro_assets.interchange.imports.dvc_storage import (
    Absent,
    Found,
    Storage,
    file_artifact,
    hashes_of,
    storage_of,
    tree_artifact,
)
from repro_assets.interchange.imports.foreign import (
    ForeignArtifact,
    ForeignInput,
    ForeignOutput,
    ForeignRun,
    StoredTable,
    run_id_of,
)
from repro_assets.interchange.imports.recording import Progress, Recorded, record
from repro_assets.interchange.plain_yaml import Unreadable, read_yaml
from repro_assets.mirrors.holding import flat, holdable
from repro_assets.store.home import Home

TOOL = "dvc"
MOST_METRICS = 16 << 20
_PARAMS = "params.yaml"
_JOINED = "__"
# Joined by it, such paths are all different.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9](?:_?[A-Za-z0-9.+-])*(?:/[A-Za-z0-9.+-](?:_?[A-Za-z0-9.+-])*)*")
_LONGEST = 180
_DIGITS = 8
# As texts, which JSON can hold and DVC compares: so our own export writes them.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_READERS: dict[str, Callable[[bytes], Any]] = {
    ".json": json.loads,
    ".yaml": lambda data: read_yaml(data, "it"),
    ".yml": lambda data: read_yaml(data, "it"),
    ".toml": lambda data: tomllib.loads(data.decode()),
}


def take_in(home: Home | None, path: str, *, dry_run: bool, progress: Progress | None = None) -> Recorded:
    """Take the data and the stages of a repository, with their versions from its history.

    Raises
    ------
    InvalidInput
        If the folder is no DVC repository, what it says now does not read, a file is damaged, or one leads out of it;
        nothing was written then.
    SourceChanged
        If a file changed meanwhile.
    MachineError
        If git fails, or the store cannot be written.
    """
    root = Path(path)
    if not (root / ".dvc").is_dir():
        raise InvalidInput(f"{path} is no DVC repository: it has no folder .dvc", "name the folder of dvc init")
    done = Recorded(path, dry_run=dry_run)
    with history_of(root) as moments:
        runs = list(_Reading(root, storage_of(root), done).runs(moments, home))
        if not runs:
            done.notes.append("it tracks nothing")
        return record(home, done, runs, progress)


def collection_of(path: str) -> str:
    """Return the collection of what DVC tracks at a path: its parts joined by two underscores.

    A path that cannot be told from another one then, or no collection can be called so, ends in digits of its SHA-256.
    """
    name = path.replace("/", _JOINED)
    if _PLAIN_PATH.fullmatch(path) and len(name) <= _LONGEST and not DIGEST_PREFIX.fullmatch(name):
        return name
    short = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:_LONGEST]
    digits = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
    return f"{short if re.match(r'[A-Za-z0-9_]', short) else f'_{short}'}_{digits}"


class _Reading:
    """What a repository has, read moment by moment."""

    def __init__(self, root: Path, storage: Storage, done: Recorded) -> None:
        self._root, self._storage, self._done = root.resolve(), storage, done
        self._known: dict[Content, ForeignArtifact] = {}
        self._makers: dict[tuple[str, str | None], str] = {}
        self._now: set[tuple[str, Content]] = set()
        self._here = Here(None, ())

    def runs(self, moments: Iterable[Moment], home: Home | None) -> Iterator[ForeignRun]:
        """Yield the runs, in the order of the history."""
        history = []
        for moment in moments:
            history.append((moment._replace(changes=[], now=None), list(self._changed(moment))))
            for path, content in (moment.now or {}).items():
                outs = (item for stage in self._before(moment, path, content).values() for item in stage.outs)
                self._now.update((item.path, item.content) for item in outs)
        tracked = ((run_id_of(TOOL, name), [*stage.deps, *stage.outs]) for _, found in history for name, stage in found)
        self._here = Here(home, tracked)
        for moment, found in history:
            for name, stage in found:
                self._makers.update({(item.path, item.md5): name for item in stage.outs})
            for name, stage in found:
                yield self._run(moment, name, stage)

    def _changed(self, moment: Moment) -> Iterator[tuple[str, Stage]]:
        """Yield the entries that became with a moment what they were in no parent, data first, each with its id."""
        for change in sorted(moment.changes, key=lambda change: (posixpath.basename(change.path) == LOCK, change.path)):
            try:
                if not is_unicode(change.path):
                    raise Unreadable(f"{change.path!r} is no Unicode text", "rename it")
                stages = self._read(moment, change.path, change.content)
            except Unreadable as error:
                if moment.commit is None:
                    raise
                self._leave_out(f"{moment.commit}:{holdable(change.path)}", holdable(change.path), error.message)
                continue
            before = [self._before(moment, change.path, content) for content in change.before]
            for stage in stages.values():
                said = repr(stage)
                if not before or all(said != repr(old.get(stage.name)) for old in before):
                    yield _id(moment, change.path, stage, said), stage

    def _read(self, moment: Moment, path: str, content: bytes) -> dict[str, Stage]:
        if posixpath.basename(path) == LOCK:
            pipeline = moment.read(posixpath.join(posixpath.dirname(path), PIPELINE))
            found = read_lock(content, path, pipeline)
        else:
            found = read_data(content, path)
        return {stage.name: stage for stage in found}

    def _before(self, moment: Moment, path: str, content: bytes) -> dict[str, Stage]:
        try:
            return self._read(moment, path, content)
        except InvalidInput:
            return {}  # It was left out, or refused, as what it was.

    def _run(self, moment: Moment, name: str, stage: Stage) -> ForeignRun:
        run = ForeignRun(
            TOOL,
            str(self._root),
            name,
            stage.name,
            "COMPLETED",
            started=moment.time,
            ended=moment.time,
            note=stage.description,
            params=_params(stage.params),
            details=_details(moment, stage),
        )
        if stage.unread is not None:
            run.warnings.append(f"its files are not here: {stage.unread}")
            self._leave_out(name, stage.name, stage.unread)
        for item in stage.deps:
            found = self._taken(run, item, moment) if item.inside else None
            if found is not None:
                maker = self._makers.get((item.path, item.md5))
                run.inputs.append(ForeignInput(item.path, found, maker if maker != name else None))
        for item in {item.path: item for item in stage.outs}.values():
            found = self._taken(run, item, moment)
            if found is None:
                continue
            current = (item.path, item.content) in self._now
            run.outputs.append(ForeignOutput(item.path, found, collection_of(item.path), current=current))
            if item.path in stage.metrics:
                self._measure(run, item.path, found, stem=len(stage.metrics) > 1)
        return run

    def _taken(self, run: ForeignRun, item: Item, moment: Moment) -> ForeignArtifact | None:
        """Return what an item is; None where it is nowhere, and then it is named."""
        try:
            if not item.inside:
                raise Absent("it lies elsewhere, and DVC keeps no copy")
            if item.content not in self._known:
                self._known[item.content] = self._storage.artifact(item)
            return self._known[item.content]
        except Absent as absent:
            found = _beside(item, moment) or (self._here.artifact(item) if item.inside else None)
            if found is None:
                self._leave_out(run.foreign_id, item.path, f"{absent.args[0]} ({item.md5})")
                run.warnings.append(f"{item.path} is not here: {absent.args[0]}")
            return found

    def _measure(self, run: ForeignRun, path: str, artifact: ForeignArtifact, *, stem: bool) -> None:
        """Take the figures of a file of metrics."""
        suffix = posixpath.splitext(path)[1].lower()
        entries = artifact.manifest.entries
        if artifact.manifest.kind != "bytes" or entries[0].size > MOST_METRICS or suffix not in _READERS:
            run.warnings.append(f"the metrics of {path} are not read: only files of JSON, YAML and TOML are")
            return
        source = artifact.sources[entries[0].objects[0]]
        assert not isinstance(source, StoredTable)
        above = f"{posixpath.splitext(posixpath.basename(path))[0]}." if stem else ""
        try:
            content = _READERS[suffix](source.read_bytes() if isinstance(source, Path) else source())
            figures = list(flat(content if isinstance(content, dict) else {"value": content}, above))
        except (ValueError, RecursionError, InvalidInput) as error:
            run.warnings.append(f"the metrics of {path} are not read: {error}")
            return
        for name, value in figures:
            number = _NOT_FINITE.get(value) if isinstance(value, str) else value
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                run.points.add(holdable(name), None, _as_float(number), int((run.started or 0.0) * 1e6))

    def _leave_out(self, run: str, name: str, reason: str) -> None:
        self._done.left_out.append({"run": run, "name": name, "reason": reason})


def _beside(item: Item, moment: Moment) -> ForeignArtifact | None:
    """Return what is in git, or in the folder, and is what DVC calls it: sources and metrics are not in its cache."""
    if item.md5 is None or not item.inside:
        return None
    if not item.md5.endswith(LISTING):
        found = _matching(functools.partial(moment.read, item.path), item.md5, item.legacy)
        return None if found is None else file_artifact(found)
    files: dict[str, Found] = {}
    hashes: dict[str, str] = {}
    for name, read in moment.files(item.path).items():
        content = read()
        if content is None:
            return None
        all_hashes = hashes_of(io.BytesIO(content), item.legacy)
        hashes[name] = all_hashes.md5[-1]
        files[name] = Found(all_hashes.digest, all_hashes.size, functools.partial(_called, read))
    if not files or listing_md5(listing(hashes)) != item.md5:
        return None
    return tree_artifact(files, item.path, len(files))


def _matching(read: Reader, md5: str, legacy: bool) -> Found | None:
    content = read()
    if content is None:
        return None
    hashes = hashes_of(io.BytesIO(content), legacy)
    return Found(hashes.digest, hashes.size, functools.partial(_called, read)) if md5 in hashes.md5 else None


def _called(read: Callable[[], bytes | None]) -> bytes:
    """Return what is read again; where that is gone now, its hash says so."""
    return read() or b""


def _id(moment: Moment, path: str, stage: Stage, said: str) -> str:
    """Return an id that no other entry has: of a commit's by its place there, of any other by what it says."""
    place = path if stage.name == path else f"{path}:{stage.name}"
    if moment.commit is not None:
        return f"{moment.commit}:{place}"
    return f"uncommitted:{place}:{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _params(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a stage under flat names; those of other files than DVC's usual one with the file."""
    found: dict[str, Any] = {}
    for file, values in given.items():
        above = "" if file == _PARAMS else f"{file}:"
        if isinstance(values, dict):
            found.update({holdable(name): _json(value) for name, value in flat(values, above)})
    return found


def _details(moment: Moment, stage: Stage) -> dict[str, Any]:
    facts = {
        "commit": moment.commit,
        "message": moment.message,
        "command": stage.command,
        "deps": [item.document() for item in stage.deps],
        "outs": [item.document() for item in stage.outs],
    }
    found: dict[str, Any] = _json({name: value for name, value in facts.items() if value not in (None, [])})
    return found


def _json(value: Any) -> Any:
    """Return a value of YAML as JSON can hold it."""
    if isinstance(value, str):
        return holdable(value)
    if isinstance(value, dict):
        return {holdable(str(name)): _json(item) for name, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list) else value


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
