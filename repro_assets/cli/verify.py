"""``repro verify-determinism``."""

from __future__ import annotations

from typing import Annotated

import typer

from repro_assets.cli.options import AsJson, Verbose


def verify_determinism(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="module:function; or an asset, an artifact or a run: its recipe, with its config and inputs.",
        ),
    ],
    runs: Annotated[int, typer.Option(metavar="N", min=2, max=100, help="How often it is run.")] = 2,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Root seed, the same for every run.")] = 0,
    timeout: Annotated[float, typer.Option(metavar="S", min=0.001, help="Seconds after which a run is ended.")] = 600.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="A setting that does not hold is an error, not a warning.")
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Run it in fresh processes with other hash seeds and folders, and compare every bit that comes back."""
    from repro_assets.cli.answering import say, settled, stopped_like_ctrl_c
    from repro_assets.cli.progress import shown_log
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.determinism import verification

    is_function = ":" in target and not target.startswith("sha256:")
    home = None if is_function else settled(to_write=True)
    stopped_like_ctrl_c()
    with shown_log(verbose) as log:
        if home is None:
            from repro_assets.capture.project import project_root, source_folders

            found = verification.verify_determinism(
                target, runs, seed, timeout=timeout, strict=strict, path=source_folders(project_root()), log=log
            )
        else:
            from repro_assets.orchestration.verifying import verify_and_show

            found = verify_and_show(home, target, runs, seed, timeout=timeout, strict=strict, log=log)
    for warning in found.warnings:
        say(f"warning: {warning}")
    if as_json:
        print_json(found.document())
    else:
        print_line(str(found))
        say(f"{runs} runs took {found.seconds:.1f} s")
    return 0 if found.deterministic else 1
