"""``repro filter``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli.demand import DemandWords
from repro_assets.cli.options import AsJson, Verbose
from repro_assets.errors import InvalidInput, InvalidValue

if TYPE_CHECKING:
    from repro_assets.artifacts.handle import Artifact
    from repro_assets.store.home import Home

ASSET = "data/filtered"
TYPES = ("sft", "rft", "eval")


@dataclass(slots=True)
class FilterWords(DemandWords):
    """What was said; `input` and `output` are files."""

    input: str | None = None
    dataset_name: str | None = None
    dataset_type: str | None = None
    min_quality_score: float | None = None


def filter_(
    input: Annotated[Path | None, typer.Option(metavar="FILE", help="Raw traces: .jsonl, .csv or .parquet.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The kept traces, in the format of its ending.")
    ] = None,
    dataset_name: Annotated[str | None, typer.Option(metavar="S", help="The data set is dataset-NAME_TYPE.")] = None,
    dataset_type: Annotated[
        str | None, typer.Option(metavar="T", help="sft; rft or eval, which keep one trace of an image, the best.")
    ] = None,
    min_quality_score: Annotated[
        float | None, typer.Option(metavar="X", help="Drop traces whose quality, 0 to 1, is lower.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Root seed of the run; the filter draws nothing.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="A rule: max_looks, drop_wrong_answers, drop_repeated_looks."
        ),
    ] = None,
    capture_level: Annotated[
        str | None, typer.Option(metavar="L", help="basic, standard or complete (or 1, 2, 3).")
    ] = None,
    exp_name: Annotated[str | None, typer.Option(metavar="S", help="Experiment that the run belongs to.")] = None,
    tags: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Tags of the run.")] = None,
    trial: Annotated[bool | None, typer.Option("--trial", help="Nobody loads the data set by default.")] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Filter even if it has been done.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML or JSON with these words.")] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Drop bad traces from a file by rule, score the others, and make them a version of a data set."""
    flags = dict(locals())
    from repro_assets.catalog.outcomes import of_filtering
    from repro_assets.cli import demand
    from repro_assets.cli.answering import here
    from repro_assets.cli.run_options import merge, read_words, spoken
    from repro_assets.store import outside
    from repro_assets.training.trace_files import format_of, write_traces_file

    words = spoken(FilterWords, flags)
    if config is not None:
        words = merge(words, read_words(config, FilterWords, "repro filter"))
    source, _, name, kind = demand.needed(words, "input", "output", "dataset_name", "dataset_type")
    target = demand.output_of(words)
    assert target is not None
    _check(Path(source), target, name, kind)
    rules: dict[str, Any] = {"dataset_name": name, "dataset_type": kind, "file_format": format_of(Path(source))}
    if words.min_quality_score is not None:
        rules["min_quality_score"] = words.min_quality_score
    written = format_of(target)
    home = here(make=True)
    answer = demand.make(home, ASSET, words, rules, {"file": _stored(home, Path(source), name)}, verbose=verbose)
    found: dict[str, Any] = {**demand.begun(home, answer), "artifact": None, "kept": None, "dropped": {}}
    if answer.state == "COMPLETED":
        (product,) = answer.products
        found |= {"artifact": demand.named(product), **of_filtering(home, str(found["run_id"])), "output": str(target)}
        outside.write(target, write_traces_file(_load(home, product["digest"]).load(), written))
    if answer.run_id is not None:
        _show(found, as_json=as_json)
    return demand.failed(answer)


def _check(source: Path, target: Path, name: str, kind: str) -> None:
    from repro_assets.artifacts.names import check_new_name

    if kind not in TYPES:
        raise InvalidValue(f"{kind!r} is no type of a data set", f"one of {', '.join(TYPES)}")
    check_new_name(f"dataset-{name}_{kind}")
    if not source.is_file():
        raise InvalidInput(f"{source} is {'a folder' if source.is_dir() else 'not there'}", "name a file of raw traces")
    if target.exists() and source.samefile(target):
        raise InvalidInput(f"{target} is the file of the raw traces itself", "write to another file")


def _stored(home: Home, source: Path, name: str) -> str:
    """Store the raw file under ``raw-NAME`` and return its digest."""
    from repro_assets.artifacts import repository

    return str(repository.claim(repository.put(home, source, "bytes", name=source.name), f"raw-{name}").digest)


def _load(home: Home, digest: str) -> Artifact:
    from repro_assets.artifacts.repository import by_digest
    from repro_assets.identity.digest import Digest

    return by_digest(home, Digest.parse(digest))


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    from repro_assets.cli.answering import say
    from repro_assets.cli.rendering import print_facts, print_json

    if as_json:
        print_json(found)
    elif found["artifact"] is not None:
        artifact = found["artifact"]
        facts = {"kept": found["kept"], **{f"dropped, {reason}": count for reason, count in found["dropped"].items()}}
        facts["written to"] = found["output"]
        print_facts(facts, title=f"{artifact['name']}:v{artifact['version']}")
        if found["columns_left_out"]:
            say(f"left out, because no trace has them: {', '.join(found['columns_left_out'])}")
        if found["reused"]:
            say("It was filtered already (--force does it again).")
        say(f"next: repro replay {found['run_id']}")
