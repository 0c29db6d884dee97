"""``repro train``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli import run_flags
from repro_assets.cli.options import AsJson, Verbose

if TYPE_CHECKING:
    from repro_assets.orchestration.request import RunAnswer
    from repro_assets.store.home import Home


def train(
    context: typer.Context,
    mode: Annotated[str | None, typer.Option(metavar="MODE", help="sft, rft, ttrl or morphogenesis.")] = None,
    problem: Annotated[
        str | None, typer.Option(metavar="NAME", help="Problem to train on, where a mode has several.")
    ] = None,
    resume: run_flags.Resume = None,
    nproc: Annotated[int | None, typer.Option(metavar="N", help="Processes that train together (sft).")] = None,
    project: Annotated[str | None, typer.Option(metavar="S", help="Project of the runs: their tag project=S.")] = None,
    offline: Annotated[
        bool | None, typer.Option("--offline", help="Ask no remote and contact no exporter of traces.")
    ] = None,
    partition: run_flags.Partition = None,
    seed: run_flags.Seed = None,
    seeds: run_flags.Seeds = None,
    set_: run_flags.Set = None,
    input_: run_flags.Input = None,
    capture_level: run_flags.CaptureLevel = None,
    deterministic: run_flags.Deterministic = None,
    threads: run_flags.Threads = None,
    monitor: run_flags.Monitor = None,
    monitor_interval: run_flags.MonitorInterval = None,
    exp_name: run_flags.ExpName = None,
    tags: run_flags.Tags = None,
    mirror: run_flags.Mirror = None,
    trial: run_flags.Trial = None,
    force: run_flags.Force = None,
    strict: run_flags.Strict = None,
    executor: run_flags.Executor = None,
    config: run_flags.Config = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Train a model; what it is made from and nobody has made yet is made first."""
    flags = dict(locals())
    from repro_assets.cli.answering import here, readable
    from repro_assets.cli.run import execute_all, say_how_to_go_on
    from repro_assets.cli.run_options import check_names, read_words, spoken
    from repro_assets.cli.training_words import TrainingWords, training_requests
    from repro_assets.store import offline as network

    words = spoken(TrainingWords, flags)
    if config is not None:
        words = words.over(read_words(config, TrainingWords, "repro train"))
    asset, asked, settings = training_requests(words)
    with network.offline() if words.offline else contextlib.nullcontext():
        # A wrong name is found before the slow start of the executing process.
        check_names(words, readable)
        home = here(make=True)
        answers = execute_all(home, asked, settings, verbose)
        several = words.seeds is not None
        code = _answered(home, asset, answers, as_json, several=several)
        say_how_to_go_on(home, answers[-1], context, several=several)
    return code


def _answered(home: Home, asset: str, answers: list[RunAnswer], as_json: bool, *, several: bool) -> int:
    from repro_assets.cli.answering import say, say_error
    from repro_assets.cli.rendering import print_facts, print_json, print_table, short
    from repro_assets.orchestration import refusals

    documents = [_document(home, asset, answer) for answer in answers if answer.run_id is not None]
    code = refusals.exit_code(answers)
    if as_json and documents:
        print_json(documents if several else documents[0])
    elif not as_json:
        for document in documents:
            model = document["model"] or {}
            resumed = document["resumed"] or {}
            facts = {
                "state": document["state"],
                "seed": document["seed"],
                "model": f"{model['name']} ({model['collection']}:v{model['version']}), {short(model['digest'])}"
                if model
                else None,
                "goes on from": f"{resumed['run_id']}/{resumed['checkpoint']}" if resumed else None,
                "made earlier": document["reused"] or None,
            }
            print_facts(facts, "it did not begin" if document["run_id"] is None else f"run {document['run_id']}")
            if document["metrics"]:
                print_table([{"metric": name, "last": value} for name, value in document["metrics"].items()])
    for answer in answers:
        for line in refusals.lines(answer):
            say_error(line)
    if code == 0 and not as_json:
        say(f"next: repro runs show {documents[-1]['run_id']}   or   repro replay {documents[-1]['run_id']}")
    return code


def _document(home: Home, asset: str, answer: RunAnswer) -> dict[str, Any]:
    """Return the JSON answer for one training.

    `run_id` is None where the training did not begin, because something upstream failed.
    """
    from repro_assets.catalog.outcomes import begun_under, of_training
    from repro_assets.cli.demand import named

    product = next((each for each in answer.products if each["asset"] == asset), None)
    run_id = begun_under(home, answer.run_id, asset) if product is None else product["run_id"]
    model = None
    if product is not None:
        version = named(product)
        model = {**version, "collection": version["name"], "name": product["name"]}
    return {
        "run_id": run_id,
        "parent_run_id": answer.run_id,
        "state": answer.state,
        "model": model,
        "reused": bool(product and product["reused"]),
        **of_training(home, run_id),
        "products": answer.products,
        "errors": answer.errors,
    }
