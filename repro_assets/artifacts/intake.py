"""Taking files of a person's own into the store, under a name.

Laws: a folder is a tree and a file is bytes unless a kind is named; a named kind reads the file, and what does not read
is refused with the file's name before anything is stored; the same content under the same name is the same version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import json_value, raw_bytes, table, tree
from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.store.home import Home

KINDS = (tree.NAME, raw_bytes.NAME, table.NAME, json_value.NAME)
_TABLES = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True, slots=True)
class Taken:
    """An artifact that was taken in; `reused` if the newest version was this content already."""

    artifact: Artifact
    reused: bool


def take_in(home: Home, path: Path, collection: str, kind: str | None = None) -> Taken:
    """Store a file or folder as the next version of a collection.

    Parameters
    ----------
    home : Home
        The store.
    path : Path
        The file or folder.
    collection : str
        The name.
    kind : str, optional
        ``tree``, ``bytes``, ``table`` (.csv, .parquet or .jsonl) or ``json``; by what `path` is if left out.

    Raises
    ------
    InvalidInput
        If the file is not there, cannot be read, or is not what `kind` says.
    InvalidValue
        If the kind is another or does not fit, or `collection` cannot be a name.
    MachineError
        If the store cannot be written.
    """
    names.check_collection(collection)
    if not path.exists():
        raise InvalidInput(f"{path} is not there", "check the path")
    if path.resolve() in (home.root.resolve(), *home.root.resolve().parents):
        raise InvalidInput(f"{path} holds the store itself", "name what is beside it")
    kind = kind or (tree.NAME if path.is_dir() else raw_bytes.NAME)
    if kind not in KINDS:
        raise InvalidValue(f"a file is not taken in as {kind!r}", f"one of {', '.join(KINDS)}")
    if path.is_dir() != (kind == tree.NAME):
        raise InvalidValue(f"{path} is a {'folder' if path.is_dir() else 'file'} and not a {kind}", "give another type")
    value: Any = path
    if kind == json_value.NAME:
        value = _read_json(path)
    elif kind == table.NAME:
        value = _read_table(path)
    known = {version.number for version in names.versions(home, collection)}
    artifact = repository.claim(repository.put(home, value, kind), collection)
    return Taken(artifact, artifact.version in known)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}", "mend it, or store it with --type bytes") from error


def _read_table(path: Path) -> Any:
    import pandas

    ending = path.suffix.lower()
    try:
        if ending == ".csv":
            return pandas.read_csv(path)
        if ending == ".parquet":
            return pandas.read_parquet(path)
        if ending == ".jsonl":
            return pandas.read_json(path, lines=True)
    except (ValueError, OSError) as error:
        # pyarrow's and pandas' own errors for malformed files are ValueErrors.
        said = " ".join(str(error).split())
        raise InvalidInput(f"{path} is not a table: {said}", "mend it, or store it with --type bytes") from error
    raise InvalidInput(f"{path} is not a table that is read here", f"one of {', '.join(_TABLES)}")
