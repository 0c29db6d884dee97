"""``repro generate``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli.demand import DemandWords
from repro_assets.cli.options import AsJson, Verbose
from repro_assets.errors import InvalidValue, ReusedElsewhere

if TYPE_CHECKING:
    from repro_assets.artifacts.handle import Artifact

ASSET = "data/synthetic"


@dataclass(slots=True)
class GenerateWords(DemandWords):
    """What was said; but for `problem` these are parameters of the generator."""

    problem: str | None = None
    n_samples: int | None = None
    noise: float | None = None
    rotations: float | None = None
    pairs: int | None = None
    clusters: int | None = None
    shells: int | None = None
    input_dim: int | None = None
    validation_share: float | None = None
    test_share: float | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that were said."""
        shared = {field.name for field in fields(DemandWords)} | {"problem"}
        said = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in shared}
        return {**{name: value for name, value in said.items() if value is not None}, **self.set}


def generate(
    problem: Annotated[
        str | None, typer.Option(metavar="NAME", help="spirals, moons, complex_moons, clusters or spheres.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="The .npz file to write.")] = None,
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
    exp_name: Annotated[str | None, typer.Option(metavar="S", help="Experiment that the run belongs to.")] = None,
    trial: Annotated[bool | None, typer.Option("--trial", help="Nobody loads the data set by default.")] = None,
    force: Annotated[
        bool | None, typer.Option("--force", help="Generate it again, and replace a file that is there and differs.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML or JSON with these words.")] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Generate a synthetic data set as a version of the asset data/synthetic, and write it to a file."""
    flags = dict(locals())
    from repro_assets.cli import demand
    from repro_assets.cli.answering import here
    from repro_assets.cli.run_options import merge, read_words, spoken
    from repro_assets.training.synthetic import checked

    words = spoken(GenerateWords, flags)
    if config is not None:
        words = merge(words, read_words(config, GenerateWords, "repro generate"))
    chosen, _ = demand.needed(words, "problem", "output")
    target = demand.output_of(words)
    assert target is not None
    if target.suffix != ".npz":
        raise InvalidValue(f"{target} is not the name of an .npz file", "let it end in .npz")
    checked(chosen, words.parameters())
    home = here(make=True)
    answer = demand.make(home, ASSET, words, words.parameters(), {}, partition=chosen, verbose=verbose)
    found: dict[str, Any] = {**demand.begun(home, answer), "artifact": None, "kept": None, "dropped": {}}
    if answer.state == "COMPLETED":
        from repro_assets.artifacts import repository
        from repro_assets.identity.digest import Digest

        (product,) = answer.products
        made = repository.by_digest(home, Digest.parse(product["digest"]), name=product["version"])
        splits, digest = write(made, target, force=bool(words.force))
        found |= {"artifact": demand.named(product), "kept": sum(splits.values()), "splits": splits}
        found |= {"output": str(target), "sha256": digest}
    if answer.run_id is not None:
        _show(found, as_json=as_json)
    return demand.failed(answer)


def write(artifact: Artifact, output: Path, *, force: bool) -> tuple[dict[str, int], str]:
    """Write a data set to a file, unless it is there already; return the sizes of the splits and the file's SHA-256.

    Raises
    ------
    ReusedElsewhere
        If another file is there and `force` is not set.
    """
    from repro_assets.identity.digest import Digest
    from repro_assets.store import outside
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
        outside.write(output, data)
    return {name: len(split["labels"]) for name, split in splits.items()}, Digest.of(data).hex


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    from repro_assets.cli.answering import say
    from repro_assets.cli.rendering import print_facts, print_json

    if as_json:
        print_json(found)
    elif found["artifact"] is not None:
        artifact = found["artifact"]
        facts = {"points": found["kept"], **found["splits"], "written to": found["output"], "SHA-256": found["sha256"]}
        print_facts(facts, title=f"{artifact['name']}:v{artifact['version']}")
        if found["reused"]:
            say("It was generated already (--force does it again).")
        say(f"next: repro replay {found['run_id']}")
