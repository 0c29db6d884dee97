"""The page of one run: its whole record as tables that need no script, and its curves.

Laws: the page holds nothing but escaped text and addresses of this folder; where the scripts are refused it still says
everything but the curves, whose last values and extremes are in a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from repro_assets.report.markup import Html, cell, console, facts, link, table, text
from repro_assets.report.reading import Reading, flat
from repro_assets.report.replayed import replayed_products
from repro_assets.report.script import file_name

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' file:",
        "style-src 'self' file: 'unsafe-inline'",
        "img-src 'self' file: data: blob:",
    )
)
"""What a page may load: nothing from a network, and no script but the files of this folder."""
_SCRIPTS = ("core.js", "tables.js", "figures.js", "series.js", "run.js")
_SUMMARY = ("asset", "partition", "seed", "started_at", "seconds", "commit", "device", "tags", "warnings")
_RECORD = (
    "name", "state", "recipe", "run_kind", "job", "experiment", "trial", "capture_level", "ended_at", "dagster_status",
    "code_version", "reuse_key", "branch", "dirty", "source", "environment", "edited_sources", "record",
)  # fmt: skip
_REPLAY = ("replay_run", "verdict", "reason", "tolerance", "differences", "metrics", "seconds", "time")


def run_page(reading: Reading, run: Mapping[str, Any], *, watched: bool = False) -> bytes:
    """Return the page of a run.

    Parameters
    ----------
    reading : Reading
        What the report is about.
    run : mapping
        One of its runs.
    watched : bool
        Whether the page looks for newer data from time to time.
    """
    known = set(reading.run_ids)
    run_id = str(run["run_id"])
    name = run["name"] or run_id
    scripts = "".join(f'<script src="../assets/{script}" defer></script>' for script in _SCRIPTS)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(name)} · run</title>
<link rel="stylesheet" href="../assets/report.css">
<script src="../assets/theme.js"></script>
<script src="../assets/plotly.min.js" defer></script>
{scripts}
</head>
<body data-root="../" data-file="{file_name(run_id)}" data-watched="{"yes" if watched else "no"}">
<a class="skip" href="#main">Skip to the content</a>
<header><nav aria-label="Report"><a href="../index.html">All runs</a>
<a href="../index.html#/lineage?node={quote(run_id, safe="")}">Lineage of this run</a></nav>
<button type="button" id="theme"></button></header>
<main id="main" tabindex="-1">
<h1>{text(name)} <small class="state {text(run["state"]).lower()}">{text(run["state"])}</small></h1>
<p id="notice" role="status"></p>
{_sections(reading, run, known)}
</main>
</body>
</html>
"""
    return page.encode()


def _sections(reading: Reading, run: Mapping[str, Any], known: set[str]) -> str:
    def of_run(run_id: Any) -> Html:
        return link(f"{file_name(run_id)}.html", run_id) if run_id in known else cell(run_id)

    def runs_in(column: str) -> dict[str, Any]:
        return {column: lambda row: of_run(row[column]) if row[column] is not None else Html("")}

    def artifact(row: Mapping[str, Any]) -> Html:
        return link(f"../index.html#/lineage?node={quote(row['digest'], safe='')}", row["digest"])

    def code(value: str | None) -> Html | None:
        if value is None or len(value) < 200:
            return None if value is None else Html(f"<code>{text(value)}</code>")
        return Html(f"<details><summary>{text(value[:60])}…</summary><code>{text(value)}</code></details>")

    def named(columns: Sequence[str]) -> list[tuple[str, Html]]:
        return [(name.replace("_", " "), cell(run[name])) for name in columns if run[name] not in (None, [], "")]

    error = None
    if run["error_type"]:
        trace = f"<pre>{text(run['error_trace'])}</pre>" if run["error_trace"] else ""
        error = Html(f"{text(run['error_type'])}: {text(run['error_message'])}{trace}")
    environment = reading.environments.get(run["environment"], {})
    source = run["source_facts"] or {}
    again = [
        ("execute it again from its record", code(run["command"])),
        ("make it anew from the working tree", code(run["fresh_command"])),
    ]
    summary = [
        ("run", cell(run["run_id"])),
        ("replay verdict", cell(run["verdict"]) if run["verdict"] else None),
        ("error", error),
        ("parent run", of_run(run["parent_run_id"]) if run["parent_run_id"] else None),
        ("replay of", of_run(run["replay_of"]) if run["replay_of"] else None),
        *named(_SUMMARY),
    ]
    parts = [
        Html(f'<div class="pair">{facts("Summary", summary)}{facts("Run it again", again)}</div>'),
        table("Notes", run["notes"], ("text", "time")),
        '<section id="curves" aria-label="Curves" hidden></section>\n',
        table("Metrics", run["metrics"]),
        table("Evaluations", run["evaluations"], cells={"digest": artifact}),
        table("Inputs", run["inputs"], cells={"digest": artifact, **runs_in("made_by")}),
        table("Undeclared inputs", run["undeclared_inputs"]),
        table("Outputs", run["outputs"], cells={"digest": artifact}),
        table("Checkpoints", run["checkpoints"], cells={"digest": artifact}),
        table("Replays", run["replays"], _REPLAY, cells=runs_in("replay_run")),
        table("Replayed products", replayed_products(run["replays"]), cells=runs_in("replay_run")),
        table("Checks", run["checks"]),
        facts("Record", named(_RECORD)),
        facts("Config", [(name, cell(value)) for name, value in flat(run["config"] or {})]),
        facts("Parameters", [(item["name"], cell(item["value"])) for item in run["params"]]),
        facts("Seeds", [(item["name"], cell(item["seed"])) for item in run["seeds"]]),
        facts("Settings that change bits", [(name, cell(value)) for name, value in flat(run["settings"] or {})]),
        table("Runs under this one", run["children"], cells=runs_in("child")),
        table("Goes on from", run["resumed"], cells={"digest": artifact, **runs_in("resumed_run_id")}),
        table("Gone on from it", run["resumed_by"], cells=runs_in("by_run")),
        table("Curriculum", run["curriculum"]),
        table("Events", run["events"]),
        table("Experience snapshots", run["experience_snapshots"], cells={"digest": artifact}),
        facts("Source", [(name.replace("_", " "), cell(value)) for name, value in source.items() if value]),
        facts(
            "Environment",
            [
                (name.replace("_", " "), cell(value))
                for name, value in environment.items()
                if name != "packages" and value not in (None, {})
            ],
        ),
        table("Packages that it used", run["used_packages"]),
        table("The machine meanwhile", run["system"]),
        table("Readings that failed", run["missing_readings"]),
        table("Where its time went", run["slowest_spans"]),
        *(console(item["stream"], item["text"]) for item in run["consoles"]),
    ]
    return "".join(parts)
