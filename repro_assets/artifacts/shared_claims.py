"""Versions of a store in a remote, and of a remote in a store.

Laws: a claim never changes and is never overwritten, on either side; whoever comes first has the number. Where two
sides claimed one number for different artifacts, both keep theirs and the exchange names them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
from collections.abc import Iterator

from repro_assets.artifacts import names
from repro_assets.artifacts.exchange import Exchange
from repro_assets.artifacts.names import Version
from repro_assets.errors import CorruptRecord, InvalidValue
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home
from repro_assets.store.remote.objects import LANES, RemoteObjects

_CLAIM = re.compile(r"names/([^/]+)/([1-9][0-9]{0,17})")


class Claims:
    """The versions in a remote. A file there never changes, so what was read once under a tag is remembered."""

    def __init__(self, remote: RemoteObjects) -> None:
        self._bucket = remote.bucket
        self._home = remote.home
        self._file = remote.cache / "names.json" if remote.cache is not None else None
        self._known: dict[str, list[str]] = {}
        # A cache that does not read is not used.
        with contextlib.suppress(FileNotFoundError, ValueError):
            if self._file is not None:
                self._known = sealed.unseal(self._file.read_bytes())
        self._listed = {item.path: item.tag for item in remote.bucket.list("names") if _CLAIM.fullmatch(item.path)}

    def read_all(self, done: Exchange) -> Iterator[Version | None]:
        """Yield every version; None for one whose file is damaged, which `done` names."""
        with concurrent.futures.ThreadPoolExecutor(LANES, thread_name_prefix="repro-remote") as pool:
            futures = {path: pool.submit(self.read, path) for path in sorted(self._listed)}
            for path, future in futures.items():
                try:
                    yield future.result()
                except (CorruptRecord, InvalidValue) as error:
                    done.failed.append({"name": path, "reason": str(error)})
                    yield None

    def read(self, path: str) -> Version:
        """Return one version.

        Raises
        ------
        CorruptRecord
            If its file is damaged.
        InvalidValue
            If its name can be none of a collection.
        """
        match = _CLAIM.fullmatch(path)
        if match is None:
            raise CorruptRecord(f"{self._bucket}/{path} is no claim", "remove it there")
        tag, known = self._listed.get(path), self._known.get(path)
        if tag is not None and known is not None and known[0] == tag:
            content = known[1].encode()
        else:
            content = self._bucket.read(path) or b""
        version = names.parse_version(names.check_collection(match[1]), match[2], content)
        if tag is not None:
            self._known[path] = [tag, content.decode()]
        return version

    def claim(self, version: Version) -> tuple[Version, bool]:
        """Claim a version in the remote; return the one that has the number now, and whether it is new there."""
        path = f"names/{version.collection}/{version.number}"
        if path not in self._listed and self._bucket.create(path, names.encode_version(version)):
            return version, True
        return self.read(path), False

    def save(self) -> None:
        """Remember what was read."""
        if self._file is not None and self._home is not None:
            known = {path: value for path, value in self._known.items() if path in self._listed}
            durable.replace_file(self._file, [sealed.seal(known)], self._home.temporary)


def send_claim(known: Claims, version: Version, done: Exchange) -> None:
    """Claim a version in the remote; `done` says what became of it."""
    try:
        there, new = known.claim(version)
    except CorruptRecord as error:
        done.failed.append({"name": str(version), "reason": str(error)})
        return
    if there.digest != version.digest:
        done.conflicts.append({"name": str(version), "local": str(version.digest), "remote": str(there.digest)})
    elif new:
        done.names += 1


def take_claim(home: Home, version: Version, done: Exchange) -> bool:
    """Tell whether the version is here now as it is there: a pull may have been killed before it recorded that."""
    if names.take_over(home, version):
        done.names += 1
        return True
    here = names.version(home, version.collection, version.number, deleted=True)
    if here.digest != version.digest:
        done.conflicts.append({"name": str(version), "local": str(here.digest), "remote": str(version.digest)})
    return here.digest == version.digest


def claims_here(home: Home, done: Exchange) -> Iterator[Version]:
    """Yield every version of a store; `done` names those whose files are damaged."""
    for collection in names.collections(home):
        for path in sorted((home.names / collection).iterdir()):
            if _CLAIM.fullmatch(f"names/{collection}/{path.name}"):
                try:
                    yield names.read_version(path)
                except CorruptRecord as error:
                    done.failed.append({"name": f"names/{collection}/{path.name}", "reason": str(error)})
