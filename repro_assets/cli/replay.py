"""``repro replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from repro_assets.cli.options import AsJson, RunName, Verbose

_SHOWN = 12
_CODES = {"identical": 0, "equivalent": 0, "diverged": 1, "not_comparable": 4}


def replay(
    run: RunName,
    tolerance: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="Other bits within it are equivalent: 1e-6, or absolute=1e-8,relative=1e-5,ulp=4."
        ),
    ] = None,
    upstream: Annotated[
        bool, typer.Option("--upstream", help="First replay every run that its inputs came from.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="S", min=0.001, help="Seconds after which it is ended.")
    ] = None,
    environment: Annotated[
        str, typer.Option(metavar="E", help="current, or recreate: build the recorded one and execute it there.")
    ] = "current",
    environment_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it is built, and used again; else in the store's cache.")
    ] = None,
    dvc_stage: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE",
            help="As this stage of the export for DVC in the current folder: refuse other inputs and parameters, and "
            "lay out what it made.",
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> int:
    """Run it again from its record and compare the bits; RUN may also name an artifact, or an asset: its newest run."""
    from repro_assets.catalog.makers import resolve_maker
    from repro_assets.cli.answering import INTERRUPTED, say, say_error, settled, stopped_like_ctrl_c
    from repro_assets.cli.progress import bar, shown_log
    from repro_assets.cli.rendering import print_json, print_line, print_table, short
    from repro_assets.replay.deviation import Tolerance

    limit = None if tolerance is None else Tolerance.parse(tolerance)
    home = settled(to_write=True)
    run_id = resolve_maker(home, run)
    stage = None
    if dvc_stage is not None:
        from repro_assets.interchange.exports.dvc_stage import recorded_stage

        stage = recorded_stage(home, run_id, Path.cwd(), dvc_stage)
    from repro_assets.orchestration.replaying import replay_and_show

    stopped_like_ctrl_c()
    try:
        with shown_log(verbose) as log, bar("packages") as progress:
            report = replay_and_show(
                home,
                run_id,
                tolerance=limit,
                upstream=upstream,
                timeout=timeout,
                log=log,
                environment=environment,
                environment_folder=environment_folder,
                told=say,
                progress=progress,
            )
    except KeyboardInterrupt:
        kept = f"repro runs list --where \"replay_of = '{run_id}'\""
        say_error(f"the replay was interrupted; the record of its run is kept (see: {kept})")
        return INTERRUPTED
    document = report.document()
    code = _CODES[report.verdict]
    if stage is not None and code == 0:
        document["laid_out"] = stage.lay_out(home, report)
    if as_json:
        print_json(document)
    else:
        print_table(
            [
                {**product, "original": short(product["original"]), "replayed": short(product["replayed"])}
                for product in document["products"]
            ],
            ("name", "verdict", "original", "replayed"),
        )
        for product in document["products"]:
            _show_deviations(product)
        if document["differences"]:
            print_table(document["differences"], title="\nsettings that differ")
        reason = f": {document['reason']}" if document["reason"] else ""
        print_line(f"{report.verdict}{reason}")
        if document["possible_causes"]:
            print_table(document["possible_causes"], title="\npossible causes")
        say(f"run {report.original_run} was executed again as {report.replay_run} in {report.seconds:.1f} s")
    return code


def _show_deviations(product: dict[str, Any]) -> None:
    """Show what differs within a product, in its own order."""
    from repro_assets.cli.answering import say
    from repro_assets.cli.rendering import print_table

    found = product.get("deviations") or []
    if product.get("unmeasured"):
        say(f"{product['name']}: the two cannot be compared by value: {product['unmeasured']}")
    if not found:
        return
    rows = [
        {
            "where": each["path"] or "(the value)",
            "what": each["what"],
            "first at": each["element"],
            "original": each["values"][0],
            "replayed": each["values"][1],
            "differing": each["differing"],
            "absolute": each["max_absolute"],
            "relative": each["max_relative"],
            "ulp": each["max_ulp"],
        }
        for each in found[:_SHOWN]
    ]
    print_table(rows, title=f"\nwhat differs in {product['name']}")
    if product["deviating"] > _SHOWN:
        say(f"… and {product['deviating'] - _SHOWN} more: --json has the first {len(found)}")
