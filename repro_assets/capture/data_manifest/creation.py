"""Making a data manifest.

Laws: the files that a limit takes are the first in the order of their paths' bytes; a file without hashes is an error
entry and is counted nowhere else; in a differential manifest a file is unchanged only if it was hashed again and the
hashes are the same, never by its times; a manifest does not describe itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from repro_assets.capture.data_manifest.document import Loaded, document_of, encode, read_manifest
from repro_assets.capture.data_manifest.hashing import (
    ALGORITHMS,
    CHANGED,
    UNREADABLE,
    Hashed,
    Progress,
    Unhashed,
    hash_file,
    hash_files,
)
from repro_assets.capture.data_manifest.listing import Base, Changes, DataManifest, Item, same_content
from repro_assets.capture.data_manifest.patterns import Selection
from repro_assets.capture.data_manifest.resolution import resolved
from repro_assets.capture.data_manifest.walking import ERROR, FILE, absolute, walk, within
from repro_assets.errors import InvalidInput, InvalidValue, ReusedElsewhere, SourceChanged
from repro_assets.store import durable

DEFAULT_ALGORITHMS = ("sha256",)


def create_manifest(
    path: str | Path,
    *,
    algorithms: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_files: int | None = None,
    metadata: Mapping[str, str] | None = None,
    base: str | Path | None = None,
    output: str | Path | None = None,
    progress: Progress | None = None,
) -> DataManifest:
    """Describe a folder or a file.

    Parameters
    ----------
    path : str or Path
        The folder or file; followed if it is itself a link.
    algorithms : sequence of str
        Some of md5, sha1, sha256, sha512; those of `base`, or sha256, if empty.
    include, exclude : sequence of str
        Patterns in gitignore's syntax; those of `base` if empty.
    max_files : int, optional
        At most so many files.
    metadata : mapping, optional
        What to say about the data.
    base : str or Path, optional
        Make a differential manifest on this one.
    output : str or Path, optional
        Where the manifest will be written; it is not counted where that is in the folder.
    progress : callable, optional
        Is told how many files are hashed.

    Raises
    ------
    InvalidInput
        If `path` is neither a folder nor a file, is a folder that cannot be listed or a file that cannot be read, or
        `base` is no manifest.
    InvalidValue
        If an algorithm, pattern or limit is wrong, or does not go with `base`.
    SourceChanged
        If `path` is a file that changes while it is read; in a folder such a file is an error entry.
    CorruptRecord
        If `base` was changed after it was written.
    """
    begun = time.perf_counter()
    if max_files is not None and max_files < 1:
        raise InvalidValue(f"max_files is {max_files}", "at least 1")
    path, base = Path(path), None if base is None else Path(base)
    earlier = _base(base, algorithms, include, exclude, max_files)
    if earlier is not None:
        _, whole = earlier
        algorithms, include, exclude = whole.algorithms, whole.include, whole.exclude
    algorithms = _algorithms(algorithms or DEFAULT_ALGORITHMS)
    selection = Selection(include, exclude)
    root = absolute(path)
    single = not Path(root).is_dir()
    if earlier is not None and single != earlier[1].single:
        raise InvalidValue(f"{path} and the data of {base} are not both folders or both files", "give another base")
    not_counted = set(earlier[1].not_counted) if earlier else set()
    if not single:
        not_counted |= {inside for item in (output, base) if item is not None and (inside := within(root, item))}
    items, left_out = (
        (_single(root, algorithms, selection), 0)
        if single
        else _folder(root, algorithms, selection, frozenset(not_counted), max_files, progress)
    )
    manifest = DataManifest(
        data_path=root,
        single=single,
        algorithms=algorithms,
        items=items,
        include=selection.include,
        exclude=selection.exclude,
        max_files=max_files,
        left_out=left_out,
        metadata=dict(metadata or {}),
        not_counted=tuple(sorted(not_counted)),
        generated_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        seconds=round(time.perf_counter() - begun, 6),
    )
    return manifest if earlier is None else _differential(manifest, *earlier)


def check_output(output: Path, base: Path | None = None) -> None:
    """Refuse a place for a manifest before the work is done.

    Raises
    ------
    InvalidInput
        If its folder is not there.
    ReusedElsewhere
        If something is there that is no data manifest, or it is the base.
    """
    target = _target(output)
    if not target.parent.is_dir():
        raise InvalidInput(f"{target.parent} is not there, or no folder", "make it, or write the manifest elsewhere")
    if base is not None and target == _target(base):
        raise ReusedElsewhere(f"{output} is the base of the manifest", "write the differential manifest elsewhere")
    if os.path.lexists(target):
        try:
            read_manifest(target)
        except InvalidInput as error:
            raise ReusedElsewhere(f"{output} is there and is no data manifest", "write it elsewhere") from error


def write_manifest(manifest: DataManifest, output: str | Path) -> None:
    """Write a manifest durably: whole or not at all.

    Parameters
    ----------
    manifest : DataManifest
        From `create_manifest`.
    output : str or Path
        Its file; an earlier manifest there is replaced, and nothing else.

    Raises
    ------
    InvalidInput, ReusedElsewhere
        As `check_output`.
    MachineError
        If the file cannot be written.
    """
    output = Path(output)
    check_output(output, None if manifest.base is None else Path(manifest.base.path))
    target = _target(output)
    durable.write_file(target, [encode(document_of(manifest))], target.parent)


def file_item(path: str, read: Hashed | Unhashed) -> Item:
    """Return the entry of a file that was read, or could not be."""
    if isinstance(read, Unhashed):
        return Item(path, ERROR, detail=f"the file {read.error}", reason=read.reason)
    seconds, nanoseconds = divmod(read.modified_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return Item(path, FILE, read.size, read.hashes, moment.isoformat(timespec="microseconds"), f"{read.mode:04o}")


def _algorithms(names: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in ALGORITHMS]
    if unknown:
        raise InvalidValue(f"{unknown[0]!r} is no hash algorithm", f"one of {', '.join(ALGORITHMS)}")
    return tuple(name for name in ALGORITHMS if name in names)


def _single(root: str, algorithms: Sequence[str], selection: Selection) -> dict[str, Item]:
    name = Path(root).name
    if not Path(root).is_file():
        there = os.path.lexists(root)
        raise InvalidInput(f"{root} is {'neither a folder nor a file' if there else 'not there'}", "check the path")
    if not selection.takes(name):
        raise InvalidValue(f"the patterns leave out {name!r} itself", "leave the patterns out")
    read = hash_file(root, algorithms, follow=True)
    if isinstance(read, Unhashed):
        error = SourceChanged if read.reason == CHANGED else InvalidInput
        raise error(f"{root} {read.error}", "check the file, and that nothing writes to it")
    return {name: file_item(name, read)}


def _folder(
    root: str,
    algorithms: Sequence[str],
    selection: Selection,
    not_counted: frozenset[str],
    max_files: int | None,
    progress: Progress | None,
) -> tuple[dict[str, Item], int]:
    found = walk(root, selection, not_counted).found
    files = [item.path for item in found if item.type == FILE]
    taken = files if max_files is None else files[:max_files]
    reads = dict(zip(taken, hash_files(root, taken, algorithms, progress), strict=True))
    items: dict[str, Item] = {}
    for item in found:
        if item.type != FILE:
            reason = UNREADABLE if item.type == ERROR else ""
            items[item.path] = Item(item.path, item.type, detail=item.detail, reason=reason)
        elif item.path in reads:
            items[item.path] = file_item(item.path, reads[item.path])
    return items, len(files) - len(taken)


def _base(
    base: Path | None,
    algorithms: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    max_files: int | None,
) -> tuple[Loaded, DataManifest] | None:
    """Read the base; what was asked for beside it must be what it has."""
    if base is None:
        return None
    loaded = read_manifest(base)
    loaded.require_intact()
    whole = resolved(loaded)
    if whole.left_out:
        raise InvalidValue(f"{base} is truncated and does not say what was there", "give a whole manifest as the base")
    if max_files is not None:
        raise InvalidValue("a differential manifest has no limit of files", "leave --max-files or --base out")
    asked: Iterable[tuple[str, Sequence[str], Sequence[str]]] = (
        ("hash algorithms", algorithms and _algorithms(algorithms), whole.algorithms),
        ("include patterns", include, whole.include),
        ("exclude patterns", exclude, whole.exclude),
    )
    for what, wanted, there in asked:
        if wanted and tuple(wanted) != tuple(there):
            raise InvalidValue(
                f"the {what} of {base} are {', '.join(there) or 'none'}", "leave them out, or make a full manifest"
            )
    return loaded, whole


def _differential(manifest: DataManifest, base: Loaded, whole: DataManifest) -> DataManifest:
    before, after = whole.items, manifest.items
    if manifest.single:
        # The one file of either is the same thing, whatever it is called now.
        before = {name: next(iter(before.values())) for name in after}
    added = [path for path in after if path not in before]
    same = {path for path in after if path in before and same_content(before[path], after[path])}
    modified = [path for path in after if path in before and path not in same]
    permissions = [path for path in after if path in same and before[path].permissions != after[path].permissions]
    told = {*added, *modified, *permissions}
    return replace(
        manifest,
        items={path: item for path, item in after.items() if path in told},
        base=Base(absolute(base.path), base.digest),
        changes=Changes(
            tuple(added),
            tuple(modified),
            tuple(permissions),
            tuple((path, before[path].type) for path in before if path not in after),
            len(same),
        ),
    )


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))
