"""``repro generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli.options import AsJson, Verbose

if TYPE_CHECKING:
    from repro_assets.artifacts.handle import Artifact

_ASSET = "data/synthetic"


def generate(
    problem: Annotated[str, typer.Option(metavar="NAME", help="spirals, moons, complex_moons, clusters or spheres.")],
    output: Annotated[Path, typer.Option(metavar="F", help="The .npz file to write.")],
    n_samples: Annotated[int | None, typer.Option(metavar="N", help="Points, in all splits together.")] = None,
    noise: Annotated[
        float | None, typer.Option(metavar="X", help="Standard deviation of what is added to each coordinate.")
    ] = None,
    rotations: Annotated[float | None, typer.Option(metavar="X", help="spirals: turns of each arm.")] = None,
    pairs: Annotated[int | None, typer.Option(metavar="N", help="complex_moons: pairs of moons.")] = None,
    clusters: Annotated[int | None, typer.Option(metavar="N", help="clusters: how many.")] = None,
    shells: Annotated[int | None, typer.Option(metavar="N", help="spheres: how many, one in the other.")] = None,
    input_dim: Annotated[
        int | None, typer.Option(metavar="N", help="Inputs; those that the problem has not are zero.")
    ] = None,
    validation_share: Annotated[float | None, typer.Option(metavar="X", help="Share of the validation split.")] = None,
    test_share: Annotated[float | None, typer.Option(metavar="X", help="Share of the test split.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Root seed.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there and differs.")] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Generate a synthetic data set as a version of the asset data/synthetic, and write it to a file."""
    from repro_assets.cli.answering import here, say_error
    from repro_assets.cli.rendering import print_facts, print_json, short
    from repro_assets.orchestration import refusals

    given = {
        "n_samples": n_samples,
        "noise": noise,
        "rotations": rotations,
        "pairs": pairs,
        "clusters": clusters,
        "shells": shells,
        "input_dim": input_dim,
        "validation_share": validation_share,
        "test_share": test_share,
    }
    given = {name: value for name, value in given.items() if value is not None}
    _check(problem, given, output)
    home = here(make=True)
    answer = _materialized(home, problem, given, seed, verbose)
    for line in refusals.lines(answer):
        say_error(line)
    code = refusals.exit_code([answer])
    if code or not answer.products:
        return code or 1
    (product,) = answer.products
    artifact = _artifact(home, product)
    splits, digest = _written(artifact, output, force=force)
    document = {
        "run_id": product["run_id"],
        "artifact": {"name": artifact.collection, "version": artifact.version, "digest": str(artifact.digest)},
        "kept": sum(splits.values()),
        "dropped": {},
        "splits": splits,
        "output": str(output),
        "sha256": digest,
        "reused": product["reused"],
    }
    if as_json:
        print_json(document)
    else:
        facts = {**document, "artifact": str(artifact), "digest": short(artifact.digest), "dropped": None}
        print_facts(facts, title=problem)
    return 0


def _check(problem: str, given: dict[str, Any], output: Path) -> None:
    """Refuse what can be seen to be wrong before the slow start of the executing process."""
    from repro_assets.errors import InvalidInput, InvalidValue
    from repro_assets.training.synthetic import checked

    checked(problem, given)
    if output.suffix != ".npz":
        raise InvalidValue(f"{output} is not the name of an .npz file", "let it end in .npz")
    if not output.absolute().parent.is_dir():
        raise InvalidInput(f"{output.absolute().parent} is not there, or no folder", "make it, or write elsewhere")
    if output.is_dir():
        raise InvalidInput(f"{output} is a folder", "give the name of a file")


def _materialized(home: Any, problem: str, given: dict[str, Any], seed: int | None, verbose: bool) -> Any:
    from repro_assets.cli.answering import stopped_like_ctrl_c
    from repro_assets.cli.progress import shown_log
    from repro_assets.cli.run_options import Words, requests
    from repro_assets.orchestration.request import execute

    words = Words(
        select=[_ASSET],
        partition=problem,
        seed=seed,
        set={f"{_ASSET}.{name}": value for name, value in given.items()},
    )
    ((request,), mode) = requests(words)
    stopped_like_ctrl_c()
    with shown_log(verbose, set()) as log:
        return execute(home, request, mode, log)


def _artifact(home: Any, product: dict[str, Any]) -> Artifact:
    """Return the version that a product got."""
    from repro_assets.artifacts import repository
    from repro_assets.errors import UnknownName

    found = repository.by_name(home, product["version"])
    if found is None:
        raise UnknownName(f"{product['name']} has no version", "see: repro artifacts list")
    return found


def _written(artifact: Artifact, output: Path, *, force: bool) -> tuple[dict[str, int], str]:
    """Write the file, unless it is there already; return the sizes of the splits and the file's SHA-256.

    Raises
    ------
    ReusedElsewhere
        If another file is there and `force` is not set.
    """
    from repro_assets.errors import ReusedElsewhere
    from repro_assets.identity.digest import Digest
    from repro_assets.store import durable
    from repro_assets.training.synthetic import to_npz

    splits = artifact.load()
    data = to_npz(splits)
    there = output.read_bytes() if output.exists() else None
    if there != data:
        if there is not None and not force:
            raise ReusedElsewhere(
                f"{output} is there and differs from {artifact}, which is stored all the same",
                "write it elsewhere, or replace the file with --force",
            )
        target = output.resolve()
        durable.write_file(target, [data], target.parent)
    return {name: len(split["labels"]) for name, split in splits.items()}, Digest.of(data).hex
