"""What a paper takes from a store: the table of results, a plot, and the appendix that says how to reproduce them.

Laws: only runs that completed count, and neither trials nor replays; a number is a mean over runs that differ in the
seed alone, beside how many they are; every run behind a number is in the appendix, with its command, seed, digests and
environment, and with the verdict of its newest replay, or that there is none.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from repro_assets.catalog.queries import Rows
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.inspection.latex import escape, mean_and_spread, tabular, typed
from repro_assets.report.columns import INTERVAL
from repro_assets.report.groups import Group, group_runs
from repro_assets.report.points import Curve
from repro_assets.report.reading import Reading

SHOWN = 5
"""Metrics in a table, where none are named."""
PANELS = 6
"""Metrics in the plot, at most."""
Values = dict[str, list[float]]


def paper_files(reading: Reading, curves: Iterable[Curve], metrics: Sequence[str]) -> dict[str, bytes]:
    """Return the files of a paper by name: ``results.tex``, ``curves.pdf`` and ``reproduce.tex``.

    Parameters
    ----------
    reading : Reading
        Runs and what belongs to them.
    curves : iterable of Curve
        Points of these runs.
    metrics : sequence of str
        Metrics of table and plot; the main ones of each asset if empty.

    Raises
    ------
    UnknownName
        If no run that counts has one of `metrics`.
    InvalidValue
        If no run that counts has a metric at all.
    """
    from repro_assets.report.plot import plot

    groups = [
        Group(group.label, group.subject, group.differing, counting)
        for group in group_runs([run for run in reading.runs if counts(run)])
        if (counting := [run for run in group.runs if run["metrics"]])
    ]
    if not groups:
        raise InvalidValue("no completed run with a metric is among these", "name other runs, or leave out --paper")
    _known(groups, metrics)
    tables = _by_subject(groups, metrics)
    runs = [run for of_subject, _ in tables.values() for group in of_subject for run in group.runs]
    wanted = list(metrics) or _commonest(chosen for _, chosen in tables.values())
    shown = [group for of_subject, _ in tables.values() for group in of_subject]
    return {
        "results.tex": _results(tables).encode(),
        "curves.pdf": plot(shown, [curve for curve in curves if curve.name in wanted], wanted[:PANELS]),
        "reproduce.tex": _appendix(reading, runs).encode(),
    }


def counts(run: Mapping[str, Any]) -> bool:
    """Whether a run is a result: completed, no parent run, no trial and no replay."""
    return run["state"] == "COMPLETED" and run["run_kind"] != "parent" and not run["trial"] and not run["replay_of"]


def last_values(group: Group) -> Values:
    """Return the last values of each metric over the runs of a group."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for run in group.runs:
        for item in run["metrics"]:
            found[item["name"]].append(item["value"])
    return dict(found)


def _known(groups: Sequence[Group], metrics: Sequence[str]) -> None:
    names = sorted({name for group in groups for name in last_values(group)})
    for metric in metrics:
        if metric not in names:
            near = difflib.get_close_matches(metric, names, n=3)
            remedy = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names[:10])}"
            raise UnknownName(f"no completed run has a metric named {metric!r}", remedy)


def _by_subject(groups: Sequence[Group], metrics: Sequence[str]) -> dict[str, tuple[list[Group], list[str]]]:
    found: defaultdict[str, list[Group]] = defaultdict(list)
    for group in groups:
        found[group.subject].append(group)
    tables = {}
    for subject in sorted(found):
        has = {name for group in found[subject] for name in last_values(group)}
        chosen = [name for name in metrics if name in has] if metrics else _main(has)
        if chosen:
            tables[subject] = (sorted(found[subject], key=lambda group: group.label), chosen)
    return tables


def _main(names: Iterable[str]) -> list[str]:
    def rank(name: str) -> tuple[bool, int, str]:
        measured = "/" not in name or any(word in name for word in ("validation", "test", "eval"))
        return (not measured, name.count("/"), name)

    return sorted((name for name in names if not INTERVAL.search(name)), key=rank)[:SHOWN]


def _commonest(lists: Iterable[list[str]]) -> list[str]:
    counted = Counter(name for names in lists for name in names)
    return sorted(counted, key=lambda name: (-counted[name], name))[:PANELS]


def _results(tables: Mapping[str, tuple[list[Group], list[str]]]) -> str:
    text = ["% Made by repro report --paper. It needs no package.\n"]
    for number, (subject, (groups, metrics)) in enumerate(tables.items(), 1):
        settings = sorted({name for group in groups for name in group.differing})
        head = [*(escape(name) for name in settings or ["what"]), "$n$", *(escape(name) for name in metrics)]
        rows = []
        for group in groups:
            values = last_values(group)
            named = [escape(group.differing.get(name, "")) for name in settings] or [escape(subject)]
            cells = [mean_and_spread(values[name]) if name in values else "" for name in metrics]
            rows.append([*named, str(len(group.runs)), *cells])
        caption = (
            rf"{escape(subject)}: mean $\pm$ sample standard deviation of the last values over the $n$ runs "
            "that differ in the seed alone."
        )
        text.append(tabular(head, rows, caption, f"repro-{number}", max(len(settings), 1)))
    return "\n".join(text)


def _appendix(reading: Reading, runs: Rows) -> str:
    lines = [
        "% Made by repro report --paper. It needs no package.",
        r"\section*{How to reproduce}",
        "Each run below is executed again, and its products compared bit by bit, by the command beside it, in a store "
        "that holds the run. A digest is the SHA-256 of an artifact's manifest.",
        "",
    ]
    for run in runs:
        lines += _of_run(run)
    lines += [r"\subsection*{Environments}"]
    used = {run["environment"] for run in runs if run["environment"]}
    for digest in sorted(used):
        lines += _of_environment(digest, reading.environments.get(digest, {}), runs)
    return "\n".join(lines) + "\n"


def _of_run(run: Mapping[str, Any]) -> list[str]:
    command = run["command"] or run["fresh_command"]
    verdict = run["verdict"]
    dirty = {True: ", with uncommitted changes", False: "", None: ""}[run["dirty"]]
    items = [
        ("command", typed(command) if command else "none: its source or its code location is not on record"),
        ("run", typed(run["run_id"])),
        ("seed", escape(run["seed"])),
        ("commit", f"{typed(run['commit'])}{dirty}" if run["commit"] else None),
        ("source tree", typed(run["source"]) if run["source"] else None),
        ("environment", typed(run["environment"]) if run["environment"] else None),
        ("device", escape(run["device"]) if run["device"] else None),
        *((f"input {escape(item['slot'])}", typed(item["digest"])) for item in run["inputs"]),
        *((f"output {escape(item['slot'])}", typed(item["digest"])) for item in run["outputs"]),
        ("seeds drawn from it", ", ".join(f"{escape(item['name'])} {item['seed']}" for item in run["seeds"])),
        ("replayed", escape(verdict.replace("_", " ")) if verdict else "not yet"),
    ]
    return [
        rf"\subsection*{{{escape(run['name'] or run['run_id'])}}}",
        r"\begin{description}",
        *(rf"  \item[{name}] {value}" for name, value in items if value),
        r"\end{description}",
        "",
    ]


def _of_environment(digest: str, environment: Mapping[str, Any], runs: Rows) -> list[str]:
    used = {
        (item["name"], item["version"]) for run in runs if run["environment"] == digest for item in run["used_packages"]
    }
    packages = sorted(used or environment.get("packages", []), key=lambda package: package[0].lower())
    facts = ("python", "torch", "cuda", "os", "cpu", "gpu", "memory_bytes")
    items = [(name.replace("_", " "), escape(environment[name])) for name in facts if environment.get(name)]
    which = "packages used" if used else "packages installed"
    items.append((which, ", ".join(escape(f"{name} {version}") for name, version in packages)))
    return [
        r"\paragraph{" + typed(digest) + "}",
        r"\begin{description}",
        *(rf"  \item[{name}] {value}" for name, value in items if value),
        r"\end{description}",
        "",
    ]
