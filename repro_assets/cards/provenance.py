"""Sections that every card has: what was made, by which run, where, from what, and how to make it again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from repro_assets.cards.markdown import NOTHING, bytes_, code, facts, fence, number, shown, table, text
from repro_assets.cards.recipe import Recipe
from repro_assets.cards.records import Records
from repro_assets.cards.said import said as stated
from repro_assets.cards.subject import Subject
from repro_assets.lineage.rendering import to_mermaid

MOST_NODES = 60
"""A lineage of more is shown up to so many edges away that no more are left."""

_HUB_LICENSES = frozenset({
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear",
    "bsl-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0",
    "ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "lppl-1.3c",
    "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "osl-3.0", "pddl", "postgresql", "unlicense",
    "wtfpl", "zlib",
})  # fmt: skip
"""Words of the Hugging Face Hub for licenses that are SPDX's in small letters, or nearly; it refuses others."""


def card_file(name: str) -> str:
    """Return the name of a card's file, as other cards link to it."""
    kept = "".join(letter if letter.isalnum() or letter in "._+-" else "-" for letter in name.replace(":v", "-v"))
    return f"{kept}.md"


def details(subject: Subject, recipe: Recipe) -> str:
    """Return what the thing is: names, digest, size, run, date."""
    run, record = subject.run or {}, subject.record
    return facts(
        {
            "version": code(subject.name),
            "aliases": ", ".join(code(f"{row['collection']}@{row['alias']}") for row in record["aliases"]) or "none",
            "digest": code(record["digest"]),
            "kind": code(record.get("kind", NOTHING)),
            "size": bytes_(record.get("size")),
            "bytes": "dropped; a replay makes them again" if record["evicted"] else "stored",
            "made by run": _run(subject),
            "recipe": shown(recipe.name),
            "which does": text(recipe.action) if recipe.action else NOTHING,
            "asset": ", ".join(code(asset) for asset in _assets(subject)) or NOTHING,
            "date": shown(run.get("started_at")),
            "state of the run": shown(run.get("state")),
            "trial": shown(run.get("trial")),
            "license": shown(stated(run, "license")),
            "citation": shown(stated(run, "citation", "cite_as")),
            "address": shown(stated(run, "url")),
        }
    )


def licensed(subject: Subject) -> dict[str, str]:
    """Return the fields of the head that say the license: the Hub's word for it, else ``other`` and its name."""
    license = stated(subject.run, "license")
    if license is None:
        return {}
    word = license.strip().lower()
    return {"license": word} if word in _HUB_LICENSES else {"license": "other", "license_name": license}


def said(recipe: Recipe) -> str:
    """Return what the recipe's module says of itself, word for word."""
    if recipe.module is None:
        return f"{NOTHING}{f': {text(recipe.absence)}' if recipe.absence else ''}"
    return f"As the recipe {code(recipe.name)} said it when the run began:\n\n{fence(recipe.module)}"


def config(subject: Subject) -> str:
    """Return the settings of the recipe."""
    values = (subject.run or {}).get("config") or {}
    return table(("setting", "value"), [(code(name), _value(value)) for name, value in sorted(values.items())])


def seeds(subject: Subject) -> str:
    """Return the root seed and those that were derived from it."""
    run = subject.run or {}
    if run.get("seed") is None and not run.get("seeds"):
        return NOTHING
    derived = {"root": run.get("seed"), **run.get("seeds", {})}
    return table(("consumer", "seed"), [(code(name), shown(value)) for name, value in derived.items()])


def settings(subject: Subject) -> str:
    """Return the mode that was asked for and the settings that held."""
    run = subject.run or {}
    parts = []
    for title, values in (("Asked for", run.get("mode")), ("In effect", run.get("settings"))):
        if values:
            parts.append(f"{title}:\n\n{fence(json.dumps(values, indent=1, ensure_ascii=False), 'json')}")
    return "\n\n".join(parts) or NOTHING


def environment(subject: Subject) -> str:
    """Return interpreter, libraries, hardware and source."""
    run = subject.run or {}
    found = run.get("environment_summary") or {}
    if not found and not run.get("environment") and not run.get("commit"):
        return NOTHING
    gpu = found.get("gpu") or ("none seen" if found else None)
    return facts(
        {
            "Python": shown(found.get("python")),
            "torch": shown(found.get("torch")),
            "CUDA": shown(found.get("cuda")) if found.get("cuda") else "none",
            "packages on record": shown(found.get("packages")),
            "operating system": shown(found.get("os")),
            "CPU": shown(found.get("cpu")),
            "logical cores": shown(found.get("logical_cores")),
            "memory": bytes_(found.get("memory_bytes")),
            "GPU": gpu if gpu == "none seen" else shown(gpu),
            "device": shown(run.get("device")),
            "commit": shown(run.get("commit")),
            "uncommitted changes": shown(run.get("dirty")),
            "source tree": shown(run.get("source")),
            "code version": shown(run.get("code_version")),
            "environment": shown(run.get("environment")),
            "capture level": shown(run.get("capture_level")),
        }
    )


def cost(subject: Subject) -> str:
    """Return how long the run took and the most memory that was seen."""
    run = subject.run or {}
    if run.get("seconds") is None:
        return NOTHING
    system = {row["name"]: row for row in run["system"]}

    def most(name: str) -> str:
        return bytes_(round(system[name]["greatest"])) if name in system else "not measured"

    pairs = {"wall time": f"{number(run['seconds'])} s", "peak memory of the process": most("process_memory_bytes")}
    for name in sorted(name for name in system if name.startswith("gpu") and name.endswith("memory_used_bytes")):
        pairs[f"peak of {name}"] = most(name)
    if "process_cpu_percent" in system:
        pairs["mean processor load of the process"] = f"{number(system['process_cpu_percent']['mean'])} %"
        pairs["samples of the monitor"] = str(system["process_cpu_percent"]["samples"])
    if run["resumed"]:
        earlier = ", ".join(code(row["resumed_run_id"]) for row in run["resumed"])
        pairs["went on from"] = f"{earlier}, whose time is not in this"
    return facts(pairs)


def replays(subject: Subject) -> str:
    """Return whether the bits were proved, by every replay on record."""
    run = subject.run
    if run is None:
        return "unknown: no run on record made it."
    digest, made = subject.record["digest"], []
    for row in run["replays"]:
        products = [item for item in row["products"] or [] if item.get("original") == digest]
        verdict = products[0]["verdict"] if products else row["verdict"]
        made.append((verdict, row))
    if not made:
        return "unknown: no replay of its run is on record."
    identical = sum(verdict == "identical" for verdict, _ in made)
    if identical == len(made):
        line = f"Proved bit for bit: {identical} of {len(made)} replays gave the same digest."
    else:
        line = f"{identical} of {len(made)} replays gave the same digest, bit for bit."
    rows = [
        (
            shown(row["replay_run"]),
            text(verdict),
            shown(row["time"]),
            shown(len(row["differences"] or [])),
            text(row["reason"]) if row["reason"] else "",
        )
        for verdict, row in made
    ]
    return f"{line}\n\n{table(('replay', 'verdict', 'date', 'settings that differ', 'reason'), rows)}"


def checks(subject: Subject) -> str:
    """Return the newest answer of each check of the run and of what is named after it."""
    run = subject.run or {}
    others = {row["asset"] for row in run.get("outputs", ())} - set(_assets(subject))
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in run.get("checks", ()):
        if row["asset"] not in others:
            newest[row["asset"] or "", row["name"]] = row
    rows = [
        (
            code(asset) if asset else "",
            code(name),
            "passed" if row["passed"] else "**failed**",
            shown(row["time"]),
            text((row["details"] or {}).get("reason", "")),
        )
        for (asset, name), row in sorted(newest.items())
    ]
    return table(("asset", "check", "newest answer", "date", "reason"), rows)


def reproduce(subject: Subject) -> str:
    """Return the commands that make it again."""
    run = subject.run
    if run is None:
        return NOTHING
    parts = []
    if run["command"]:
        parts.append(f"From its record, compared bit for bit:\n\n{fence(run['command'], 'console')}")
    else:
        parts.append("The record is not enough for a replay: the run did not complete, or its source is not on record.")
    if run.get("fresh_command"):
        parts.append(f"From the working tree, with the same settings:\n\n{fence(run['fresh_command'], 'console')}")
    return "\n\n".join(parts)


def lineage(records: Records, subject: Subject) -> str:
    """Return what it came from as a Mermaid graph, replays left out."""
    key = subject.record["digest"]
    graph = records.graph
    if key not in graph.nodes:
        return NOTHING
    distances = graph.ancestors(key)
    depth = max(distances.values(), default=0)
    while depth > 1 and sum(distance <= depth for distance in distances.values()) >= MOST_NODES:
        depth -= 1
    part = graph.part(key, upstream=True, downstream=False, depth=depth)
    left = len(distances) + 1 - len(part.nodes)
    note = f"\n\n{left} nodes that are farther away are left out." if left else ""
    return f"{fence(to_mermaid(part), 'mermaid')}{note}"


def start(subject: Subject) -> str:
    """Return how to get the bytes and the value."""
    name = subject.name if subject.collection is not None else str(subject.record["digest"])
    words = ["repro", "artifacts", "get", name, "--to", card_file(subject.name).removesuffix(".md")]
    console = "$ " + shlex.join([*words, *(["--rebuild"] if subject.record["evicted"] else [])])
    python = (
        "import repro_assets\n\nhome = repro_assets.find_store()\n"
        f"value = repro_assets.resolve_artifact(home, {json.dumps(subject.record['digest'])}).load()"
    )
    return f"{fence(console, 'console')}\n\n{fence(python, 'python')}"


def holds(recipe: Recipe) -> str:
    """Return what the recipe said of the value that it returns."""
    returned = recipe.section("Returns")
    return fence(returned) if returned else NOTHING


def _assets(subject: Subject) -> list[str]:
    return list(dict.fromkeys(row["asset"] for row in subject.record["made_by"] if row["asset"]))


def _run(subject: Subject) -> str:
    run = subject.run
    return f"{code(run['run_id'])} ({text(run['name'])})" if run is not None else "none on record"


def _value(value: Any) -> str:
    return code(json.dumps(value, ensure_ascii=False)) if not isinstance(value, str) or not value else code(value)
