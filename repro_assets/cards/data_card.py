"""The card of a data set."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.cards import provenance
from repro_assets.cards.markdown import NOTHING, bytes_, code, number, page, shown, table, text
from repro_assets.cards.measuring import Column, Measured, measure
from repro_assets.cards.provenance import card_file
from repro_assets.cards.recipe import recorded_recipe
from repro_assets.cards.records import Records
from repro_assets.cards.subject import Subject
from repro_assets.errors import IntegrityError, UnknownName
from repro_assets.identity.digest import Digest

MOST_FILES = 50
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LIST = re.compile(r"list<\w+: (\w+)>")
_HUB_TYPES = {"double": "float64", "float": "float32", "str": "string", "object": "string"}
_MEASURABLE = ("table", "tensors")
_USES = """
    SELECT r.run_id, r.name, r.recipe, i.slot, string_agg(DISTINCT o.name, ', ' ORDER BY o.name) AS made
    FROM run_inputs i JOIN runs r USING (run_id) LEFT JOIN run_outputs o USING (run_id)
    WHERE i.digest = $digest AND r.replay_of IS NULL AND r.state = 'COMPLETED'
    GROUP BY ALL ORDER BY min(i.time), r.run_id, i.slot
"""
_EVALUATIONS = """
    SELECT e.name, e.model, e.metrics ->> 'accuracy_greedy' AS accuracy
    FROM evaluations e JOIN runs r USING (run_id)
    WHERE e.dataset = $digest AND r.replay_of IS NULL AND r.state = 'COMPLETED' ORDER BY e.time, e.run_id
"""


def data_card(records: Records, subject: Subject) -> str:
    """Return the card of a data set as Markdown with YAML front matter.

    Parameters
    ----------
    records : Records
        Of the store.
    subject : Subject
        A data set.
    """
    recipe = recorded_recipe(records.home, subject.run)
    measured, absence = _measured(subject)
    sections = [
        ("", text(recipe.summary) if recipe.summary else f"What it is: {NOTHING}."),
        ("## Dataset details", provenance.details(subject, recipe)),
        ("### How to get it", provenance.start(subject)),
        ("### What it holds", provenance.holds(recipe)),
        ("## Dataset structure", _structure(subject, measured, absence)),
        ("### Classes", _classes(measured)),
        ("### Splits", _splits(records, subject, measured)),
        ("## Dataset creation", provenance.said(recipe)),
        ("### Source files", _sources(records, subject)),
        ("### Made from", _parents(records, subject)),
        ("### Settings", provenance.config(subject)),
        ("### Seeds", provenance.seeds(subject)),
        ("### Environment", provenance.environment(subject)),
        ("### Cost", provenance.cost(subject)),
        ("## Uses", _uses(records, subject)),
        ("### Evaluations on it", _evaluations(records, subject)),
        ("## Reproducibility", provenance.replays(subject)),
        ("### Checks", provenance.checks(subject)),
        ("### How to reproduce", provenance.reproduce(subject)),
        ("## Lineage", provenance.lineage(records, subject)),
    ]
    return page(_head(subject, measured), text(subject.name), sections)


def _measured(subject: Subject) -> tuple[Measured | None, str]:
    if subject.artifact.kind not in _MEASURABLE:
        return None, f"what is of the kind {subject.artifact.kind} has no columns"
    try:
        measured = measure(subject.artifact.load())
    except IntegrityError as error:
        return None, error.message
    # A table's own types say what a list holds, which pandas' do not.
    types = {column["name"]: column["type"] for column in (subject.record.get("facts") or {}).get("columns", ())}
    measured.columns = [replace(column, type=types.get(column.name, column.type)) for column in measured.columns]
    return measured, ""


def _head(subject: Subject, measured: Measured | None) -> dict[str, Any]:
    head: dict[str, Any] = {"pretty_name": subject.name, **provenance.licensed(subject), "tags": ["repro-assets"]}
    if measured is None:
        return head
    names = {column.name for column in measured.columns}
    if {"images", "labels"} <= names:
        head["task_categories"] = ["image-classification"]
    rows = sum(measured.splits.values()) or measured.rows
    if rows is not None:
        head["size_categories"] = [next((word for most, word in _SIZES if rows < most), "n>1M")]
    if measured.splits:
        head["dataset_info"] = {
            "splits": [{"name": name, "num_examples": count} for name, count in measured.splits.items()]
        }
    elif measured.rows is not None:
        split = re.sub(r"\W+", "_", (subject.collection or "all").removeprefix("dataset-"))
        head["dataset_info"] = {
            "features": [{"name": column.name, "dtype": _feature(column)} for column in measured.columns],
            "splits": [{"name": split, "num_bytes": subject.record["size"], "num_examples": measured.rows}],
            "dataset_size": subject.record["size"],
        }
    return head


def _feature(column: Column) -> Any:
    """Return the type of a column as the Hub's ``dataset_info`` has it."""
    inner = list(column.shape[1:])
    if len(inner) > 1:
        return {f"array{len(inner)}_d": {"dtype": column.type, "shape": inner}}
    if inner:
        return {"list": _HUB_TYPES.get(column.type, column.type)}
    listed = _LIST.fullmatch(column.type)
    if listed is not None:
        return {"list": _HUB_TYPES.get(listed[1], listed[1])}
    return _HUB_TYPES.get(column.type, column.type)


def _structure(subject: Subject, measured: Measured | None, absence: str) -> str:
    if measured is None:
        parts = [
            (code(entry["name"]), bytes_(entry["size"]), "<br>".join(code(digest) for digest in entry["objects"][:1]))
            for entry in subject.record["entries"][:MOST_FILES]
        ]
        more = len(subject.record["entries"]) - len(parts)
        left = f"\n\n{more} more are left out." if more > 0 else ""
        return f"Not measured: {text(absence)}.\n\n{table(('part', 'size', 'first object'), parts)}{left}"
    rows = [
        (
            code(column.name),
            code(column.type),
            " x ".join(map(str, column.shape)) or "one value",
            str(column.missing),
            _end(column.low),
            _end(column.high),
            str(column.distinct) if column.distinct is not None else "",
        )
        for column in measured.columns
    ]
    made = table(("column", "type", "shape", "missing", "least", "greatest", "distinct"), rows)
    count = f"{measured.rows:,} rows, all of them measured." if measured.rows is not None else "Measured on all of it."
    return f"{count}\n\n{made}"


def _end(value: float | str | None) -> str:
    if value is None:
        return ""
    return text(value) if isinstance(value, str) else number(value) if math.isfinite(value) else str(value)


def _classes(measured: Measured | None) -> str:
    if measured is None or not measured.classes:
        return NOTHING
    parts = []
    for name, counts in measured.classes.items():
        total = sum(counts.values())
        rows = [(code(label), str(count), f"{100 * count / total:.1f} %") for label, count in counts.items()]
        parts.append(f"By {code(name)}:\n\n{table(('class', 'rows', 'share'), rows)}")
    return "\n\n".join(parts)


def _splits(records: Records, subject: Subject, measured: Measured | None) -> str:
    """Say how many items this shares with what was made with it and with what its models were evaluated on."""
    if measured is None or not measured.ids:
        return f"{NOTHING}: its items have no ids"
    if "" not in measured.ids:
        rows = [
            _shared(one, ids, two, more) for (one, ids), (two, more) in itertools.combinations(measured.ids.items(), 2)
        ]
    else:
        others = ((digest, _ids_of(records, digest)) for digest in _related(records, subject))
        rows = [
            _shared(subject.name, measured.ids[""], records.named(digest), ids)
            for digest, ids in others
            if ids is not None
        ]
    if not rows:
        return "Nothing else of the same items is on record: no other split, and no evaluation of a model that read it."
    return table(("split", "other", "items", "items of the other", "shared items, counted by id"), rows)


def _shared(one: str, ids: set[Any], two: str, more: set[Any]) -> tuple[str, ...]:
    return code(one), code(two), str(len(ids)), str(len(more)), _overlap(len(ids & more))


def _related(records: Records, subject: Subject) -> list[str]:
    """Return the other products of its run, and what models that came from it were evaluated on.

    The latter only where both came from one artifact: the ids of others mean something else.
    """
    digest = subject.record["digest"]
    found = [row["digest"] for row in (subject.run or {}).get("outputs", ())]
    graph = records.graph
    if digest in graph.nodes:
        made, own = graph.descendants(digest), {*graph.ancestors(digest), digest}
        for row in records.rows("SELECT DISTINCT model, dataset FROM evaluations ORDER BY dataset, model"):
            if row["model"] in made and own & {*graph.ancestors(row["dataset"]), row["dataset"]}:
                found.append(row["dataset"])
    return [other for other in dict.fromkeys(found) if other != digest]


def _overlap(count: int) -> str:
    return "0: disjoint" if count == 0 else f"**{count}**"


def _ids_of(records: Records, digest: str) -> set[Any] | None:
    try:
        artifact = repository.by_digest(records.home, Digest.parse(digest))
        return measure(artifact.load()).ids.get("") if artifact.kind in _MEASURABLE else None
    except (UnknownName, IntegrityError):
        return None


def _sources(records: Records, subject: Subject) -> str:
    graph = records.graph
    digest = subject.record["digest"]
    if digest not in graph.nodes:
        return NOTHING
    roots = [
        key
        for key in [digest, *graph.ancestors(digest)]
        if graph.nodes[key].kind == "artifact" and not graph.backward.get(key)
    ]
    known = records.sizes(roots)
    rows = [
        (
            code(records.named(key)),
            code(key),
            shown(known.get(key, {}).get("kind")),
            bytes_(known.get(key, {}).get("size")),
        )
        for key in sorted(roots)
    ]
    return table(("file", "digest", "kind", "size"), rows)


def _parents(records: Records, subject: Subject) -> str:
    inputs = (subject.run or {}).get("inputs") or []
    rows = [
        (
            code(row["slot"]),
            f"[{text(records.named(row['digest']))}]({card_file(records.named(row['digest']))})",
            code(row["digest"]),
            shown(row["made_by"]),
        )
        for row in inputs
    ]
    return table(("read as", "version", "digest", "made by run"), rows)


def _uses(records: Records, subject: Subject) -> str:
    rows = [
        (code(row["run_id"]), text(row["name"]), shown(row["recipe"]), code(row["slot"]), text(row["made"] or NOTHING))
        for row in records.rows(_USES, {"digest": subject.record["digest"]})
    ]
    return table(("run", "name", "recipe", "read as", "made"), rows) if rows else "No completed run on record read it."


def _evaluations(records: Records, subject: Subject) -> str:
    rows = [
        (
            text(row["name"]),
            code(records.named(row["model"])),
            number(float(row["accuracy"])) if row["accuracy"] else "",
        )
        for row in records.rows(_EVALUATIONS, {"digest": subject.record["digest"]})
    ]
    return table(("evaluation", "model", "accuracy_greedy"), rows) if rows else "None on record."
