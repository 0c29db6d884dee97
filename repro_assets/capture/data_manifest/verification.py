"""Holding a folder or a file against its manifest.

Laws: the verdict is good only if every entry was found and compared, nothing else that the manifest's own patterns
take is there, and the manifest is as it was written. Bytes decide, never times. What cannot be read, was not hashed
then, has no hash, or lies below a folder that could not be listed then or cannot be now, is an error and never a pass.
Permissions that differ are a note. Where a limit left files out of the manifest, extra files cannot be told, which is
a note as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.capture.data_manifest.creation import file_item
from repro_assets.capture.data_manifest.document import Loaded, read_manifest
from repro_assets.capture.data_manifest.hashing import ALGORITHMS, Progress, hash_file, hash_files
from repro_assets.capture.data_manifest.listing import DataManifest, Item, shown
from repro_assets.capture.data_manifest.patterns import Selection
from repro_assets.capture.data_manifest.resolution import resolved_with_files
from repro_assets.capture.data_manifest.walking import ERROR, FILE, FOLDER, LINK, Found, absolute, walk, within
from repro_assets.errors import InvalidInput


@dataclass(slots=True)
class Verification:
    """What differs between a manifest and the data; paths are relative, as a person reads them.

    ``missing_files`` and ``extra_files`` are all that is no folder, links and sockets included; the folders beside
    them are empty ones. ``modified_files`` are the paths of both kinds of mismatches.
    """

    manifest: str
    data_path: str
    missing_files: list[str] = field(default_factory=list)
    missing_folders: list[str] = field(default_factory=list)
    modified_files: list[str] = field(default_factory=list)
    hash_mismatches: list[dict[str, Any]] = field(default_factory=list)
    size_mismatches: list[dict[str, Any]] = field(default_factory=list)
    changed_links: list[dict[str, str]] = field(default_factory=list)
    type_changes: list[dict[str, str]] = field(default_factory=list)
    extra_files: list[str] = field(default_factory=list)
    extra_folders: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    verified_files: int = 0

    @property
    def valid(self) -> bool:
        """Whether the data are what the manifest says."""
        return not any(getattr(self, name) for name in FAILURES)

    def document(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {"valid": self.valid, **{name: getattr(self, name) for name in self.__slots__}}


FAILURES = (
    "missing_files",
    "missing_folders",
    "modified_files",
    "hash_mismatches",
    "size_mismatches",
    "changed_links",
    "type_changes",
    "extra_files",
    "extra_folders",
    "errors",
)


def verify_manifest(
    manifest: str | Path, path: str | Path | None = None, progress: Progress | None = None
) -> Verification:
    """Check data against a manifest.

    Parameters
    ----------
    manifest : str or Path
        The file of the manifest, full or differential.
    path : str or Path, optional
        Where the data are now; where they were if left out. For the manifest of one file, that file under any name,
        or a folder that holds it.
    progress : callable, optional
        Is told how many files are hashed.

    Raises
    ------
    InvalidInput
        If `manifest`, or a base of it, is not there or no manifest; if `path` is not there or of the other type.
    UnsupportedFormat
        If a newer version wrote the manifest.
    CorruptRecord
        If a base of it was changed. A manifest that was changed itself is an error of the result.
    """
    loaded = read_manifest(Path(manifest))
    whole, files = resolved_with_files(loaded)
    root = absolute(path if path is not None else whole.data_path)
    result = Verification(shown(str(manifest)), shown(root))
    _judge_document(loaded, whole, result)
    if whole.single:
        _verify_file(whole, root, given=path is not None, result=result)
    else:
        _verify_folder(whole, root, files, result, progress)
    return result


def _judge_document(loaded: Loaded, whole: DataManifest, result: Verification) -> None:
    if not loaded.intact:
        result.errors.append(
            {
                "relative_path": "",
                "error": f"the manifest was changed after it was written: it says that its digest is "
                f"{loaded.stated or 'none'}, and it is {loaded.digest}",
            }
        )
    if whole.left_out:
        result.notes.append(
            {
                "relative_path": "",
                "note": f"the manifest is truncated: it left out {whole.left_out} files, so extra files cannot be told",
            }
        )
    if not whole.items:
        result.notes.append({"relative_path": "", "note": "the manifest lists nothing"})


def _verify_file(whole: DataManifest, root: str, *, given: bool, result: Verification) -> None:
    if len(whole.items) != 1:
        raise InvalidInput(f"{result.manifest} is the manifest of one file and lists {len(whole.items)}", "create it")
    (item,) = whole.items.values()
    if Path(root).is_dir() and given:
        root = f"{root}/{item.path}"
        result.data_path = shown(root)
    if not os.path.lexists(root):
        if given or not Path(root).parent.is_dir():
            raise InvalidInput(f"{shown(root)} is not there", "say where the data are: repro manifest verify M PATH")
        result.missing_files.append(shown(item.path))
    elif not Path(root).is_file():
        result.type_changes.append(_pair(item.path, FILE, "no file"))
    else:
        _compare_file(item, file_item(item.path, hash_file(root, _algorithms(item), follow=True)), result)


def _verify_folder(
    whole: DataManifest, root: str, files: Iterable[Path], result: Verification, progress: Progress | None
) -> None:
    if not Path(root).is_dir():
        what = "no folder" if os.path.lexists(root) else "not there"
        raise InvalidInput(f"{shown(root)} is {what}", "say where the data are: repro manifest verify M PATH")
    own = {inside for file in files if (inside := within(root, file)) and inside not in whole.items}
    selection = Selection(whole.include, whole.exclude)
    walked = walk(root, selection, frozenset(own | set(whole.not_counted)))
    there = {item.path: item for item in walked.found}
    unlisted = {item.path for item in walked.found if item.type == ERROR}
    both = [path for path, item in whole.items.items() if item.type == FILE and _type(there, path) == FILE]
    by_algorithms: dict[tuple[str, ...], list[str]] = {}
    for path in both:
        by_algorithms.setdefault(_algorithms(whole.items[path]), []).append(path)
    read: dict[str, Item] = {}
    for algorithms, paths in by_algorithms.items():
        hashed = hash_files(root, paths, algorithms, progress)
        read |= {path: file_item(path, one) for path, one in zip(paths, hashed, strict=True)}
    for path, item in whole.items.items():
        if item.type == ERROR:
            _fail(result, path, f"it was not hashed when the manifest was made: {item.detail}")
        elif path in read:
            _compare_file(item, read[path], result)
        else:
            _compare_other(item, there.get(path), path in walked.folders, unlisted, result)
    _find_extra(whole, walked.found, result)


def _compare_file(item: Item, now: Item, result: Verification) -> None:
    if now.type == ERROR:
        _fail(result, item.path, now.detail)
        return
    common = item.hashes.keys() & now.hashes.keys()
    if not common or item.size is None:
        _fail(result, item.path, f"the manifest has no {'size' if common else 'hash'} for it, so nothing is shown")
        return
    path = shown(item.path)
    if item.size != now.size:
        result.size_mismatches.append({"relative_path": path, "expected": item.size, "found": now.size})
    for name in sorted(common):
        if item.hashes[name] != now.hashes[name]:
            result.hash_mismatches.append(
                {"relative_path": path, "algorithm": name, "expected": item.hashes[name], "found": now.hashes[name]}
            )
    if item.size != now.size or any(item.hashes[name] != now.hashes[name] for name in common):
        result.modified_files.append(path)
    else:
        result.verified_files += 1
    if item.permissions != now.permissions:
        result.notes.append(
            {"relative_path": path, "note": f"permissions were {item.permissions or 'none'}, are {now.permissions}"}
        )


def _compare_other(item: Item, now: Found | None, is_folder: bool, unlisted: set[str], result: Verification) -> None:
    """Compare an entry that is no file, or no longer one."""
    if now is None and not is_folder:
        above = [folder for folder in _above(item.path) if folder in unlisted]
        if above:
            _fail(result, item.path, f"it cannot be looked for: {shown(above[0])} cannot be listed")
        else:
            (result.missing_folders if item.type == FOLDER else result.missing_files).append(shown(item.path))
        return
    found = FOLDER if now is None else now.type
    if now is not None and found == ERROR:
        _fail(result, item.path, now.detail)
    elif found != item.type:
        result.type_changes.append(_pair(item.path, item.type, found))
    elif now is not None and item.detail != now.detail:
        if item.type == LINK:
            result.changed_links.append(_pair(item.path, shown(item.detail), shown(now.detail)))
        else:
            result.type_changes.append(_pair(item.path, item.detail, now.detail))


def _find_extra(whole: DataManifest, found: Iterable[Found], result: Verification) -> None:
    # An empty folder whose files are missing was in the manifest as the folder of its files.
    known = {folder for path in whole.items for folder in _above(path)}
    unjudged = {path for path, item in whole.items.items() if item.type == ERROR}
    for item in found:
        if item.path in whole.items or any(folder in unjudged for folder in _above(item.path)):
            continue
        if item.type == ERROR:
            _fail(result, item.path, item.detail)
        elif item.path in known:
            continue
        elif item.type == FOLDER:
            result.extra_folders.append(shown(item.path))
        elif item.type != FILE or not whole.left_out:
            result.extra_files.append(shown(item.path))


def _fail(result: Verification, path: str, error: str) -> None:
    result.errors.append({"relative_path": shown(path), "error": shown(error)})


def _pair(path: str, expected: str, found: str) -> dict[str, str]:
    return {"relative_path": shown(path), "expected": expected, "found": found}


def _type(there: dict[str, Found], path: str) -> str | None:
    return there[path].type if path in there else None


def _algorithms(item: Item) -> tuple[str, ...]:
    # An entry without a hash is read all the same: that it cannot be read is worth as much as that nothing is shown.
    return tuple(name for name in ALGORITHMS if name in item.hashes) or ALGORITHMS[2:3]


def _above(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
