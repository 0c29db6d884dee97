"""The formats ``json`` and ``yaml``: all that is on record of runs and artifacts, as a document.

Laws: a run is said as ``repro runs show --json`` says it, an artifact as ``repro artifacts show --json`` does, in the
words and values that these have; beside that the document has what these shorten or only name: every point of every
metric, the environments, and what all of it came from. The two formats read back equal.
"""

from __future__ import annotations

import json
from typing import Any

from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_artifact, show_run
from repro_assets.identity.digest import Digest
from repro_assets.interchange.anonymity import Rules, kept_document, kept_facts, manifest_of, rules_of
from repro_assets.interchange.formats import Exported, Request, joined
from repro_assets.interchange.presence import gone_digests
from repro_assets.interchange.subjects import ended_runs, resolve
from repro_assets.interchange.targets import target_file
from repro_assets.lineage.graph import Graph
from repro_assets.lineage.reading import read_graph
from repro_assets.lineage.rendering import to_document
from repro_assets.serialized import as_json, as_yaml
from repro_assets.store import outside
from repro_assets.store.home import Home

FORMAT = "urn:repro-assets:record:v1"
"""What the members of the document mean; a name, which nothing ever asks for."""
_CURVES = "SELECT name, step, value, time, logged_by FROM curve($run) ORDER BY name, step NULLS FIRST, time, logged_by"

_ENVIRONMENTS = (
    "SELECT environment, document FROM environments WHERE list_contains($named, environment) ORDER BY environment"
)


def export(request: Request) -> Exported:
    """Write the record of runs and artifacts.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, or a run goes on or was deleted.
    InvalidInput, ReusedElsewhere, MachineError
        If the file cannot be written.
    CorruptObject
        If bytes of what it is about do not match.
    """
    home = request.home
    found = list(dict.fromkeys(resolve(home, name) for name in request.names))
    asked = [each for each in found if isinstance(each, str)]
    runs = ended_runs(home, asked)
    artifacts = [each for each in found if isinstance(each, Digest)]
    first = asked[0][:8] if asked else artifacts[0].hex[:8]
    path = target_file(request.path, f"{first}.{request.format}", force=request.force)
    document = record_of(home, runs, artifacts)
    made = [(Digest.parse(row["digest"]), row["name"]) for run in document["runs"] for row in run["outputs"]]
    made += [(Digest.parse(row["digest"]), row["name"] or row["digest"]) for row in document["artifacts"]]
    notes = gone_digests(home, dict(made).items())
    written = {"json": as_json, "yaml": as_yaml}[request.format]
    outside.write(path, written(named_by_nobody(rules_of(home), document) if request.anonymize else document))
    digest = str(artifacts[0]) if len(found) == len(artifacts) == 1 else None
    facts = {"runs": len(runs), "artifacts": len(artifacts)}
    return Exported(path, request.format, joined(request.names), digest, not notes, facts, notes)


def record_of(home: Home, runs: list[str], artifacts: list[Digest]) -> dict[str, Any]:
    """Return all that is on record of runs and artifacts.

    Parameters
    ----------
    home : Home
        The store.
    runs : list of str
        Ids of runs.
    artifacts : list of Digest
        Digests of artifacts.

    Returns
    -------
    dict
        ``format``; ``runs``, each with ``metric_history``; ``artifacts``; ``environments``, digest to document; and
        ``lineage``, the graph of what the runs and artifacts came from.
    """
    shown = [{**show_run(home, run), "metric_history": _history(home, run)} for run in runs]
    named = sorted({run["environment"] for run in shown if run["environment"] is not None})
    documents = queries.rows(home, _ENVIRONMENTS, {"named": named})
    return {
        "format": FORMAT,
        "runs": shown,
        "artifacts": [show_artifact(home, str(digest)) for digest in artifacts],
        "environments": {row["environment"]: json.loads(row["document"]) for row in documents},
        "lineage": to_document(_upstream(read_graph(home), [*runs, *map(str, artifacts)])),
    }


def named_by_nobody(rules: Rules, document: dict[str, Any]) -> dict[str, Any]:
    """Return a document of `record_of` without what names a person, a machine or a place.

    An environment without its host is another one, with another digest, which the runs then name.
    """
    kept = {digest: kept_document(rules, said) for digest, said in document["environments"].items()}
    digests = {digest: str(manifest_of(said)[0].digest) for digest, said in kept.items()}
    rules.words.update(digests)
    runs = []
    for run in document["runs"]:
        source = run["source_facts"]
        runs.append(
            {
                **run,
                "host_facts": kept_facts(run["host_facts"] or {}),
                "source_facts": source and {**source, "remote": None},
                "notes": [{**note, "account": None, "host": None} for note in run["notes"]],
            }
        )
    named = {digests[digest]: said for digest, said in kept.items()}
    return {**rules.value({**document, "runs": runs, "environments": {}}), "environments": named}


def _history(home: Home, run: str) -> dict[str, dict[str, list[Any]]]:
    """Return the points of each metric as columns, with those of the run that this one went on from."""
    history: dict[str, dict[str, list[Any]]] = {}
    for row in queries.rows(home, _CURVES, {"run": run}):
        points = history.setdefault(row["name"], {"step": [], "value": [], "time": [], "logged_by": []})
        for name, column in points.items():
            column.append(row[name])
    return history


def _upstream(graph: Graph, keys: list[str]) -> Graph:
    """Return what some nodes came from, with themselves; parents, which carry no data, are no nodes."""
    kept = {key for known in keys if known in graph.nodes for key in (known, *graph.ancestors(known))}
    return Graph(
        {key: node for key, node in graph.nodes.items() if key in kept},
        [edge for edge in graph.edges if {edge.source, edge.target} <= kept],
    )
