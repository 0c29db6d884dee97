"""Collections and the versions that are claimed in them.

Laws: a version is claimed, not counted: ``names/<collection>/<N>`` is linked into place exclusively with its content
complete, so two processes never get one number; versions are integers and sort as integers; an artifact that equals
the newest version is that version, except that a run which is no trial never takes over a trial's. A deleted version
keeps its file, and so its number, for ever; ``<N>.deleted`` beside it says that it names nothing any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from repro_assets.errors import CorruptRecord, InvalidValue, UnknownName, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home

_COLLECTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
_NUMBER = re.compile(r"[1-9][0-9]*")
DIGEST_PREFIX = re.compile(r"(sha256:)?(?P<hex>[0-9a-f]{8,64})")
"""What reads as a digest, or as the beginning of one."""
NUMBERED = re.compile(r"(?P<collection>[^:@/]+):v(?P<number>\d+)")
"""What names a version by its number."""
FORMAT = 2
"""Of the claim's file: 2 is sealed (`store.sealed`), 1 is not and has no member ``format``."""
_UNSEALED = frozenset({"digest", "kind", "run_id", "trial"})
_DELETED = ".deleted"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a collection."""

    collection: str
    number: int
    digest: Digest
    kind: str
    run_id: str | None
    trial: bool
    deleted: bool = False

    def __str__(self) -> str:
        return f"{self.collection}:v{self.number}"


def check_collection(name: str) -> str:
    """Return `name` if it can name a collection.

    Raises
    ------
    InvalidValue
        If it cannot.
    """
    if not _COLLECTION.fullmatch(name):
        raise InvalidValue(
            f"{name!r} cannot name a collection", "letters, digits and _ . + -, not beginning with a sign"
        )
    return name


def check_new_name(text: str) -> str:
    """Return `text` if it can name a collection, so that a new artifact may bear it.

    Raises
    ------
    InvalidValue
        If it cannot, or would read as a version, an alias or a digest.
    """
    check_collection(text)
    if DIGEST_PREFIX.fullmatch(text):
        raise InvalidValue(f"{text!r} would read as a digest", "choose another name")
    return text


def collections(home: Home) -> list[str]:
    """All collections, by name."""
    return sorted(path.name for path in home.names.iterdir() if path.is_dir()) if home.names.is_dir() else []


def versions(home: Home, collection: str) -> list[Version]:
    """All versions of a collection, deleted ones included, oldest first; empty where there is none."""
    folder = home.names / check_collection(collection)
    return [read_version(folder / str(number)) for number in _numbers(folder)]


def newest(home: Home, collection: str, *, trials: bool = False) -> Version:
    """Return the newest version, of runs that are no trials unless `trials` is set.

    Raises
    ------
    UnknownName
        If there is none.
    """
    folder = home.names / check_collection(collection)
    for number in reversed(_numbers(folder)):
        version = read_version(folder / str(number))
        if not version.deleted and (trials or not version.trial):
            return version
    raise UnknownName(f"there is no artifact named {collection!r}", "see: repro artifacts list")


def version(home: Home, collection: str, number: int, *, deleted: bool = False) -> Version:
    """Return one version.

    Parameters
    ----------
    home : Home
        The store.
    collection, number : str and int
        Which.
    deleted : bool
        Also one that was deleted.

    Raises
    ------
    UnknownName
        If it was never claimed, and the newest is named; or if it was deleted.
    """
    path = home.names / check_collection(collection) / str(number)
    if not path.is_file():
        known = _numbers(path.parent)
        remedy = f"the newest is v{known[-1]}" if known else "see: repro artifacts list"
        raise UnknownName(f"{collection} has no version {number}", remedy)
    found = read_version(path)
    if found.deleted and not deleted:
        raise UnknownName(f"{found} was deleted", f"see: repro artifacts show {found}")
    return found


def mark_deleted(home: Home, version: Version) -> None:
    """Say beside the file of a version that it names nothing any more.

    Raises
    ------
    MachineError
        If that cannot be written.
    """
    path = home.names / version.collection / f"{version.number}{_DELETED}"
    durable.write_file(path, [], home.temporary, exclusive=True)


def claim(
    home: Home, collection: str, digest: Digest, kind: str, run_id: str | None, *, trial: bool
) -> tuple[Version, bool]:
    """Claim the next version of a collection for an artifact.

    Returns
    -------
    version : Version
        The new version, or the newest one if it is the same artifact.
    new : bool
        Whether it was claimed by this call.
    """
    folder = home.names / check_collection(collection)
    while True:
        known = _numbers(folder)
        if known:
            last = read_version(folder / str(known[-1]))
            if last.digest == digest and not last.deleted and (trial or not last.trial):
                return last, False
        claimed = Version(collection, known[-1] + 1 if known else 1, digest, kind, run_id, trial)
        path = folder / str(claimed.number)
        if durable.write_file(path, [encode_version(claimed)], home.temporary, exclusive=True):
            return claimed, True


def _numbers(folder: Path) -> list[int]:
    """Return the claimed numbers in order; a file that some other program left there is none."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if _NUMBER.fullmatch(path.name))


def read_version(path: Path) -> Version:
    """Read one claim.

    Raises
    ------
    CorruptRecord
        If the file is not a claim.
    UnsupportedFormat
        If a newer version wrote it.
    """
    version = parse_version(path.parent.name, path.name, path.read_bytes())
    return replace(version, deleted=path.with_name(path.name + _DELETED).exists())


def parse_version(collection: str, number: str, content: bytes) -> Version:
    """Read the content of the claim ``<collection>/<number>``.

    Raises
    ------
    CorruptRecord
        If it is no claim.
    UnsupportedFormat
        If a newer version wrote it.
    """
    try:
        raw = sealed.unseal(content, _UNSEALED)
        if raw.get("format", 1) > FORMAT:
            raise UnsupportedFormat(f"the claim {collection}/{number} has format {raw['format']}")
        kind, run_id, trial = raw["kind"], raw["run_id"], raw["trial"]
        if not (isinstance(kind, str) and isinstance(run_id, str | None) and isinstance(trial, bool)):
            raise TypeError("a member has the wrong type")
        return Version(collection, int(number), Digest.parse(str(raw["digest"])), kind, run_id, trial)
    except (ValueError, KeyError, TypeError, InvalidValue) as error:
        raise CorruptRecord(f"the claim {collection}/{number} is damaged", "see: repro store fsck") from error


def encode_version(version: Version) -> bytes:
    """Return the content of a claim's file."""
    return sealed.seal(
        {
            "format": FORMAT,
            "digest": str(version.digest),
            "kind": version.kind,
            "run_id": version.run_id,
            "trial": version.trial,
        }
    )


def take_over(home: Home, version: Version) -> bool:
    """Claim a version as another store claimed it; False if the number is taken here.

    Raises
    ------
    MachineError
        If the claim cannot be written.
    """
    path = home.names / check_collection(version.collection) / str(version.number)
    return durable.write_file(path, [encode_version(version)], home.temporary, exclusive=True)


def is_mark(path: Path) -> bool:
    """Tell whether a file of a collection is the mark of a deleted version."""
    return path.name.endswith(_DELETED) and _NUMBER.fullmatch(path.name.removesuffix(_DELETED)) is not None
