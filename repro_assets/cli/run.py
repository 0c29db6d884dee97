"""``repro run``."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli import run_flags
from repro_assets.cli.options import AsJson, Verbose

if TYPE_CHECKING:
    from repro_assets.determinism.mode import Mode
    from repro_assets.orchestration.request import RunAnswer, RunRequest
    from repro_assets.store.home import Home

_SHOWN = ("seed", "asset", "partition", "name", "version", "digest", "reused", "run_id")


def run(
    context: typer.Context,
    select: Annotated[
        list[str] | None, typer.Option(metavar="KEYS", help="Assets to materialize; the default job if left out.")
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
    resume: run_flags.Resume = None,
    config: run_flags.Config = None,
    job: Annotated[str | None, typer.Option(metavar="NAME", help="A job instead of a selection.")] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Materialize assets; identical work that is done already is reused."""
    flags = dict(locals())
    from repro_assets.cli.answering import here, readable
    from repro_assets.cli.run_options import Words, check_names, read_words, requests, spoken

    words = spoken(Words, flags)
    if config is not None:
        words = words.over(read_words(config, Words))
    asked, mode = requests(words)
    # A wrong name is found before the slow start of the executing process.
    check_names(words, readable)
    home = here(make=True)
    answers = execute_all(home, asked, mode, verbose)
    code = _answered(asked[: len(answers)], answers, as_json, study=words.seeds is not None)
    say_how_to_go_on(home, answers[-1], context, several=words.seeds is not None)
    return code


def execute_all(home: Home, asked: list[RunRequest], mode: Mode, verbose: bool) -> list[RunAnswer]:
    """Execute requests one after the other, up to the first with which the others would fail too."""
    from repro_assets.cli.answering import say, stopped_like_ctrl_c
    from repro_assets.cli.progress import shown_log, steps_bar
    from repro_assets.orchestration import refusals
    from repro_assets.orchestration.request import execute

    stopped_like_ctrl_c()
    warned: set[str] = set()
    answers: list[RunAnswer] = []
    for number, request in enumerate(asked, start=1):
        if len(asked) > 1:
            say(f"seed {request.settings['seed']} ({number} of {len(asked)})")
        with shown_log(verbose, warned) as log:
            answers.append(execute(home, request, mode, log, None if verbose else steps_bar))
        # Another seed does not help against a wrong request or a full disk; it may against a failure of its own.
        if refusals.exit_code(answers) not in (0, 1):
            break
    return answers


def say_how_to_go_on(home: Home, answer: RunAnswer, context: typer.Context, *, several: bool) -> None:
    """Say which command goes on with a training that was stopped and has a checkpoint.

    Parameters
    ----------
    home : Home
        The store.
    answer : RunAnswer
        What became of it.
    context : typer.Context
        Holds the words of this command line.
    several : bool
        Whether it was one of several seeds, each of which then finds its own.
    """
    from repro_assets.cli.answering import say
    from repro_assets.errors import ReproError, RequestError
    from repro_assets.orchestration import refusals
    from repro_assets.recording import resumption

    if answer.run_id is None or refusals.exit_code([answer]) in (0, RequestError.exit_code):
        return
    try:
        found = resumption.find(home, answer.run_id)
    except ReproError:
        # Nothing under it trains, or nothing was saved; what stopped the run itself has been said.
        return
    words = without_option(context.obj or [context.info_name or "run"], "--resume")
    target = resumption.AUTO if several else answer.run_id
    command = shlex.join(["repro", *words, "--resume", target])
    say(f"go on from {found.name} (step {found.step}) with: {command}")


def without_option(words: Sequence[str], option: str) -> list[str]:
    """Return a command line without an option and its value."""
    kept: list[str] = []
    given = iter(words)
    for word in given:
        if word == option:
            next(given, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept


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
