"""Which run a person means: by its own name, or by that of something it made."""

from __future__ import annotations

from repro_assets.catalog.naming import resolve_artifact
from repro_assets.catalog.queries import resolve_run, rows
from repro_assets.errors import UnknownName
from repro_assets.store.home import Home


def resolve_maker(home: Home, text: str) -> str:
    """Return the id of the run that `text` names, or of the run that made the artifact that it names.

    Of several runs that wrote the artifact it is the one that claimed the version, else the first that is no replay.

    Raises
    ------
    UnknownName
        If no run and no artifact is called so, or no run made the artifact.
    AmbiguousName
        If several fit.
    """
    try:
        return resolve_run(home, text)
    except UnknownName as no_run:
        try:
            artifact = resolve_artifact(home, text)
        except UnknownName as no_artifact:
            remedy = no_artifact.remedy if no_artifact.remedy.startswith("did") else no_run.remedy
            raise UnknownName(f"there is no run or artifact {text!r}", remedy) from no_artifact
    if artifact.run_id is not None:
        return artifact.run_id
    found = rows(
        home,
        "SELECT w.run_id FROM (SELECT run_id, digest, time FROM run_outputs "
        "UNION ALL SELECT run_id, digest, time FROM checkpoints) w JOIN runs r USING (run_id) "
        "WHERE w.digest = ? ORDER BY r.replay_of IS NOT NULL, w.time, w.run_id LIMIT 1",
        [str(artifact.digest)],
    )
    if not found:
        raise UnknownName(f"no run made {artifact}: it was put by hand", "name a run of: repro runs list")
    return str(found[0]["run_id"])
