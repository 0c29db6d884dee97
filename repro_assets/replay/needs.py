"""What must be there before a replay starts anything.

Laws: whatever is lacking is named with what it blocks and where it could come from, before a process begins; what a
default remote has is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from repro_assets.artifacts.eviction import evicted_by
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.errors import IntegrityError, InvalidValue, MissingObject, MissingVariable
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.replay.records import COMPLETED, Asked, Recorded
from repro_assets.store.home import Home
from repro_assets.store.opening import open_objects


def check_asked(
    home: Home, asked: Asked, variables: Mapping[str, str], *, environment: bool = False, products: bool = True
) -> None:
    """Refuse, before anything is started, what cannot be replayed.

    Parameters
    ----------
    home : Home
        The store.
    asked : Asked
        What is to be replayed.
    variables : mapping
        Those of this process.
    environment : bool
        Whether the recorded environment is needed.
    products : bool
        Whether what it made is compared, so that there has to be something.

    Raises
    ------
    InvalidValue
        If there is nothing to replay or a record lacks what a replay needs; the run and the lack are named.
    MissingVariable
        If a variable that a run's resources read is not set.
    MissingObject
        If the store lacks an object; what it blocks is named.
    """
    if not asked.runs:
        raise InvalidValue("there is no run of an asset to replay here", "name a run of: repro runs list")
    for run in [asked.entry] if asked.entry is not None else asked.runs:
        _check_record(run, variables)
    if products:
        _check_products(asked)
    check_objects(home, asked.family or asked.runs, environment=environment)


def check_objects(home: Home, runs: Iterable[Recorded], *, environment: bool) -> None:
    """Refuse runs of which the store lacks the source tree, an input or the environment.

    Raises
    ------
    MissingObject
        If it does; what it blocks, and where it could come from, are named.
    """
    seen: set[str] = set()
    for run in runs:
        wanted: list[tuple[str, Any]] = [("source tree", run.source)]
        wanted += [(f"input {slot}", digest) for slot, _, digest in run.inputs]
        wanted += [("environment", run.environment)] if environment else []
        for what, digest in wanted:
            if digest is not None and digest not in seen and not _is_there(home, Digest.parse(str(digest))):
                raise _missing(home, run, what, str(digest))
            seen.add(str(digest))


def _check_record(run: Recorded, variables: Mapping[str, str]) -> None:
    if run.source is None:
        raise InvalidValue(
            f"run {run.run_id} was captured without its source tree", "capture at the level standard or complete"
        )
    if run.run_kind == "asset" and not run.plan.get("code_location"):
        raise InvalidValue(
            f"run {run.run_id} was not launched from a code location", "launch it with repro run or from Dagster's page"
        )
    missing = [name for name in run.plan.get("variables", []) if name not in variables]
    if missing:
        raise MissingVariable(f"run {run.run_id} needs the variable {', '.join(missing)}", "set it and replay again")


def _check_products(asked: Asked) -> None:
    if any(run.products for run in asked.runs):
        return
    run = next((run for run in asked.runs if run.state != COMPLETED), asked.runs[0])
    if run.state != COMPLETED:
        said = f" ({run.error})" if run.error else ""
        raise InvalidValue(
            f"run {run.run_id} is {run.state}{said} and had made nothing that could be compared", "name another run"
        )
    raise InvalidValue(
        f"run {run.run_id} made nothing that could be compared", "keep what it makes: log_artifact, or exec --output"
    )


def _is_there(home: Home, digest: Digest) -> bool:
    objects = open_objects(home, DECODERS)
    try:
        for part in set(Manifest.decode(objects.read(digest)).objects()):
            if not objects.has(part):
                objects.read_stored(part)  # It may be on the default remote.
    except IntegrityError:
        return False
    return True


def _missing(home: Home, run: Recorded, what: str, digest: str) -> MissingObject:
    maker = evicted_by(home, Digest.parse(digest))
    if maker is not None:
        remedy = f"it was evicted; make it again: repro artifacts get {digest} --to PATH --rebuild"
    else:
        remedy = "where a remote has it: repro store pull REMOTE; see: repro store fsck"
    return MissingObject(f"the {what} of run {run.run_id} ({run.name}) is not in the store: {digest}", remedy)
