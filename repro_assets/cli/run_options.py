"""From the words of ``repro run`` and its kin to requests: flags, a file with the same words, and what neither says.

Laws: a flag wins over the file; a word that is not known is refused with its nearest neighbours; ``--set`` names a
field of one asset, never a run-wide setting, which has a flag of its own; values read as JSON where they are JSON, else
as text. Ranges of fields are the assets' own and are checked by the process that executes.
"""

from __future__ import annotations

import difflib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_type_hints

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.recording.resumption import AUTO

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from repro_assets.determinism.mode import Mode
    from repro_assets.orchestration.request import RunRequest
    from repro_assets.store.home import Home

Said = TypeVar("Said", bound="DataclassInstance")
EXECUTORS = ("in_process", "multiprocess")
MOST_SEEDS = 1000
_RUN_WIDE = {
    "seed": "--seed",
    "deterministic": "--deterministic or --no-deterministic",
    "threads": "--threads",
    "monitor": "--monitor or --no-monitor",
    "monitor_interval": "--monitor-interval",
    "capture_level": "--capture-level",
    "force": "--force",
    "strict": "--strict",
    "experiment": "--exp-name",
    "tags": "--tags",
    "mirrors": "--mirror",
    "trial": "--trial",
}
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(slots=True)
class Words:
    """What was said; None, or nothing in a list or mapping, stands for unsaid.

    Parameters
    ----------
    select, tags, mirror : list of str
        Assets; tags of the runs; other trackers that are told.
    resume : str
        What the training among the assets goes on from: a run, a checkpoint, ``RUN@TIME``, or ``auto``.
    set : dict
        Value by ``asset.field``.
    input : dict
        Artifact by upstream asset.
    seeds : str
        Ranges and numbers: ``0-4``, ``1,3``.
    """

    select: list[str] = field(default_factory=list)
    partition: str | None = None
    seed: int | None = None
    seeds: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    input: dict[str, str] = field(default_factory=dict)
    capture_level: str | None = None
    deterministic: bool | None = None
    threads: int | None = None
    monitor: bool | None = None
    monitor_interval: float | None = None
    exp_name: str | None = None
    tags: list[str] = field(default_factory=list)
    mirror: list[str] = field(default_factory=list)
    trial: bool | None = None
    force: bool | None = None
    strict: bool | None = None
    executor: str | None = None
    job: str | None = None
    resume: str | None = None

    def over(self, file: Self) -> Self:
        """Return these words, and what they leave unsaid from `file`; fields and inputs are merged one by one."""
        merged = merge(self, file)
        if self.seed is not None and self.seeds is None:
            merged.seeds = None
        if self.seeds is not None and self.seed is None:
            merged.seed = None
        return merged


def merge(mine: Said, file: Said) -> Said:
    """Return words of one command, what they leave unsaid taken from `file`; mappings are merged name by name."""
    merged = type(mine)()
    for item in fields(mine):
        said, theirs = getattr(mine, item.name), getattr(file, item.name)
        if isinstance(said, dict):
            setattr(merged, item.name, {**theirs, **said})
        else:
            setattr(merged, item.name, theirs if said is None or said == [] else said)
    return merged


def read_words(path: Path, words: type[Said], command: str = "repro run") -> Said:
    """Read a YAML or JSON file that holds the words of a command.

    Parameters
    ----------
    path : Path
        The file.
    words : type
        A dataclass whose fields are the command's words, all of them with defaults.
    command : str
        What a person calls it, for errors.

    Raises
    ------
    InvalidInput
        If it cannot be read, or is not a mapping.
    InvalidValue
        If a word is not known, or its value is of the wrong type.
    """
    import yaml

    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidInput(f"{path} cannot be read: {why}", "check the path") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is neither YAML nor JSON: {error}", "mend it") from error
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise InvalidInput(f"{path} is not a mapping of words to values", "write it like: seed: 3")
    kinds = get_type_hints(words)
    said: dict[str, Any] = {}
    for name, value in raw.items():
        word = str(name).replace("-", "_")
        if word not in kinds:
            close = difflib.get_close_matches(word, kinds, n=2)
            raise InvalidValue(
                f"{path} has the word {name!r}, which {command} does not know",
                f"did you mean {' or '.join(close)}?" if close else f"one of {', '.join(sorted(kinds))}",
            )
        said[word] = _typed(path, word, value, kinds[word])
    return words(**said)


def spoken(words: type[Said], flags: Mapping[str, Any]) -> Said:
    """Return what the flags of a command line say, as its words.

    Parameters
    ----------
    words : type
        A dataclass whose fields are the command's words, all of them with defaults.
    flags : mapping
        The command's arguments by name: a word's own, or with an underscore behind it where Python has the name itself.
        What is None, and what is no word, says nothing.

    Raises
    ------
    InvalidValue
        If a ``NAME=VALUE`` is none, or a name comes twice.
    """
    said: dict[str, Any] = {}
    for item in fields(words):
        value = flags.get(item.name, flags.get(f"{item.name}_"))
        if value is None:
            continue
        if item.name == "set":
            value = {name: parsed(text) for name, text in pairs(value, "--set").items()}
        elif item.name == "input" and isinstance(value, list):
            value = pairs(value, "--input")
        elif isinstance(value, list):
            value = listed(value)
        elif isinstance(value, Path):
            value = str(value)
        said[item.name] = value
    return words(**said)


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Read ``NAME=VALUE`` texts.

    Raises
    ------
    InvalidValue
        If one has no name or no ``=``, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise InvalidValue(f"{option} {text!r} is not NAME=VALUE", f"write it like: {option} NAME=VALUE")
        if name in found:
            raise InvalidValue(f"{option} names {name!r} twice", "give one value")
        found[name] = value
    return found


def parsed(text: str) -> Any:
    """Return the JSON value that a text is, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def listed(texts: Iterable[str]) -> list[str]:
    """Split repeated, comma-separated texts; commas within brackets belong to a selection's syntax."""
    found: list[str] = []
    for text in texts:
        found += [item.strip() for item in re.split(r",(?![^()]*\))", text) if item.strip()]
    return found


def seeds_of(text: str) -> list[int]:
    """Return the seeds of ``0-4`` or ``1,3``, in the order in which they are written.

    Raises
    ------
    InvalidValue
        If it does not read, names one twice, or names more than `MOST_SEEDS`.
    """
    found: list[int] = []
    for item in str(text).split(","):
        match = _RANGE.fullmatch(item.strip())
        if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
            raise InvalidValue(f"--seeds {text!r} does not read", "write ranges and numbers: 0-4 or 1,3")
        first, last = int(match[1]), int(match[2] or match[1])
        if len(found) + last - first >= MOST_SEEDS:
            raise InvalidValue(f"--seeds {text!r} names more than {MOST_SEEDS} seeds", "run them in several studies")
        found += range(first, last + 1)
    if len(set(found)) != len(found):
        raise InvalidValue(f"--seeds {text!r} names a seed twice", "name each once")
    return found


def requests(words: Words) -> tuple[list[RunRequest], Mode]:
    """Return what to execute, one after the other, and the mode of the processes.

    Raises
    ------
    InvalidValue
        If words exclude each other or a value is outside what is allowed.
    """
    from repro_assets.capture.level import Level
    from repro_assets.determinism.mode import Mode
    from repro_assets.orchestration.code_locations import code_location
    from repro_assets.orchestration.request import RunRequest
    from repro_assets.tracking.mirrored import chosen

    if words.seed is not None and words.seeds is not None:
        raise InvalidValue("--seed and --seeds exclude each other", "give one")
    if words.job is not None and words.select:
        raise InvalidValue("--job and --select exclude each other", "give one")
    if words.seeds is not None and words.resume not in (None, AUTO):
        raise InvalidValue(f"--resume {words.resume} is of one seed, --seeds names several", "give --seed, or auto")
    executor = words.executor or EXECUTORS[0]
    if executor not in EXECUTORS:
        raise InvalidValue(f"{executor!r} is not an executor", f"one of {', '.join(EXECUTORS)}")
    mode = Mode(**{name: value for name in ("deterministic", "threads") if (value := getattr(words, name)) is not None})
    if words.mirror:
        chosen(words.mirror, offline=False)
    if words.monitor_interval is not None:
        _check_interval(words.monitor_interval)
    settings: dict[str, Any] = {
        "seed": words.seed,
        "deterministic": words.deterministic,
        "threads": words.threads,
        "monitor": words.monitor,
        "monitor_interval": words.monitor_interval,
        "capture_level": None if words.capture_level is None else Level.parse(words.capture_level).name.lower(),
        "force": words.force,
        "strict": words.strict,
        "experiment": words.exp_name,
        "tags": words.tags or None,
        "mirrors": words.mirror or None,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    tags = {"trial": "true"} if words.trial else {}
    module, attribute = code_location()
    shared: dict[str, Any] = {
        "selection": words.select,
        **({"job": words.job} if words.job is not None else {}),
        "partition": words.partition,
        "assets": _asset_config(words),
        "pins": words.input,
        "executor": executor,
        "resume": words.resume,
        "module": module,
        "attribute": attribute,
    }
    if words.seeds is None:
        return [RunRequest(settings=settings, tags=tags, **shared)], mode
    study = f"study={secrets.token_hex(4)}"
    return [
        RunRequest(
            settings={**settings, "seed": seed, "tags": [*words.tags, study]},
            tags={**tags, "study": study.partition("=")[2]},
            **shared,
        )
        for seed in seeds_of(words.seeds)
    ], mode


def check_names(words: Words, home: Callable[[], Home]) -> None:
    """Refuse names of ``--input`` and ``--resume`` that mean nothing in the store, which is opened if there are any.

    Raises
    ------
    UnknownName, AmbiguousName, MissingObject
        As `resolve_artifact` and `resumption.find` do.
    """
    resumed = words.resume if words.resume != AUTO else None
    if not words.input and resumed is None:
        return
    from repro_assets.catalog.naming import resolve_artifact
    from repro_assets.recording import resumption

    store = home()
    for name in words.input.values():
        resolve_artifact(store, name)
    if resumed is not None:
        resumption.find(store, resumed)


def _check_interval(seconds: float) -> None:
    from repro_assets.recording.monitoring import LEAST_SECONDS, MOST_SECONDS

    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise InvalidValue(
            f"--monitor-interval {seconds:g} is not between {LEAST_SECONDS:g} and {MOST_SECONDS:g} seconds",
            "give one that is, or --no-monitor",
        )


def _asset_config(words: Words) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in words.set.items():
        asset, dot, member = name.rpartition(".")
        if (not dot or asset == "repro") and member in _RUN_WIDE:
            raise InvalidValue(f"{name} is one setting for the whole run", f"give {_RUN_WIDE[member]}")
        if not dot:
            # What is selected is one asset, so there is no doubt whose field it is.
            if len(words.select) != 1 or not re.fullmatch(r"[\w/]+", words.select[0]):
                raise InvalidValue(f"--set {name} does not say of which asset", f"write it like: --set sft.{name}=…")
            asset = words.select[0]
        for other, values in found.items():
            same = other == asset or other.endswith(f"/{asset}") or asset.endswith(f"/{other}")
            if same and member in values:
                raise InvalidValue(f"--set gives {member} of {asset} twice", "give one value")
        found.setdefault(asset, {})[member] = value
    return found


def _typed(path: Path, word: str, value: Any, kind: Any) -> Any:
    if kind == list[str]:
        items = value if isinstance(value, list) else [value]
        return listed([str(item) for item in items])
    if word == "set" and isinstance(value, dict):
        return _flat(value)
    if word == "input" and isinstance(value, dict):
        return {str(asset): str(artifact) for asset, artifact in value.items()}
    if word == "seeds":
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if word == "capture_level" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if kind == float | None and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    allowed = {bool | None: bool, float | None: float, int | None: int, str | None: str}.get(kind, dict)
    if not isinstance(value, allowed) or (allowed is int and isinstance(value, bool)):
        raise InvalidValue(f"{word} in {path} is {value!r}", f"it must be a {allowed.__name__}")
    return value


def _flat(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return ``asset.field`` words of a mapping that may be nested by asset."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and "." not in str(name):
            found.update({f"{name}.{member}": item for member, item in value.items()})
        else:
            found[str(name)] = value
    return found
