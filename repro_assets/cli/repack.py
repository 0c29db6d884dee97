"""``repro store repack``."""

from __future__ import annotations

from typing import Annotated

import typer

from repro_assets.cli.options import TIMES, AsJson, seconds_of


def repack(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help=f"Only tensors recorded so long ago: {TIMES}.")
    ] = "0s",
    as_json: AsJson = False,
) -> int:
    """Store older versions of tensors as differences from newer ones, and many small packs as few."""
    from repro_assets.artifacts.succession import repack_store
    from repro_assets.cli.answering import here
    from repro_assets.cli.progress import counter
    from repro_assets.cli.rendering import print_facts, print_json
    from repro_assets.wording import size

    home, seconds = here(), seconds_of(older_than)
    with counter("tensors compared") as progress:
        done = repack_store(home, older_than=seconds, progress=progress)
    if as_json:
        print_json(
            {
                "differences": done.differences,
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
                "packs_before": done.packs_before,
                "packs_after": done.packs_after,
                "damaged": sorted(map(str, done.damaged)),
            }
        )
    else:
        print_facts(
            {
                "differences": done.differences,
                "before": size(done.bytes_before),
                "after": size(done.bytes_after),
                "packs": f"{done.packs_before} -> {done.packs_after}",
                "damaged": len(done.damaged),
            }
        )
    return 1 if done.damaged else 0
