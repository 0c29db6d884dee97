"""``repro env``: capture, diff, check, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from repro_assets.cli.options import AsJson

app = typer.Typer(
    help="Environments: capturing one, what differs between two, whether this one will do, and building one again."
)

_NAMED = "A run, an environment's digest, a JSON file, or the word current."
_EnvironmentA = Annotated[str, typer.Argument(metavar="A", help=_NAMED)]
_EnvironmentB = Annotated[str, typer.Argument(metavar="B", help=_NAMED)]


@app.command()
def capture(
    level: Annotated[str, typer.Option(metavar="L", help="basic, standard or complete (or 1, 2, 3).")] = "standard",
    output_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")] = Path("outputs/environment"),
    as_json: AsJson = False,
) -> None:
    """Capture the environment of this process and write it into files."""
    from repro_assets.capture.level import Level
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.recording.environments import captured_into

    made = captured_into(output_dir, Level.parse(level))
    if as_json:
        print_json({"digest": str(made.digest), "level": made.level.value, "files": [str(file) for file in made.files]})
        return
    print_line(made.summary)
    print_line(f"digest  {made.digest}")
    for file in made.files:
        print_line(f"file    {file}")


@app.command()
def diff(a: _EnvironmentA, b: _EnvironmentB, as_json: AsJson = False) -> None:
    """Say what was added, removed and changed from environment A to B; exit code 0 either way."""
    from repro_assets.capture.comparison import diff_environments
    from repro_assets.cli.answering import readable
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.recording.environments import known_environment

    found = diff_environments(known_environment(a, readable).document, known_environment(b, readable).document)
    if as_json:
        print_json(found.document())
        return
    _print_diff(found.document())
    count = len(found.added) + len(found.removed) + len(found.changed)
    print_line("equal" if found.equal else f"{count} difference{'s' * (count != 1)}")


@app.command()
def check(
    package: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="A required package, such as 'numpy>=2,<3'; repeatable.")
    ] = None,
    min_gpu_memory_gb: Annotated[
        float | None, typer.Option(metavar="X", help="Memory that a GPU must have, in 10^9 bytes.")
    ] = None,
    min_cuda_version: Annotated[
        str | None, typer.Option(metavar="V", help="The least CUDA of both torch and the driver, such as 12.4.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Say whether this environment meets requirements; exit code 1 if it does not."""
    from repro_assets.capture.requirements import validate_environment
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.errors import InvalidValue

    if not package and min_gpu_memory_gb is None and min_cuda_version is None:
        raise InvalidValue("no requirement is given, so there is nothing to check", "give --package SPEC, for example")
    found = validate_environment(package or [], min_gpu_memory_gb, min_cuda_version)
    if as_json:
        print_json(found.document())
    else:
        for kind, sentences in (("error", found.errors), ("warning", found.warnings)):
            for sentence in sentences:
                print_line(f"{kind}: {sentence}")
        print_line("valid" if found.is_valid else "NOT VALID")
    return 0 if found.is_valid else 1


@app.command()
def restore(
    run: Annotated[str, typer.Argument(metavar="RUN", help=_NAMED)],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="An empty folder, or one that is not there yet.")],
    timeout: Annotated[float, typer.Option(metavar="S", min=1, help="Seconds that the installation may take.")] = 3600,
    as_json: AsJson = False,
) -> int:
    """Build a virtual environment from a record and compare it with that; exit code 1 if anything differs."""
    from repro_assets.cli.answering import readable, say, stopped_like_ctrl_c
    from repro_assets.cli.progress import bar
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.recording.environments import known_environment
    from repro_assets.replay.restoring import restore_environment

    known = known_environment(run, readable)
    stopped_like_ctrl_c()
    with bar("packages") as progress:
        restored = restore_environment(known, to, timeout=timeout, progress=progress)
    if as_json:
        print_json(restored.document())
        return 0 if restored.equal else 1
    if restored.missing:
        print_table(
            [{"name": each.name, "version": each.version, "not had because": each.reason} for each in restored.missing]
        )
    _print_diff(restored.differences.document())
    print_line("equal to the record" if restored.equal else "NOT EQUAL to the record")
    say(f"{restored.python} with the packages of {known.name} is in {restored.path} ({restored.seconds:.1f} s)")
    say(f"use it with: {restored.command}")
    return 0 if restored.equal else 1


def _print_diff(document: dict[str, Any]) -> None:
    from repro_assets.cli.rendering import print_table

    for name in ("changed", "added", "removed"):
        if document[name]:
            print_table(document[name], ("part", "name", "a", "b", "how"), title=name)
    if document["not_compared"]:
        rows = [{"part": part, "reason": reason} for part, reason in document["not_compared"].items()]
        print_table(rows, title="not compared")
