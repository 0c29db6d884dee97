"""``repro run``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli.options import AsJson, Verbose

if TYPE_CHECKING:
    from repro_assets.orchestration.request import RunAnswer, RunRequest

_SHOWN = ("seed", "asset", "partition", "name", "version", "digest", "reused", "run_id")


def run(
    select: Annotated[
        list[str] | None, typer.Option(metavar="KEYS", help="Assets to materialize; the default job if left out.")
    ] = None,
    partition: Annotated[str | None, typer.Option(metavar="P", help="Partition key.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Root seed.")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="RANGES", help="Several seeds, as one study: 0-4 or 1,3.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="ASSET.FIELD=VALUE", help="A hyperparameter of an asset.")
    ] = None,
    input_: Annotated[
        list[str] | None, typer.Option("--input", metavar="ASSET=ARTIFACT", help="Pin an upstream asset.")
    ] = None,
    capture_level: Annotated[
        str | None, typer.Option(metavar="L", help="basic, standard or complete (or 1, 2, 3).")
    ] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic/--no-deterministic", help="Deterministic algorithms only.")
    ] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads of torch.")] = None,
    monitor: Annotated[
        bool | None, typer.Option("--monitor/--no-monitor", help="Sample what the machine does meanwhile.")
    ] = None,
    monitor_interval: Annotated[float | None, typer.Option(metavar="S", help="Seconds between two samples.")] = None,
    exp_name: Annotated[str | None, typer.Option(metavar="S", help="Experiment that the runs belong to.")] = None,
    tags: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Tags of the runs.")] = None,
    trial: Annotated[
        bool | None, typer.Option("--trial", help="The products never become what others load by default.")
    ] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Execute even if the same work is done.")] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict", help="Fail where a setting that changes bits does not hold.")
    ] = None,
    executor: Annotated[str | None, typer.Option(metavar="E", help="in_process or multiprocess.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML or JSON with these words.")] = None,
    job: Annotated[str | None, typer.Option(metavar="NAME", help="A job instead of a selection.")] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Materialize assets; identical work that is done already is reused."""
    from repro_assets.cli.answering import here, readable
    from repro_assets.cli.run_options import Words, check_pins, listed, pairs, parsed, read_words, requests

    words = Words(
        select=listed(select or ()),
        partition=partition,
        seed=seed,
        seeds=seeds,
        set={name: parsed(value) for name, value in pairs(set_ or (), "--set").items()},
        input=pairs(input_ or (), "--input"),
        capture_level=capture_level,
        deterministic=deterministic,
        threads=threads,
        monitor=monitor,
        monitor_interval=monitor_interval,
        exp_name=exp_name,
        tags=listed(tags or ()),
        trial=trial,
        force=force,
        strict=strict,
        executor=executor,
        job=job,
    )
    if config is not None:
        words = words.over(read_words(config))
    asked, mode = requests(words)
    if words.input:
        # A wrong name is found before the slow start of the executing process.
        check_pins(readable(), words.input)
    answers = _execute_all(here(make=True), asked, mode, verbose)
    return _answered(asked[: len(answers)], answers, as_json, study=words.seeds is not None)


def _execute_all(home: Any, asked: list[Any], mode: Any, verbose: bool) -> list[RunAnswer]:
    from repro_assets.cli.answering import say, stopped_like_ctrl_c
    from repro_assets.cli.progress import shown_log
    from repro_assets.orchestration import refusals
    from repro_assets.orchestration.request import execute

    stopped_like_ctrl_c()
    warned: set[str] = set()
    answers: list[RunAnswer] = []
    for number, request in enumerate(asked, start=1):
        if len(asked) > 1:
            say(f"seed {request.settings['seed']} ({number} of {len(asked)})")
        with shown_log(verbose, warned) as log:
            answers.append(execute(home, request, mode, log))
        # Another seed does not help against a wrong request or a full disk; it may against a failure of its own.
        if refusals.exit_code(answers) not in (0, 1):
            break
    return answers


def _answered(asked: list[RunRequest], answers: list[RunAnswer], as_json: bool, *, study: bool) -> int:
    from repro_assets.cli.answering import say, say_error
    from repro_assets.cli.rendering import print_json, print_table, short
    from repro_assets.orchestration import refusals

    pairs = [(request, answer) for request, answer in zip(asked, answers, strict=True) if answer.run_id is not None]
    began = [answer for _, answer in pairs]
    if as_json and study and began:
        print_json([{**_of_study(request), **dataclasses.asdict(answer)} for request, answer in pairs])
    elif as_json and began:
        print_json(dataclasses.asdict(began[0]))
    elif not as_json:
        products = [
            {"seed": request.settings["seed"] if study else None, **product, "digest": short(product["digest"])}
            for request, answer in pairs
            for product in answer.products
        ]
        if products:
            print_table(products, _SHOWN)
    for answer in answers:
        for line in refusals.lines(answer):
            say_error(line)
    code = refusals.exit_code(answers)
    if code == 0 and not as_json:
        made = [product for answer in began for product in answer.products]
        fresh = [product for product in made if not product["reused"]]
        if made and not fresh:
            say("Everything was there already (--force makes it again).")
        if study:
            say(f"study={_of_study(asked[0])['study']} is a tag of all of them (column tags of runs)")
        if made:
            say(f"next: repro runs show {made[-1]['run_id']}   or   repro replay {made[-1]['run_id']}")
    return code


def _of_study(request: RunRequest) -> dict[str, Any]:
    return {"study": request.tags["study"], "seed": request.settings["seed"]}
