"""What a person may call an artifact, and which one that is.

``NAME`` (newest version not made by a trial), ``NAME:v3``, ``NAME@alias``, a display name (``model-<run_id>``,
``RUN/checkpoint_step_1000``, ``RUN/notes.txt``), ``sha256:…``, an unambiguous digest prefix of 8 or more, or the path
of a file.

What the store's own folders answer (`artifacts.repository.by_name`) needs no catalog; the rest is asked of a refreshed
one.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import raw_bytes
from repro_assets.catalog import queries
from repro_assets.errors import AmbiguousName, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.store.home import Home

_MOST_SHOWN = 5


def resolve_artifact(home: Home, text: str, *, deleted: bool = False) -> Artifact:
    """Return the artifact that `text` names.

    Parameters
    ----------
    home : Home
        The store.
    text : str
        Its name.
    deleted : bool
        Also a version that was deleted, where `text` gives its number.

    Raises
    ------
    UnknownName
        If nothing is called that; names that come near are in the remedy.
    AmbiguousName
        If a prefix fits several.
    """
    stored = repository.by_name(home, text, deleted=deleted)
    if stored is not None:
        return stored
    collection, separator, alias = text.partition("@")
    if separator:
        return _alias(home, collection, alias)
    found = _displayed(home, text) or _prefixed(home, text) or _file(home, text)
    if found is None:
        near = [name for name in names.collections(home) if text.split("-")[-1] in name][:5]
        remedy = f"did you mean {', '.join(near)}" if near else "see: repro artifacts list"
        raise UnknownName(f"there is no artifact named {text!r}", remedy)
    return found


def known_artifact(home: Home, text: str) -> Artifact:
    """Return what `resolve_artifact` does, under the name that the catalog has for it, with a version if it has any.

    Raises
    ------
    UnknownName, AmbiguousName
        As `resolve_artifact`.
    """
    artifact = resolve_artifact(home, text)
    digest = [str(artifact.digest)]
    named = queries.rows(home, "SELECT name FROM artifact_names WHERE digest = ?", digest)
    if artifact.collection is None:
        first = (
            "SELECT collection, version FROM versions ANTI JOIN deleted_versions USING (collection, version) "
            "WHERE digest = ? ORDER BY time, collection, version LIMIT 1"
        )
        for row in queries.rows(home, first, digest):
            artifact = dataclasses.replace(artifact, collection=row["collection"], version=row["version"])
    return dataclasses.replace(artifact, name=named[0]["name"] if named else artifact.name)


def _alias(home: Home, collection: str, alias: str) -> Artifact:
    rows = queries.rows(home, "SELECT version FROM aliases WHERE collection = ? AND alias = ?", [collection, alias])
    if not rows:
        raise UnknownName(f"{collection} has no alias {alias!r}", f"see: repro artifacts show {collection}")
    return repository.handle(home, names.version(home, collection, int(rows[0]["version"])))


def _displayed(home: Home, text: str) -> Artifact | None:
    run, separator, rest = text.partition("/")
    if separator:
        # Of a file's path the first folder is no run: a part of an id counts from 8 digits on.
        rows = queries.rows(
            home,
            "SELECT digest, run_id FROM (SELECT run_id || '/' || name AS shown, digest, run_id FROM checkpoints "
            "UNION ALL SELECT run_id || '/' || name, digest, run_id FROM experience_snapshots "
            "UNION ALL SELECT name, digest, run_id FROM run_outputs) "
            "WHERE shown = $text OR (len($run) >= 8 AND starts_with(run_id, $run) AND shown = run_id || '/' || $rest) "
            "ORDER BY digest",
            {"text": text, "run": run, "rest": rest},
        )
    else:
        rows = queries.rows(home, "SELECT digest, run_id FROM run_outputs WHERE name = ?", [text])
    return _one(home, text, rows)


def _prefixed(home: Home, text: str) -> Artifact | None:
    match = names.DIGEST_PREFIX.fullmatch(text)
    if match is None:
        return None
    wanted = f"sha256:{match['hex']}"
    return _one(home, text, queries.rows(home, "SELECT digest FROM artifacts WHERE starts_with(digest, ?)", [wanted]))


def _file(home: Home, text: str) -> Artifact | None:
    path = Path(text)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        content = Digest.of_chunks(iter(lambda: file.read(1 << 20), b""))
    whole = Manifest(raw_bytes.NAME, (Entry("data", path.stat().st_size, (content,)),)).digest
    try:
        return repository.by_digest(home, whole, name=text)
    except UnknownName:
        return None


def _one(home: Home, text: str, rows: list[dict[str, object]]) -> Artifact | None:
    digests = {str(row["digest"]) for row in rows}
    if len(digests) > 1:
        shown = ", ".join(sorted(digests)[:_MOST_SHOWN]) + (", …" if len(digests) > _MOST_SHOWN else "")
        raise AmbiguousName(f"{text!r} fits {len(digests)} artifacts", f"give the digest of one: {shown}")
    if not digests:
        return None
    run = rows[0].get("run_id") if len(rows) == 1 else None
    return repository.by_digest(home, Digest.parse(digests.pop()), name=text, run_id=str(run) if run else None)
