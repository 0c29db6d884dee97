"""The import of ``tensorboard``: the scalars, texts and pictures of a log directory, a run for each folder with events.

Laws: all of it is read and found right before anything is written. A run that our export or mirror wrote comes back
under its names, with its parameters, state, tags and note; of any other one TensorBoard knows no more than its folder,
its hyperparameters and its times, and whether it ended only where these say so: its state is unknown then. A scalar has
the 32 bits that TensorBoard keeps, but for one that was written as a tensor of more; of ours those beyond 32 bits are
as they were.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from repro_assets.errors import InvalidInput
from repro_assets.extras import need
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.interchange.imports.event_files import events_of, is_event_file
from repro_assets.interchange.imports.files import files_in, sound_tree
from repro_assets.interchange.imports.foreign import ForeignArtifact, ForeignOutput, ForeignRun, Points
from repro_assets.interchange.imports.recording import Progress, Recorded, record
from repro_assets.mirrors.holding import path_of
from repro_assets.mirrors.tensorboard_mirror import ENDED
from repro_assets.store.home import Home

TOOL = "tensorboard"
OURS = "repro/"
_STATES = {1: "COMPLETED", 2: "FAILED"}
_SUFFIXES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"RIFF": "webp"}
_INDENT = "    "


@dataclass(slots=True)
class _Found:
    """What the events of a folder say."""

    folder: str
    first: str
    points: Points = field(default_factory=Points)
    texts: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    pictures: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    group: str | None = None
    status: int | None = None
    started: float | None = None
    ended: float | None = None
    plugins: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)


def take_in(home: Home | None, path: str, *, dry_run: bool, progress: Progress | None = None) -> Recorded:
    """Take the runs of a log directory in.

    Parameters
    ----------
    home : Home or None
        The store; None, for a dry run only, is an empty one.
    path : str
        The log directory, or the folder of one run.
    dry_run : bool
        Tell what would come, and write nothing.
    progress : callable, optional
        Told how many objects are stored.

    Raises
    ------
    InvalidValue
        If TensorBoard is not installed.
    InvalidInput
        If there is no such folder, no event file is in it, or something there is damaged; nothing was written then.
    MachineError
        If the store cannot be written.
    """
    need("tensorboard")
    root = Path(path)
    if not root.is_dir():
        if root.exists():
            raise InvalidInput(f"{root} is a file and no folder", "name TensorBoard's log directory")
        raise InvalidInput(f"there is no folder {root}", "name TensorBoard's log directory")
    folders: dict[str, list[tuple[str, Path]]] = {}
    for name, file in sorted(files_in(root)[0].items()):
        place = PurePosixPath(name)
        if is_event_file(place.name):
            folders.setdefault("" if place.parent == PurePosixPath(".") else str(place.parent), []).append(
                (place.name, file)
            )
    if not folders:
        raise InvalidInput(f"no event file of TensorBoard is in {root}", "name its log directory")
    done = Recorded(str(root), dry_run=dry_run)
    cut_short: list[Path] = []
    others: Counter[str] = Counter()
    runs: dict[str, ForeignRun] = {}
    for folder, files in folders.items():
        found = _read(folder, files, cut_short)
        others += found.others
        run = _run(found, root)
        if run.foreign_id in runs:
            run.foreign_id = f"{run.foreign_id} in {folder}"
        runs[run.foreign_id] = run
    done.notes += [f"the last event of {file} is cut short: it is taken up to there" for file in cut_short]
    if others:
        left = ", ".join(f"{count} of {name}" for name, count in sorted(others.items()))
        done.notes.append(f"scalars, texts, pictures and hyperparameters are taken; left out are {left}")
    return record(home, done, list(runs.values()), progress)


def _read(folder: str, files: list[tuple[str, Path]], cut_short: list[Path]) -> _Found:
    found = _Found(folder, files[0][0])
    for _, file in files:
        for event in events_of(file, cut_short):
            if event.wall_time > 0 and (found.started is None or event.wall_time < found.started):
                found.started = event.wall_time
            kind = event.WhichOneof("what")
            if kind == "summary":
                for value in event.summary.value:
                    _take(found, value, event, file)
            elif kind is not None and kind not in ("file_version", "session_log", "source_metadata"):
                found.others[kind] += 1
    return found


def _take(found: _Found, value: Any, event: Any, file: Path) -> None:
    """Take one value; only the first one of a tag says which plugin it is for."""
    plugin = value.metadata.plugin_data.plugin_name
    if plugin:
        found.plugins.setdefault(value.tag, plugin)
    plugin = found.plugins.get(value.tag, "")
    kind = value.WhichOneof("value")
    if plugin == "hparams":
        _take_hyperparameters(found, value.metadata.plugin_data.content, file)
    elif kind == "simple_value":
        _add_point(found, value.tag, event, value.simple_value, file)
    elif kind == "image":
        found.pictures.setdefault(value.tag, []).append((event.step, value.image.encoded_image_string))
    elif kind == "tensor" and plugin in ("scalars", "text", "images"):
        _take_tensor(found, plugin, value, event, file)
    else:
        found.others[plugin or kind or "nothing"] += 1


def _take_tensor(found: _Found, plugin: str, value: Any, event: Any, file: Path) -> None:
    from tensorboard.util.tensor_util import make_ndarray

    try:
        array = make_ndarray(value.tensor)
        parts = array.reshape(-1).tolist()
        if plugin == "scalars":
            (number,) = parts
            _add_point(found, value.tag, event, float(number), file)
        elif plugin == "text":
            texts = [bytes(part).decode("utf-8", "replace") for part in parts]
            found.texts.setdefault(value.tag, []).append((event.step, "\n".join(texts)))
        else:
            # Width and height stand before the pictures.
            pictures = [(event.step, bytes(part)) for part in parts[2:]]
            found.pictures.setdefault(value.tag, []).extend(pictures)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"{value.tag!r} at step {event.step} of {file} is no {plugin}: {error}", "take it out"
        ) from error


def _add_point(found: _Found, tag: str, event: Any, value: float, file: Path) -> None:
    if not math.isfinite(event.wall_time):
        raise InvalidInput(f"{tag!r} at step {event.step} of {file} has no time", "take it out")
    found.points.add(tag, event.step, value, round(event.wall_time * 1_000_000))


def _take_hyperparameters(found: _Found, content: bytes, file: Path) -> None:
    from google.protobuf.message import DecodeError
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    try:
        said = HParamsPluginData.FromString(content)
    except DecodeError as error:
        raise InvalidInput(f"the hyperparameters of {file} do not read", "take the file out") from error
    kind = said.WhichOneof("data")
    if kind == "session_start_info":
        begun = said.session_start_info
        found.group = begun.group_name or None
        found.started = begun.start_time_secs or found.started
        for name, value in begun.hparams.items():
            held = value.WhichOneof("kind")
            found.params[name] = None if held in (None, "null_value") else getattr(value, held)
    elif kind == "session_end_info":
        found.status = said.session_end_info.status
        found.ended = said.session_end_info.end_time_secs or None


def _run(found: _Found, root: Path) -> ForeignRun:
    about = _json(found, "run") or {}
    if not (isinstance(about, dict) and isinstance(about.get("run_id"), str)):
        about = {}
    names, params = _json(found, "names") or {}, found.params
    state = _STATES.get(found.status or 0)
    if about:
        params = _json(found, "params") or {}
        said = [text for _, text in found.texts.get(f"{OURS}state", []) if text in ENDED]
        state = said[-1] if said else None
    points = _renamed(found.points, names if about else {}, (_json(found, "beyond_32_bits") or []) if about else [])
    run = ForeignRun(
        TOOL,
        str(root / found.folder),
        about.get("run_id") or f"{found.first} {found.started!r}",
        str(about.get("name") or found.folder or root.resolve().name),
        state,
        started=found.started,
        ended=found.ended,
        project=about.get("project"),
        note=about.get("notes"),
        tags=[str(tag) for tag in about.get("tags") or ()],
        params=params if isinstance(params, dict) else {},
        points=points,
        details={"record": _json(found, "record")} if about else {},
    )
    texts = {tag: rows for tag, rows in found.texts.items() if not (about and tag.startswith(OURS))}
    _add(run, "texts", {tag: [(step, text.encode(), "txt") for step, text in rows] for tag, rows in texts.items()})
    pictures = {tag: [(step, data, _suffix(data)) for step, data in rows] for tag, rows in found.pictures.items()}
    _add(run, "pictures", pictures)
    return run


def _json(found: _Found, name: str) -> Any:
    """Return what a text of ours says, of several the last, or the union where each tells a part."""
    said: Any = None
    for _, text in found.texts.get(f"{OURS}{name}", []):
        try:
            value = json.loads("\n".join(line.removeprefix(_INDENT) for line in text.split("\n")))
        except ValueError:
            return None
        if name == "beyond_32_bits" and isinstance(value, list):
            said = [*(said or []), *value]
        elif name == "names" and isinstance(value, dict):
            said = {**(said or {}), **value}
        else:
            said = value
    return said


def _renamed(points: Points, names: Mapping[str, Any], beyond: list[Any]) -> Points:
    """Return points under the names that they had, with the values that 32 bits do not hold."""
    exact = {
        (each["name"], each["step"]): float(each["value"])
        for each in beyond
        if isinstance(each, dict) and isinstance(each.get("value"), int | float)
    }
    known = Points()
    for name, step, value, time in zip(points.names, points.steps, points.values, points.times, strict=True):
        meant = str(names.get(name, name))
        known.add(meant, step, exact.get((meant, step), value) if math.isinf(value) else value, time)
    return known


def _add(run: ForeignRun, slot: str, parts: Mapping[str, list[tuple[int, bytes, str]]]) -> None:
    """Add files, which no folder has, as one tree."""
    entries: dict[str, Entry] = {}
    contents: dict[Digest, bytes] = {}
    for path, data in _files(parts):
        digest = Digest.of(data)
        entries[path], contents[digest] = Entry(path, len(data), (digest,), {"executable": False}), data
    if entries:
        manifest = sound_tree(Manifest("tree", tuple(entries[path] for path in sorted(entries))))
        sizes = {digest: len(data) for digest, data in contents.items()}
        sources = {digest: partial(bytes, data) for digest, data in contents.items()}
        run.outputs.append(ForeignOutput(slot, ForeignArtifact(manifest, sizes, sources)))


def _files(parts: Mapping[str, list[tuple[int, bytes, str]]]) -> Iterator[tuple[str, bytes]]:
    for tag, rows in parts.items():
        seen: Counter[int] = Counter()
        for step, data, suffix in rows:
            seen[step] += 1
            again = f"_{seen[step]}" if seen[step] > 1 else ""
            yield f"{path_of(tag)}/step_{step}{again}.{suffix}", data


def _suffix(data: bytes) -> str:
    return next((suffix for magic, suffix in _SUFFIXES.items() if data.startswith(magic)), "bin")
