"""Remotes that a store knows by name.

Laws: ``remotes.json`` in the store holds names and addresses and no credential, and is sealed (`store.sealed`); at most
one remote is the default: the one that is meant where none is named, and from which objects that are read and missing
are fetched.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from repro_assets.errors import CorruptRecord, InvalidValue, ReusedElsewhere, UnknownName, UnsupportedFormat
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home
from repro_assets.store.remote.bucket import canonical_url, folder_of

FORMAT = 1
_UNSEALED = frozenset({"format", "remotes"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Remote:
    """A name, an address, and whether missing objects come from there."""

    name: str
    url: str
    default: bool


def list_remotes(home: Home) -> list[Remote]:
    """Return the remotes of a store, by name.

    Raises
    ------
    CorruptRecord, UnsupportedFormat
        If the file does not read, or a newer version wrote it.
    """
    try:
        document = sealed.unseal(home.remotes.read_bytes(), _UNSEALED)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise _damaged(home) from error
    try:
        if document["format"] > FORMAT:
            raise UnsupportedFormat(f"{home.remotes} has format {document['format']}", "use a newer repro-assets")
        found = [Remote(str(item["name"]), str(item["url"]), bool(item["default"])) for item in document["remotes"]]
    except (KeyError, TypeError) as error:
        raise _damaged(home) from error
    return sorted(found, key=lambda remote: remote.name)


def add_remote(home: Home, name: str, address: str, *, default: bool = False) -> Remote:
    """Give a remote a name. The same name for the same address again is no error; `default` moves the default here.

    Raises
    ------
    InvalidValue
        If the name or the address cannot be one.
    UnknownName
        If it is a folder that is not there.
    ReusedElsewhere
        If the name has another address.
    MachineError
        If the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue(f"{name!r} cannot name a remote", "letters, digits, _ and -")
    if "/" not in address:
        raise InvalidValue(f"{address!r} is no address of a remote", f"a URL, or a folder with a /: ./{address}")
    url = canonical_url(address)
    folder_of(url)
    known = list_remotes(home)
    for remote in known:
        if remote.name == name and remote.url != url:
            raise ReusedElsewhere(f"{name} is {remote.url} already", f"repro store remote remove {name}")
    was = any(remote.name == name and remote.default for remote in known)
    added = Remote(name, url, default or was)
    others = [
        Remote(remote.name, remote.url, remote.default and not default) for remote in known if remote.name != name
    ]
    _write(home, [*others, added])
    return added


def remove_remote(home: Home, name: str) -> Remote:
    """Forget a name; nothing in the remote is touched.

    Raises
    ------
    UnknownName
        If there is no such remote.
    """
    known = list_remotes(home)
    for remote in known:
        if remote.name == name:
            _write(home, [other for other in known if other.name != name])
            return remote
    raise _unknown(name, known)


def find_remote(home: Home, text: str | None) -> str:
    """Return the address that `text` means: a name of a remote, a URL, a folder (with a ``/`` in it), None the default.

    Raises
    ------
    UnknownName
        If it is a name that no remote has, or there is no default remote.
    InvalidValue
        If it is no address.
    """
    known = list_remotes(home)
    if text is None:
        for remote in known:
            if remote.default:
                return remote.url
        raise UnknownName(
            "no remote is named, and none is the default", "name one, or: repro store remote add NAME URL --default"
        )
    for remote in known:
        if remote.name == text:
            return remote.url
    if "/" in text:
        return canonical_url(text)
    raise _unknown(text, known)


def default_remote(home: Home) -> Remote | None:
    """Return the remote from which missing objects are fetched, if there is one."""
    return next((remote for remote in list_remotes(home) if remote.default), None)


def _write(home: Home, remotes: list[Remote]) -> None:
    document = {"format": FORMAT, "remotes": [asdict(remote) for remote in sorted(remotes, key=lambda r: r.name)]}
    durable.write_file(home.remotes, [sealed.seal(document)], home.temporary)


def _unknown(name: str, known: list[Remote]) -> UnknownName:
    names = ", ".join(remote.name for remote in known)
    return UnknownName(
        f"there is no remote named {name!r}", f"known: {names}" if names else "repro store remote add NAME URL"
    )


def _damaged(home: Home) -> CorruptRecord:
    return CorruptRecord(f"{home.remotes} is damaged", "remove it and add the remotes again: repro store remote add")
