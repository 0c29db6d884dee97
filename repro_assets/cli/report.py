"""``repro report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repro_assets.cli.options import AsJson


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Ids, 8 or more digits of them, names, last, last~1; all if left out."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="A new folder, or one of an earlier report.")] = Path(
        "report"
    ),
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again whenever something happened, until Ctrl-C or SIGTERM.")
    ] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="Also a table (LaTeX), a plot (PDF) and an appendix on how to reproduce.")
    ] = False,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="A metric of the paper's table and plot; repeat for several.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the runs as pages that open from the disk, in any browser and without a network."""
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.rendering import print_facts, print_json
    from repro_assets.errors import InvalidValue
    from repro_assets.report.folder import Folder
    from repro_assets.report.watching import stopped_by_signals, watch_report
    from repro_assets.report.writing import Options, Written, plotting_script, write_report
    from repro_assets.wording import counted, size

    if metric and not paper:
        raise InvalidValue("--metric is for the paper", "give --paper, too")
    plotting_script()
    home = settled()
    folder = Folder(output)
    options = Options(watched=watch, paper=paper, metrics=tuple(metric or ()))

    def told(written: Written) -> None:
        say(f"{written.path}: {counted(written.runs, 'run')}, {size(written.bytes)}")

    times = 1
    if watch:
        with stopped_by_signals() as stop:
            times, written = watch_report(home, runs or [], folder, options, stop=stop, told=told)
        if folder.root.is_dir():
            # Pages that are open need not look any further.
            written = write_report(home, runs or [], folder, Options(paper=paper, metrics=options.metrics))
    else:
        written = write_report(home, runs or [], folder, options)
    facts = {"path": written.path, "runs": written.runs, "files": written.files, "bytes": written.bytes}
    if paper:
        facts["paper"] = folder.root / "paper"
    if watch:
        facts["times"] = times
    if as_json:
        print_json(facts)
    else:
        print_facts({**facts, "bytes": size(written.bytes)})
