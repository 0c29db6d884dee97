r"""Data manifests as JSON, format 1.0.

Laws: ``parse(document_of(m)) == m``; the member ``digest`` is the SHA-256 of the canonical encoding of all other
members, so that a changed document is seen; a newer format and what is no manifest are refused with one error, and
members that the format does not have are not interpreted, but are under the digest. A name whose bytes are not UTF-8
is shown with ``\xNN`` for each such byte, and a member ``<name of the member>_bytes`` beside it has all its bytes in
hexadecimal and decides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from repro_assets.capture.data_manifest.hashing import ALGORITHMS
from repro_assets.capture.data_manifest.listing import (
    Base,
    Changes,
    DataManifest,
    Item,
    case_clashes,
    counts,
    human_size,
    shown,
)
from repro_assets.capture.data_manifest.walking import ERROR, FILE, FOLDER, LINK, OTHER
from repro_assets.errors import CorruptRecord, InvalidInput, InvalidValue, UnsupportedFormat
from repro_assets.identity import canonical

VERSION = "1.0"
FULL, DIFFERENTIAL = "full", "differential"
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})")
_SECTIONS = {FILE: "files", FOLDER: "folders", LINK: "links", OTHER: "others", ERROR: "errors"}
_DETAILS = {LINK: "target", OTHER: "type", ERROR: "error"}
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A manifest that was read from a file; `stated` is the digest in it and `digest` that of its body."""

    path: Path
    manifest: DataManifest
    stated: str | None
    digest: str

    @property
    def intact(self) -> bool:
        """Whether the document is as it was written."""
        return self.stated == self.digest

    def require_intact(self) -> None:
        """Refuse a document that was changed.

        Raises
        ------
        CorruptRecord
            If its digest is missing or is not that of its body.
        """
        if not self.intact:
            raise CorruptRecord(f"{self.path} was changed after it was written", "get the original, or create it again")


def document_of(manifest: DataManifest) -> dict[str, Any]:
    """Return the JSON document of a manifest, its digest included.

    Raises
    ------
    InvalidValue
        If a text in it is not Unicode.
    """
    summary = counts(manifest.items.values())
    document: dict[str, Any] = {
        "manifest_version": VERSION,
        "manifest_type": FULL if manifest.base is None else DIFFERENTIAL,
        "generated_at": manifest.generated_at,
        **_named("data_path", manifest.data_path),
        "data_type": "file" if manifest.single else "folder",
        "hash_algorithms": list(manifest.algorithms),
        "include": list(manifest.include),
        "exclude": list(manifest.exclude),
        "max_files": manifest.max_files,
        "truncated": manifest.left_out > 0,
        "left_out_files": manifest.left_out,
        "not_counted": [_named("relative_path", path) for path in manifest.not_counted],
        "metadata": dict(manifest.metadata),
        "files": [_file(manifest, item) for item in manifest.of_type(FILE)],
        "folders": [_named("relative_path", item.path) for item in manifest.of_type(FOLDER)],
    }
    for type in (LINK, OTHER, ERROR):
        document[_SECTIONS[type]] = [_other(item) for item in manifest.of_type(type)]
    document["case_clashes"] = [[shown(path) for path in group] for group in case_clashes(manifest.items)]
    if manifest.base is not None and manifest.changes is not None:
        changes = manifest.changes
        document["base"] = {**_named("path", manifest.base.path), "digest": manifest.base.digest}
        document["changes"] = {
            "added": [_named("relative_path", path) for path in changes.added],
            "modified": [_named("relative_path", path) for path in changes.modified],
            "permissions": [_named("relative_path", path) for path in changes.permissions],
            "removed": [{**_named("relative_path", path), "type": type} for path, type in changes.removed],
            "unchanged": changes.unchanged,
        }
    document["summary"] = {
        **summary,
        "processing_time_seconds": manifest.seconds,
        "files_per_second": round(summary["total_files"] / manifest.seconds, 1) if manifest.seconds else None,
    }
    document["digest"] = digest_of(document)
    return document


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a document as it is written to a file: UTF-8, indented, ending in a newline."""
    return (json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8")


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the digest of a document's body: all but the member ``digest``."""
    return str(canonical.digest_of({name: value for name, value in document.items() if name != "digest"}))


def read_manifest(path: Path) -> Loaded:
    """Read a manifest from a file; whether it is intact is for the caller to ask.

    Raises
    ------
    InvalidInput
        If the file cannot be read or is no data manifest.
    UnsupportedFormat
        If a newer version wrote it.
    """
    try:
        if not path.is_file():
            raise InvalidInput(f"{path} is no file", "give a manifest that `repro manifest create` wrote")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check its owner and mode") from error
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_members)
        manifest = parse(document)
        stated = document.get("digest")
        return Loaded(path, manifest, stated if isinstance(stated, str) else None, digest_of(document))
    except (ValueError, KeyError, TypeError, RecursionError, InvalidValue) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else error
        raise InvalidInput(
            f"{path} is not a data manifest: {what}", "give a file that `repro manifest create` wrote"
        ) from error
    except UnsupportedFormat as error:
        raise UnsupportedFormat(f"{path}: {error.message}", error.remedy) from error


def parse(document: Any) -> DataManifest:
    """Return the manifest that a document describes.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it describes none.
    UnsupportedFormat
        If a newer version wrote it.
    """
    if not isinstance(document, dict) or "manifest_version" not in document:
        raise ValueError("it has no manifest_version")
    version = document["manifest_version"]
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match is None:
        raise ValueError(f"{version!r} is no version of the format")
    known = tuple(int(part) for part in VERSION.split("."))
    if tuple(int(part) for part in match.groups()) > known:
        raise UnsupportedFormat(f"manifest version {version} is newer than {VERSION}", "upgrade repro-assets")
    if tuple(int(part) for part in match.groups()) < known:
        raise ValueError(f"there never was a manifest version {version}")
    items: dict[str, Item] = {}
    for type, section in _SECTIONS.items():
        for raw in _list(document[section]):
            item = _parse_file(raw) if type == FILE else _parse_other(raw, type)
            if item.path in items:
                raise ValueError(f"{shown(item.path)!r} stands in it twice")
            items[item.path] = item
    changes, base = _parse_changes(document)
    return DataManifest(
        data_path=_name(document, "data_path"),
        single=_either(document["data_type"], "folder", "file"),
        algorithms=_algorithms(document["hash_algorithms"]),
        items=dict(sorted(items.items(), key=lambda pair: os.fsencode(pair[0]))),
        include=_texts(document["include"]),
        exclude=_texts(document["exclude"]),
        max_files=None if document["max_files"] is None else _count(document["max_files"]),
        left_out=_count(document["left_out_files"]),
        metadata={_text(name): _text(value) for name, value in _object(document["metadata"]).items()},
        not_counted=tuple(_path(raw) for raw in _list(document["not_counted"])),
        generated_at=_text(document["generated_at"]),
        seconds=float(_object(document["summary"])["processing_time_seconds"]),
        base=base,
        changes=changes,
    )


def _file(manifest: DataManifest, item: Item) -> dict[str, Any]:
    whole = manifest.data_path if manifest.single else f"{manifest.data_path.rstrip('/')}/{item.path}"
    return {
        "path": shown(whole),
        **_named("relative_path", item.path),
        "size_bytes": item.size,
        "size_human": None if item.size is None else human_size(item.size),
        "modified_time": item.modified_time,
        "permissions": item.permissions,
        "hashes": dict(item.hashes),
    }


def _other(item: Item) -> dict[str, Any]:
    written = {**_named("relative_path", item.path), **_named(_DETAILS[item.type], item.detail)}
    return {**written, "reason": item.reason} if item.type == ERROR else written


def _named(member: str, name: str) -> dict[str, str]:
    text = shown(name)
    return {member: text} if text == name else {member: text, f"{member}_bytes": os.fsencode(name).hex()}


def _parse_file(raw: Any) -> Item:
    found = _object(raw)
    # An entry that lost its size or hashes is still an entry: whoever verifies it says that it shows nothing.
    size, hashes = found.get("size_bytes"), _object(found.get("hashes") or {})
    if any(not _HEX.fullmatch(_text(value)) for value in hashes.values()):
        raise ValueError("a hash is not hexadecimal")
    return Item(
        _path(found),
        FILE,
        None if size is None else _count(size),
        dict(hashes),
        _text(found.get("modified_time", "")),
        _text(found.get("permissions", "")),
    )


def _parse_other(raw: Any, type: str) -> Item:
    found = _object(raw)
    detail = _name(found, _DETAILS[type]) if type in _DETAILS else ""
    return Item(_path(found), type, detail=detail, reason=_text(found["reason"]) if type == ERROR else "")


def _parse_changes(document: dict[str, Any]) -> tuple[Changes | None, Base | None]:
    if _either(document["manifest_type"], FULL, DIFFERENTIAL):
        base, changes = _object(document["base"]), _object(document["changes"])
        added, modified, permissions = (
            tuple(_path(raw) for raw in _list(changes[name])) for name in ("added", "modified", "permissions")
        )
        removed = tuple((_path(raw), _text(raw["type"])) for raw in _list(changes["removed"]))
        return Changes(added, modified, permissions, removed, _count(changes["unchanged"])), Base(
            _name(base, "path"), _text(base["digest"])
        )
    return None, None


def _path(raw: Any) -> str:
    path = _name(_object(raw), "relative_path")
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/") or "\0" in path or path != "/".join(parts):
        raise ValueError(f"{shown(path)!r} is not a relative path inside a folder")
    return path


def _name(found: dict[str, Any], member: str) -> str:
    text = _text(found[member])
    if f"{member}_bytes" not in found:
        return text
    name = os.fsdecode(bytes.fromhex(_text(found[f"{member}_bytes"])))
    if shown(name) != text:
        raise ValueError(f"{member} and {member}_bytes are not the same name")
    return name


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    value.encode("utf-8")
    return value


def _either(value: Any, no: str, yes: str) -> bool:
    if value not in (no, yes):
        raise ValueError(f"{value!r:.60} is neither {no!r} nor {yes!r}")
    return bool(value == yes)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(value))


def _algorithms(value: Any) -> tuple[str, ...]:
    found = _texts(value)
    if not found or not set(found) <= set(ALGORITHMS):
        raise ValueError(f"the hash algorithms {', '.join(found) or '(none)'} are not among {', '.join(ALGORITHMS)}")
    return found


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.60} is no list")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.60} is no object")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands in an object twice")
    return found
