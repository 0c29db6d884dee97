"""Which run a person means: by its own name, by that of something it made, or by the asset that it materialized."""

from __future__ import annotations

from repro_assets.catalog.naming import resolve_artifact
from repro_assets.catalog.queries import resolve_run, rows
from repro_assets.errors import AmbiguousName, UnknownName
from repro_assets.store.home import Home


def resolve_maker(home: Home, text: str) -> str:
    """Return the id of the run that `text` names, or that made the artifact or the asset that it names.

    Of several runs that wrote the artifact it is the one that claimed the version, else the first that is no replay. Of
    an asset, named by its key or the last part of it, it is the newest completed run that is neither trial nor replay.

    Raises
    ------
    UnknownName
        If no run, artifact or asset is called so, or no run made it.
    AmbiguousName
        If several fit.
    """
    try:
        return resolve_run(home, text)
    except UnknownName as no_run:
        try:
            artifact = resolve_artifact(home, text)
        except UnknownName as no_artifact:
            if (run := _of_asset(home, text)) is not None:
                return run
            remedy = no_artifact.remedy if no_artifact.remedy.startswith("did") else no_run.remedy
            raise UnknownName(f"there is no run or artifact {text!r}", remedy) from no_artifact
    if artifact.run_id is not None:
        return artifact.run_id
    found = rows(
        home,
        "SELECT w.run_id FROM (SELECT run_id, digest, time FROM run_outputs "
        "UNION ALL SELECT run_id, digest, time FROM checkpoints "
        "UNION ALL SELECT run_id, digest, time FROM experience_snapshots) w JOIN runs r USING (run_id) "
        "WHERE w.digest = ? ORDER BY r.replay_of IS NOT NULL, w.time, w.run_id LIMIT 1",
        [str(artifact.digest)],
    )
    if not found:
        raise UnknownName(f"no run made {artifact}: it was put by hand", "name a run of: repro runs list")
    return str(found[0]["run_id"])


def _of_asset(home: Home, text: str) -> str | None:
    made = rows(
        home,
        "SELECT o.asset, last(o.run_id ORDER BY r.started_at, o.run_id) FILTER "
        "(WHERE r.state = 'COMPLETED' AND NOT r.trial AND r.replay_of IS NULL) AS run_id "
        "FROM run_outputs o JOIN runs r USING (run_id) "
        "WHERE o.asset = $text OR ends_with(o.asset, '/' || $text) "
        "GROUP BY o.asset ORDER BY o.asset = $text DESC, o.asset",
        {"text": text},
    )
    if not made:
        return None
    if len(made) > 1 and made[0]["asset"] != text:
        raise AmbiguousName(f"{text!r} fits several assets", f"give one of {', '.join(str(r['asset']) for r in made)}")
    if made[0]["run_id"] is None:
        raise UnknownName(f"no run of {made[0]['asset']} is completed and neither trial nor replay", "name a run")
    return str(made[0]["run_id"])
