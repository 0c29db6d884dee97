"""What a card is about: a model or a data set, by the name of itself or of the run that made it.

Laws: what something is, is what it was called and used as: a model has a name or a collection that begins with
``model-``, or was evaluated; a data set begins with ``dataset-`` or ``raw-``, is a table, or was evaluated on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.cards.records import Records
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_artifact, show_run
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.errors import AmbiguousName, InvalidValue, UnknownName
from repro_assets.identity.digest import Digest

Kind = Literal["model", "dataset"]
_WORDS: dict[Kind, str] = {"model": "model", "dataset": "data set"}
WHAT = "models (model-…, or what an evaluation is of) and data sets (dataset-…, raw-…, tables)"
_PRODUCTS = """
    SELECT DISTINCT digest FROM run_outputs WHERE run_id = $run
        OR run_id IN (SELECT run_id FROM runs WHERE parent_run_id = $run)
        OR run_id IN (SELECT run_id FROM reused_work WHERE parent_run_id = $run)
    ORDER BY digest
"""
_CALLED = """
    SELECT collection AS name FROM versions WHERE digest = $digest
    UNION ALL SELECT name FROM run_outputs WHERE digest = $digest
"""
_USED = """
    SELECT count(*) FILTER (WHERE model = $digest) AS models, count(*) FILTER (WHERE dataset = $digest) AS datasets
    FROM evaluations WHERE model = $digest OR dataset = $digest
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model or a data set with its records.

    Parameters
    ----------
    artifact : Artifact
        The thing.
    kind : str
        ``model`` or ``dataset``.
    record : dict
        What `show_artifact` returns.
    run : dict or None
        What `show_run` returns of the run that made it: the first that is no replay; None where no run did.
    asked_run : str or None
        The run by whose name it was asked for.
    """

    artifact: Artifact
    kind: Kind
    record: dict[str, Any]
    run: dict[str, Any] | None
    asked_run: str | None = None

    @property
    def name(self) -> str:
        """Its version, ``collection:vN``, else its display name, else its digest."""
        if self.artifact.collection is not None:
            return str(self.artifact)
        live = [row for row in self.record["versions"] if not row["deleted"]]
        if live:
            return f"{live[0]['collection']}:v{live[0]['version']}"
        return str(self.record["name"] or self.artifact.digest)

    @property
    def collection(self) -> str | None:
        """The collection of which it is a version, if of any."""
        name, separator, _ = self.name.rpartition(":v")
        return name if separator else None

    @property
    def version(self) -> int | None:
        """Its number there."""
        number = self.name.rpartition(":v")[2]
        return int(number) if self.collection is not None and number.isdigit() else None


def subject_of(records: Records, text: str, wanted: Kind | None = None) -> Subject:
    """Return what a card of `text` is about.

    Parameters
    ----------
    records : Records
        Of the store.
    text : str
        The name of an artifact or a run.
    wanted : str, optional
        ``model`` or ``dataset``: only such a thing. An artifact that nothing says the kind of is taken for it.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing is called so, or several things fit; if the run made several things that can have a card.
    InvalidValue
        If what is called so has no card, or is not what is wanted.
    """
    try:
        artifact = resolve_artifact(records.home, text)
    except UnknownName as no_artifact:
        try:
            run_id = queries.resolve_run(records.home, text)
        except UnknownName as no_run:
            remedy = no_artifact.remedy if no_artifact.remedy.startswith("did") else no_run.remedy
            raise UnknownName(f"there is no artifact or run {text!r}", remedy) from no_run
        return _product_of(records, run_id, wanted)
    kind = kind_of(records, artifact) or wanted
    if kind is None:
        raise InvalidValue(f"{text} is neither a model nor a data set", f"a card can be made of {WHAT}")
    if wanted not in (None, kind):
        raise InvalidValue(f"{text} is a {_WORDS[kind]} and not a {_WORDS[wanted]}", "name another")
    return _described(records, artifact, kind)


def kind_of(records: Records, artifact: Artifact) -> Kind | None:
    """Return what an artifact is, or None where it can have no card."""
    given = {"digest": str(artifact.digest)}
    called = [str(row["name"]) for row in records.rows(_CALLED, given)]
    if any(name.startswith("model-") for name in called):
        return "model"
    if any(name.startswith(("dataset-", "raw-")) for name in called):
        return "dataset"
    (used,) = records.rows(_USED, given)
    if used["models"]:
        return "model"
    evaluation = "SELECT count(*) AS n FROM evaluations WHERE digest = $digest"
    if used["datasets"] or (artifact.kind == "table" and not records.rows(evaluation, given)[0]["n"]):
        return "dataset"
    return None


def _product_of(records: Records, run_id: str, wanted: Kind | None) -> Subject:
    products = [
        repository.by_digest(records.home, Digest.parse(row["digest"]))
        for row in records.rows(_PRODUCTS, {"run": run_id})
    ]
    kinds = [(artifact, kind) for artifact in products if (kind := kind_of(records, artifact)) is not None]
    kinds = [(artifact, kind) for artifact, kind in kinds if wanted in (None, kind)]
    # A run that trained made one model, whatever else it made on the way.
    models = [pair for pair in kinds if pair[1] == "model"]
    chosen = models if len(models) == 1 else kinds
    if not chosen and wanted is not None:
        raise InvalidValue(f"run {run_id} made no {_WORDS[wanted]}", "name an artifact, see: repro artifacts list")
    if not chosen:
        raise InvalidValue(f"run {run_id} made neither a model nor a data set", f"a card can be made of {WHAT}")
    if len(chosen) > 1:
        names = ", ".join(sorted(records.named(str(artifact.digest)) for artifact, _ in chosen))
        raise AmbiguousName(f"run {run_id} made {len(chosen)} things that can have a card: {names}", "name one")
    return replace(_described(records, *chosen[0]), asked_run=run_id)


def _described(records: Records, artifact: Artifact, kind: Kind) -> Subject:
    record = show_artifact(records.home, str(artifact.digest))
    makers = records.rows(
        "SELECT o.run_id FROM run_outputs o LEFT JOIN runs r USING (run_id) WHERE o.digest = $digest "
        "ORDER BY o.run_id IS NOT DISTINCT FROM $run DESC, r.replay_of IS NOT NULL, r.trial, o.time, o.run_id LIMIT 1",
        {"digest": str(artifact.digest), "run": artifact.run_id},
    )
    run = show_run(records.home, makers[0]["run_id"]) if makers else None
    return Subject(artifact, kind, record, run)
