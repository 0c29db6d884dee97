"""``repro evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli.demand import DemandWords
from repro_assets.cli.options import AsJson, Verbose
from repro_assets.errors import UnknownName

if TYPE_CHECKING:
    from repro_assets.artifacts.handle import Artifact
    from repro_assets.store.home import Home

ASSET = "evaluations/any"
REFERENCES = "dataset-references"


@dataclass(slots=True)
class EvaluateWords(DemandWords):
    """What was said; artifacts are called as everywhere."""

    model: str | None = None
    dataset: str | None = None
    benchmark: list[str] = field(default_factory=list)
    references: str | None = None
    against: str | None = None


def evaluate(
    model: Annotated[str | None, typer.Option(metavar="ARTIFACT", help="The model.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="ARTIFACT", help="Labelled data.")] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="classification (the default) or answer_and_chain; repeat it for both."),
    ] = None,
    references: Annotated[
        str | None, typer.Option(metavar="ARTIFACT", help="Traces for answer_and_chain; those of the data if left out.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="ARTIFACT", help="An evaluation on the same data to compare with, by items.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Root seed of sampled episodes and intervals.")] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic/--no-deterministic", help="Deterministic algorithms only.")
    ] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads of torch.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A setting: samples_per_image, look_cost.")
    ] = None,
    capture_level: Annotated[
        str | None, typer.Option(metavar="L", help="basic, standard or complete (or 1, 2, 3).")
    ] = None,
    exp_name: Annotated[str | None, typer.Option(metavar="S", help="Experiment that the run belongs to.")] = None,
    tags: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Tags of the run.")] = None,
    trial: Annotated[bool | None, typer.Option("--trial", help="Nobody loads the evaluation by default.")] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Evaluate even if it has been done.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the whole result as JSON.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML or JSON with these words.")] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Evaluate a model on labelled data, on record with its lineage; the same evaluation is made once."""
    flags = dict(locals())
    from repro_assets.artifacts.repository import by_digest
    from repro_assets.cli import demand
    from repro_assets.cli.answering import readable
    from repro_assets.cli.run_options import merge, read_words, spoken
    from repro_assets.identity.digest import Digest
    from repro_assets.store import outside
    from repro_assets.training.scores import DEFAULT, REFERENCED, check_benchmarks
    from repro_assets.wording import plain

    words = spoken(EvaluateWords, flags)
    if config is not None:
        words = merge(words, read_words(config, EvaluateWords, "repro evaluate"))
    names = demand.needed(words, "model", "dataset")
    benchmarks = check_benchmarks(words.benchmark or [DEFAULT])
    target = demand.output_of(words)
    home = readable()
    inputs = dict(zip(("model", "dataset"), (_artifact(home, name) for name in names), strict=True))
    if words.references is not None:
        inputs["references"] = _artifact(home, words.references)
    elif REFERENCED & set(benchmarks):
        inputs["references"] = _references(home, inputs["dataset"])
    other = None if words.against is None else _artifact(home, words.against)
    given = {slot: str(artifact.digest) for slot, artifact in inputs.items()}
    answer = demand.make(home, ASSET, words, {"benchmarks": list(benchmarks)}, given, verbose=verbose)
    found: dict[str, Any] = {**demand.begun(home, answer), "evaluation": None, "metrics": {}}
    if answer.state == "COMPLETED":
        (product,) = answer.products
        value = by_digest(home, Digest.parse(product["digest"])).load()
        found["evaluation"] = {"name": product["name"], "version": product["version"], "digest": product["digest"]}
        found["metrics"] = {name: item for name, item in value.items() if item is None or isinstance(item, int | float)}
        found["intervals"] = value["intervals"]
        if other is not None:
            found["against"] = _compared(value, other)
        if target is not None:
            whole = {**found, "inputs": given, "result": value}
            outside.write(target, f"{json.dumps(plain(whole), indent=1)}\n".encode())
    if answer.run_id is not None:
        _show(found, value["classes"] if found["evaluation"] and "classes" in value else [], as_json=as_json)
    return demand.failed(answer)


def _artifact(home: Home, name: str) -> Artifact:
    from repro_assets.catalog.naming import resolve_artifact

    return resolve_artifact(home, name)


def _references(home: Home, dataset: Artifact) -> Artifact:
    """Return the newest reference traces that were made from this very data, else the newest there are."""
    from repro_assets.catalog.outcomes import newest_made_from

    try:
        return _artifact(home, newest_made_from(home, REFERENCES, str(dataset.digest)) or REFERENCES)
    except UnknownName as error:
        raise UnknownName(
            "the benchmark answer_and_chain needs reference traces, and there are none",
            "name them with --references, or make those of the digits: repro run --select data/references",
        ) from error


def _compared(value: Any, other: Artifact) -> dict[str, Any]:
    from repro_assets.training.comparison import compare_evaluations

    return {"digest": str(other.digest), "name": str(other), **compare_evaluations(value, other.load())}


def _show(found: dict[str, Any], classes: list[dict[str, Any]], *, as_json: bool) -> None:
    from repro_assets.cli.answering import say
    from repro_assets.cli.rendering import print_json, print_table

    if as_json:
        print_json(found)
    elif found["evaluation"] is not None:
        ends = found["intervals"]
        rows = [
            {"metric": name, "value": value, **dict(zip(("low", "high"), ends.get(name, ()), strict=False))}
            for name, value in found["metrics"].items()
        ]
        print_table(
            rows,
            ("metric", "value", "low", "high"),
            title=f"{found['evaluation']['version']}  {found['evaluation']['name']}",
        )
        if classes:
            print_table(classes, ("digit", "support", "answered", "precision", "recall", "f1"), title="\nclasses")
        if "against" in found:
            rows = [{"metric": name, **row} for name, row in found["against"]["figures"].items()]
            print_table(rows, title=f"\nless {found['against']['name']} (95 % intervals of the paired difference)")
        if found["reused"]:
            say("It was evaluated already (--force does it again).")
        say(f"next: repro replay {found['run_id']}")
