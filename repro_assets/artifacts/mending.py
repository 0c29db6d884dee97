"""Repair of a store from a remote.

Laws: only what a check found damaged or missing is fetched, and it counts as repaired when it is here and verified; the
store is checked again afterwards, because a manifest that comes back names objects that the first check could not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.sharing import refuse_empty
from repro_assets.artifacts.soundness import Soundness, check_store
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home
from repro_assets.store.remote.bucket import Bucket
from repro_assets.store.remote.configured import find_remote
from repro_assets.store.remote.fetching import repair
from repro_assets.store.remote.objects import RemoteObjects


@dataclass(slots=True)
class Mended:
    """What was fetched from where, and what the remote does not have whole: ``digest`` and ``reason``."""

    remote: str
    repaired: list[str] = field(default_factory=list)
    lost: list[dict[str, str]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the members for a JSON answer."""
        return asdict(self)


def check_and_repair(
    home: Home, remote: str, *, full: bool = False, progress: Callable[[int], None] | None = None
) -> tuple[Mended, Soundness]:
    """Check a store, fetch what is wrong, and check again, until nothing more can be fetched.

    Parameters
    ----------
    home : Home
        The store.
    remote : str
        A remote's name or address.
    full, progress
        As `check_store`.

    Returns
    -------
    mended : Mended
        What was done.
    soundness : Soundness
        The last check.

    Raises
    ------
    InvalidValue, UnknownName, MachineError
        If there is no such remote, nobody ever pushed to it, or it does not answer.
    """
    source = RemoteObjects(Bucket(find_remote(home, remote)), DECODERS, home)
    refuse_empty(source)
    mended = Mended(str(source.bucket))
    lost: set[Digest] = set()
    while True:
        found = check_store(home, full=full, progress=progress)
        wrong = {Digest.parse(row["digest"]) for row in (*found.corrupt, *found.missing)} - lost
        if not wrong:
            return mended, found
        repaired, gone = repair(home, source, sorted(wrong))
        mended.repaired += map(str, repaired)
        mended.lost += [{"digest": str(digest), "reason": error.message} for digest, error in gone.items()]
        lost.update(wrong)
