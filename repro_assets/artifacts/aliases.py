"""Aliases: words that name a version of a collection and can be moved.

Laws: a move is a record that names the move it replaces, so its whole history can be read; a rollback is one more move;
movers of one collection take turns under a lock, so the later one names the earlier, and none is lost in silence; moves
that came from elsewhere and replace the same one are all named by the next. `latest` is no alias: it is the newest
version, always.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from types import EllipsisType

from repro_assets.artifacts import names
from repro_assets.artifacts.names import Version
from repro_assets.errors import CheckFailed, InvalidValue, UnknownName
from repro_assets.journal.artifact_records import AliasMoved
from repro_assets.journal.lines import read_line
from repro_assets.journal.merged import read_raw
from repro_assets.journal.records import Record
from repro_assets.journal.segments import journal_at
from repro_assets.store import durable
from repro_assets.store.home import Home

RESERVED = "latest"
_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_VERSION = re.compile(r"v\d+")
_KIND = b'"kind":"alias"'

Move = tuple[Record, AliasMoved]


def move(home: Home, version: Version, alias: str, *, replaces: str | EllipsisType | None = ...) -> AliasMoved:
    """Let `alias` name a version from now on.

    Parameters
    ----------
    home : Home
        The store.
    version : Version
        What it names.
    alias : str
        The word.
    replaces : str or None, optional
        Id of the record of the move that this one may replace, None for the first; any if left out.

    Raises
    ------
    InvalidValue
        If the word cannot be an alias.
    CorruptRecord
        If the record of an earlier move does not read.
    CheckFailed
        If another move came in between.
    MachineError
        If the move cannot be recorded.
    """
    if alias == RESERVED or not _ALIAS.fullmatch(alias) or _VERSION.fullmatch(alias):
        raise InvalidValue(
            f"{alias!r} cannot be an alias", f"a word of letters, digits and _ . -; {RESERVED!r} is always the newest"
        )
    names.version(home, version.collection, version.number)
    with _in_turn(home, version.collection):
        moves = history(home, version.collection, alias)
        if replaces is not ... and replaces != (moves[-1][0].id if moves else None):
            held = f"{version.collection}:v{moves[-1][1].version}" if moves else "nothing"
            raise CheckFailed(
                f"{version.collection}@{alias} was moved to {held} meanwhile", "look at it and ask for the move again"
            )
        return _record(home, moves, version, alias)


def roll_back(home: Home, collection: str, alias: str, to: Version | None = None) -> AliasMoved:
    """Move an alias back.

    Parameters
    ----------
    home : Home
        The store.
    collection, alias : str
        Which alias.
    to : Version, optional
        Where to; where it was before if left out. Rolling back twice goes back by two.

    Raises
    ------
    UnknownName
        If there is no such alias, or nothing that it named before is left.
    InvalidValue
        If `to` is a version of another collection.
    """
    if to is not None and to.collection != collection:
        raise InvalidValue(f"{to} is not a version of {collection}", f"name one of {collection}")
    with _in_turn(home, collection):
        moves = history(home, collection, alias)
        if not moves:
            raise UnknownName(f"{collection} has no alias {alias!r}", f"see: repro artifacts show {collection}")
        return _record(home, moves, to or _before(home, moves), alias)


def aliases_of(home: Home, collection: str) -> list[str]:
    """Return the aliases of a collection, by name."""
    return sorted({move.alias for _, move in _moves(home) if move.collection == collection})


def history(home: Home, collection: str, alias: str) -> list[Move]:
    """Return the moves of an alias, earliest first; the one that holds is the last.

    Raises
    ------
    CorruptRecord
        If the record of a move does not read.
    """
    found = [item for item in _moves(home) if (item[1].collection, item[1].alias) == (collection, alias)]
    replaced = {move.replaces for _, move in found}
    # The catalog chooses in the same way among moves that replace the same one.
    return sorted(found, key=lambda item: (item[0].id not in replaced, item[0].time, len(item[0].id), item[0].id))


def _record(home: Home, moves: list[Move], version: Version, alias: str) -> AliasMoved:
    replaced = {move.replaces for _, move in moves}
    heads = tuple(record.id for record, _ in moves if record.id not in replaced)
    moved = AliasMoved(
        version.collection, alias, version.number, str(version.digest), moves[-1][0].id if moves else None
    )
    journal_at(home.journal).append(moved, follows=heads)
    return moved


def _before(home: Home, moves: list[Move]) -> Version:
    # Going to where one was before is going back, whichever command did it.
    stack: list[int] = []
    for _, moved in moves:
        if len(stack) > 1 and stack[-2] == moved.version:
            stack.pop()
        elif not stack or stack[-1] != moved.version:
            stack.append(moved.version)
    collection, alias = moves[-1][1].collection, moves[-1][1].alias
    for number in reversed(stack[:-1]):
        version = names.version(home, collection, number, deleted=True)
        if not version.deleted:
            return version
    gone = ", ".join(f"v{number}" for number in dict.fromkeys(reversed(stack[:-1])))
    if gone:
        raise UnknownName(
            f"what {collection}@{alias} named before v{stack[-1]} was deleted: {gone}", "say where to with --to"
        )
    raise UnknownName(f"{collection}@{alias} named nothing before v{stack[-1]}", "say where to with --to")


def _moves(home: Home) -> Iterator[Move]:
    for segment, line in read_raw(home):
        # Most lines are others: only these are decoded.
        if _KIND in line and line.endswith(b"\n"):
            record = read_line(line, segment)
            if isinstance(record.payload, AliasMoved):
                yield record, record.payload


@contextlib.contextmanager
def _in_turn(home: Home, collection: str) -> Iterator[None]:
    folder = home.names / names.check_collection(collection)
    if not folder.is_dir():
        raise UnknownName(f"there is no artifact named {collection!r}", "see: repro artifacts list")
    with durable.locked(folder, folder=True):
        yield
