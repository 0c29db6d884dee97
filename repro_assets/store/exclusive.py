"""One process at a time rewrites or removes what is stored.

Laws: who collects or repacks holds the lock; a process's death frees it. What a killed repack has left behind is put
in order before the lock is handed out, so that no two forms of one object are there that need different bases: until
all new packs are shown the old ones count, and from then on the new ones do.

``repack.json``, which is sealed, names the packs: ``old``, ``new``, and ``complete`` once all new ones are shown. It
is gone when the old ones are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from repro_assets.errors import CorruptRecord, ReusedElsewhere, from_os_error
from repro_assets.store import durable, sealed
from repro_assets.store.home import Home

_PLAN = "repack.json"
_UNSEALED = frozenset({"old", "new", "complete"})


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Be the only process that rewrites or removes objects of this store.

    Raises
    ------
    ReusedElsewhere
        If another process is doing so now.
    MachineError
        If the lock cannot be had.
    CorruptRecord
        If what a killed repack left does not read.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(durable.locked(home.trash, folder=True, wait=False))
        except ReusedElsewhere as error:
            raise ReusedElsewhere(f"another process is collecting or repacking in {home.root}", error.remedy) from error
        _put_in_order(home)
        yield


def plan(home: Home, old: Iterable[str], new: Iterable[str], *, complete: bool) -> None:
    """Say durably which packs are about to replace which, or that all new ones are shown.

    Raises
    ------
    MachineError
        If it cannot be written.
    """
    planned = {"old": sorted(old), "new": sorted(new), "complete": complete}
    durable.write_file(home.root / _PLAN, [sealed.seal(planned)], home.temporary)


def read_plan(home: Home) -> tuple[list[str], list[str], bool] | None:
    """Return the old packs, the new ones, and whether all new ones are shown; None where no repack was cut off.

    Raises
    ------
    CorruptRecord
        If the plan does not read.
    """
    path = home.root / _PLAN
    try:
        planned = sealed.unseal(path.read_bytes(), _UNSEALED)
        return list(planned["old"]), list(planned["new"]), bool(planned["complete"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        remedy = "run repro store fsck --full; if nothing else is wrong, remove it"
        raise CorruptRecord(f"{path} is damaged", remedy) from error


def finish(home: Home) -> None:
    """Remove the packs that have been replaced.

    Raises
    ------
    MachineError
        If one cannot be removed.
    """
    _put_in_order(home)


def _put_in_order(home: Home) -> None:
    planned = read_plan(home)
    if planned is None:
        return
    old, new, complete = planned
    try:
        for pack in old if complete else new:
            for suffix in (".pack", ".idx"):
                (home.packs / f"{pack}{suffix}").unlink(missing_ok=True)
        if home.packs.is_dir():
            durable.sync_folder(home.packs)
        (home.root / _PLAN).unlink()
        durable.sync_folder(home.root)
    except OSError as error:
        raise from_os_error(error, home.packs) from error
