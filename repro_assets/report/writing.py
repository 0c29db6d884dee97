"""A report, written from the catalog into a folder.

Laws: nothing in it needs a network or a server; a file that shows is whole, also while a page that is open reads it; a
report of the same records has the same bytes but for the time of its making.
"""

from __future__ import annotations

import importlib.resources
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.catalog.queries import connect
from repro_assets.errors import RequestError
from repro_assets.lineage.reading import read_graph
from repro_assets.report.columns import columns
from repro_assets.report.details import details_of, start_of
from repro_assets.report.folder import Folder, remember
from repro_assets.report.lineage_data import lineage_document
from repro_assets.report.pages import POLICY, run_page
from repro_assets.report.paper import counts, paper_files
from repro_assets.report.points import Curve, Source, points_for, read_points
from repro_assets.report.reading import Reading, read
from repro_assets.report.script import file_name, script
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import duckdb

_KINDS: tuple[tuple[str, Source], ...] = (("curves", "curves"), ("system", "system_metrics"))


@dataclass(frozen=True, slots=True)
class Options:
    """How a report is written.

    Parameters
    ----------
    watched : bool
        Whether its pages look for newer data from time to time.
    paper : bool
        Whether it has the files of a paper, too.
    metrics : tuple of str
        Metrics of the paper; the main ones if empty.
    """

    watched: bool = False
    paper: bool = False
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What a report is.

    Parameters
    ----------
    path : Path
        Its first page.
    runs, files, bytes : int
        How many runs it shows, how many files it has, and how large they are together.
    revision : str
        The state of the catalog that it shows.
    """

    path: Path
    runs: int
    files: int
    bytes: int
    revision: str


def write_report(home: Home, names: Sequence[str], folder: Folder, options: Options | None = None) -> Written:
    """Write a report.

    Parameters
    ----------
    home : Home
        The store.
    names : sequence of str
        Runs, as `resolve_run` takes them; a parent run stands for the runs under it. All that are not deleted if empty.
    folder : Folder
        Where to.
    options : Options, optional
        How.

    Raises
    ------
    UnknownName, AmbiguousName
        If a name fits no run, or several, or no run has a metric of the paper.
    InvalidValue
        If there is to be a paper, and no completed run with a metric.
    RequestError
        If the plotting library is not installed.
    MachineError
        If the system refuses to write, or the catalog had to be brought up to date and cannot be written.
    """
    try:
        return _write_report(home, names, folder, options or Options())
    except BaseException:
        folder.give_up()
        raise


def _write_report(home: Home, names: Sequence[str], folder: Folder, options: Options) -> Written:
    plotly = plotting_script()
    graph = read_graph(home)
    with connect(home) as connection:
        revision = revision_of(connection)
        reading = read(connection, names)
        paper = {}
        if options.paper:
            points = read_points(connection, "curves", [run["run_id"] for run in reading.runs if counts(run)])
            curves = (curve for of_run in points for curve in of_run)
            paper = paper_files(reading, curves, options.metrics)
        for name, content in paper.items():
            folder.write(f"paper/{name}", content)
        _write_assets(folder, plotly, watched=options.watched)
        listed = _write_runs(connection, reading, folder, watched=options.watched)
    ids = reading.run_ids
    for digest, environment in reading.environments.items():
        name = f"environments/{file_name(digest)}"
        folder.write(f"data/{name}.js", script(name, environment["packages"]))
    folder.write("data/lineage.js", script("lineage", lineage_document(graph, ids)))
    folder.write("data/artifacts.js", script("artifacts", reading.versions))
    results = {"leaderboard": reading.leaderboard, "studies": reading.studies, "replays": reading.replays}
    folder.write("data/results.js", script("results", results))
    runs = {
        "ids": ids,
        "files": [file_name(run_id) for run_id in ids],
        "environments": {
            run["environment"]: file_name(run["environment"]) for run in reading.runs if run["environment"]
        },
        "columns": columns(reading),
        "everything": reading.everything,
        **listed,
    }
    folder.write("data/runs.js", script("runs", runs))
    # Last, for a page that sees it finds the rest as new.
    stamp = {"revision": revision, "made": datetime.now(UTC).isoformat(timespec="seconds"), "watched": options.watched}
    folder.write("data/stamp.js", script("stamp", stamp))
    size = folder.bytes
    files = folder.finish()
    remember(home, folder.root)
    return Written(folder.root / "index.html", len(ids), len(files), size, revision)


def plotting_script() -> bytes:
    """Return the plotting library as a script.

    Raises
    ------
    RequestError
        If it is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise RequestError(
            "a report needs the library plotly", "pip install 'repro-assets[report]' (or: pip install plotly)"
        ) from error
    return str(get_plotlyjs()).encode()


def revision_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the word that says which state of the catalog a connection sees."""
    ((revision,),) = connection.execute("SELECT revision FROM catalog_info").fetchall()
    return str(revision)


def _write_assets(folder: Folder, plotly: bytes, *, watched: bool) -> None:
    folder.write("assets/plotly.min.js", plotly)
    for item in sorted((importlib.resources.files(__package__) / "static").iterdir(), key=lambda item: item.name):
        if item.name == "index.html":
            page = item.read_text("utf-8").replace("{policy}", POLICY)
            folder.write(item.name, page.replace("{watched}", "yes" if watched else "no").encode())
        elif item.name.endswith((".js", ".css")):
            folder.write(f"assets/{item.name}", item.read_bytes())


def _write_runs(
    connection: duckdb.DuckDBPyConnection, reading: Reading, folder: Folder, *, watched: bool
) -> dict[str, Any]:
    """Write pages and points of all runs, and return the names of metrics and readings with their files."""
    totals = {"curves": _runs_with(reading, "metrics"), "system": _runs_with(reading, "system")}
    thinned: dict[str, defaultdict[str, list[Any]]] = {"curves": defaultdict(list), "system": defaultdict(list)}
    ids = reading.run_ids
    exact = {kind: read_points(connection, source, ids) for kind, source in _KINDS}
    waiting = {kind: next(exact[kind], None) for kind, _ in _KINDS}
    for run in reading.runs:
        run_id = run["run_id"]
        own: dict[str, list[Curve]] = {}
        for kind, _ in _KINDS:
            found = waiting[kind]
            own[kind] = found if found is not None and found[0].run_id == run_id else []
            if own[kind]:
                waiting[kind] = next(exact[kind], None)
            for curve in own[kind]:
                start = start_of(run)
                most = points_for(totals[kind].get(curve.name, 1))
                base = curve.time[0] if start is None else start
                thinned[kind][curve.name].append(curve.thinned(most, base))
        name = f"runs/{file_name(run_id)}"
        folder.write(f"data/{name}.js", script(name, details_of(reading, run, own["curves"], own["system"])))
        folder.write(f"{name}.html", run_page(reading, run, watched=watched))
    listed: dict[str, Any] = {}
    for kind, of_kind in thinned.items():
        listed[kind] = []
        for metric in sorted(of_kind):
            name = f"{kind}/{file_name(metric)}"
            folder.write(f"data/{name}.js", script(name, of_kind[metric]))
            drawn = [curve["total"] > 1 for curve in of_kind[metric]]
            listed[kind].append({"name": metric, "file": name, "runs": len(drawn), "lines": sum(drawn)})
    return listed


def _runs_with(reading: Reading, part: str) -> dict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    for run in reading.runs:
        for item in run[part]:
            found[item["name"]] += 1
    return found
