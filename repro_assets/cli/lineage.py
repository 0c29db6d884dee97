"""``repro lineage``: show, paths, common, impact, validate, export."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from repro_assets.cli.options import AsJson
from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    from repro_assets.lineage.graph import Graph

_Format = TypeVar("_Format", bound=enum.StrEnum)

app = typer.Typer(help="Which artifact came from which, version by version.")

NodeName = Annotated[str, typer.Argument(metavar="ARTIFACT|RUN", help="An artifact or a run, by any of its names.")]
Upstream = Annotated[bool, typer.Option("--upstream", help="Only what it came from.")]
Downstream = Annotated[bool, typer.Option("--downstream", help="Only what came from it.")]
Depth = Annotated[int | None, typer.Option(min=0, help="At most so many edges away.")]


class Shown(enum.StrEnum):
    """How a part of the lineage is written."""

    tree = "tree"
    table = "table"
    dot = "dot"
    mermaid = "mermaid"
    json = "json"


class Drawn(enum.StrEnum):
    """How paths are written: themselves, or all that lies between as a graph."""

    table = "table"
    dot = "dot"
    mermaid = "mermaid"
    json = "json"


@app.command()
def show(
    name: NodeName,
    upstream: Upstream = False,
    downstream: Downstream = False,
    depth: Depth = None,
    format: Annotated[Shown, typer.Option(help="How it is written.")] = Shown.tree,
    as_json: AsJson = False,
) -> None:
    """Show what an artifact or a run came from, and what came from it."""
    from repro_assets.cli.answering import settled
    from repro_assets.cli.lineage_tree import rows_of, tree_of
    from repro_assets.cli.rendering import print_json, print_table, print_tree
    from repro_assets.lineage.reading import lineage_of
    from repro_assets.lineage.rendering import render, to_document

    format = _only_one(as_json, format, Shown.tree, Shown.json)
    both = upstream == downstream
    key, graph = lineage_of(settled(), name, upstream=upstream or both, downstream=downstream or both, depth=depth)
    if format is Shown.json:
        print_json({"root": key, **to_document(graph)})
    elif format is Shown.table:
        print_table(rows_of(graph, key, upstream=upstream or both, downstream=downstream or both))
    elif format is not Shown.tree:
        sys.stdout.write(render(graph, format.value))
    else:
        if upstream or both:
            print_tree(tree_of(graph, key, upstream=True))
        if downstream or both:
            print_tree(tree_of(graph, key, upstream=False))


@app.command()
def paths(
    start: Annotated[str, typer.Argument(metavar="FROM", help="An artifact or a run.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="An artifact or a run that came from it.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many paths.")] = 10,
    format: Annotated[Drawn, typer.Option(help="table, json, or all that lies between as dot or mermaid.")] = (
        Drawn.table
    ),
    as_json: AsJson = False,
) -> None:
    """Show the shortest paths from one artifact or run to another, in the direction in which the data went."""
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.lineage.graph import COUNTED
    from repro_assets.lineage.reading import read_graph, resolve_node
    from repro_assets.lineage.rendering import render

    format = _only_one(as_json, format, Drawn.table, Drawn.json)
    home = settled()
    graph = read_graph(home)
    first, last = resolve_node(home, graph, start), resolve_node(home, graph, end)
    found = graph.paths(first, last, limit)
    between = graph.between(first, last)
    if format in (Drawn.dot, Drawn.mermaid):
        sys.stdout.write(render(between, format.value))
        return
    other_way = first != last and found.steps is None and graph.paths(last, first, 1).steps is not None
    if format is Drawn.json:
        print_json(
            {
                "from": first,
                "to": last,
                "steps": found.steps,
                "paths": found.ways,
                "total": found.total,
                "more": found.more,
                "between": len(between.nodes),
                "other_way": other_way,
            }
        )
        return
    if found.steps is None:
        print_line(f"nothing went from {start} to {end}{', but there is a way back' if other_way else ''}")
        return
    for way in found.ways:
        print_table([{"step": step, **_described(graph, key)} for step, key in enumerate(way)])
    known = "at least " if found.total == COUNTED else ""
    print_line(
        f"{len(found.ways)} of {known}{found.total} shortest paths, {found.steps} steps each; "
        f"{len(between.nodes)} nodes lie on the way, see --format dot"
    )


@app.command()
def common(
    first: Annotated[str, typer.Argument(metavar="ONE", help="An artifact or a run.")],
    second: Annotated[str, typer.Argument(metavar="OTHER", help="An artifact or a run.")],
    every: Annotated[bool, typer.Option("--all", help="Not only the lowest: all that both came from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the nearest things that two artifacts or runs both came from."""
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.lineage.reading import read_graph, resolve_node

    home = settled()
    graph = read_graph(home)
    one, other = resolve_node(home, graph, first), resolve_node(home, graph, second)
    found = graph.common_ancestors(one, other)
    shown = [item for item in found if item.lowest or every]
    if as_json:
        ancestors = [{**item._asdict(), **_named(graph, item.key)} for item in shown]
        print_json({"one": one, "other": other, "common": ancestors, "total": len(found)})
        return
    if not found:
        print_line(f"{first} and {second} have nothing in common that they came from")
        return
    print_table(
        [
            {**_described(graph, item.key), "steps to one": item.to_first, "steps to other": item.to_second}
            for item in shown
        ]
    )
    if len(shown) < len(found):
        print_line(f"{len(found) - len(shown)} more, which these came from, with --all")


@app.command()
def impact(name: NodeName, depth: Depth = None, as_json: AsJson = False) -> None:
    """Show what would be touched if an artifact or a run were wrong, and which aliases name it."""
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_facts, print_json, print_table, short
    from repro_assets.lineage.impact import impact_of

    found = impact_of(settled(), name, depth)
    if as_json:
        print_json(found.document())
        return
    parts = {"aliases": found.aliases, "evaluations": found.evaluations, "artifacts": found.artifacts}
    counts = {part: len(rows) for part, rows in {**parts, "runs": found.runs}.items()}
    print_facts({"of": found.root, **counts}, title=f"downstream of {found.name}, itself included")
    for part, rows in parts.items():
        if rows:
            lines = [{**row, "digest": short(row["digest"])} if "digest" in row else row for row in rows]
            print_table(lines, title=part)
    if found.runs:
        print_table(found.runs, ("run_id", "name", "asset", "state", "replay_of", "steps"), title="runs")


@app.command()
def validate(as_json: AsJson = False) -> int:
    """Look for cycles, missing parents and artifacts whose bytes are gone; exit code 1 if there are any."""
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_facts, print_json, print_line
    from repro_assets.lineage import validation

    report = validation.validate(settled())
    if as_json:
        print_json(report.document())
    else:
        print_facts(report.stats)
        for cycle in report.cycles:
            print_line(f"cycle: {' -> '.join([*cycle, cycle[0]])}")
        for said, items in (
            ("missing", report.missing),
            ("bytes gone", report.bytes_gone),
            ("read without a record", report.unrecorded),
            ("orphan", report.orphans),
        ):
            for item in items:
                print_line(f"{said}: {item}")
        print_line("valid" if report.valid else "NOT VALID")
    return 0 if report.valid else 1


@app.command()
def export(
    format: Annotated[str, typer.Option(help="dot, mermaid, json, or openlineage: events of all runs.")] = "json",
    output: Annotated[Path | None, typer.Option(help="A file; stdout if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole lineage graph in a format of another program."""
    from repro_assets.cli.answering import settled
    from repro_assets.lineage.reading import read_graph
    from repro_assets.lineage.rendering import FORMATS, render
    from repro_assets.store.outside import write

    formats = (*FORMATS, "openlineage")
    if format not in formats:
        raise InvalidValue(f"{format!r} is not a format of lineage", f"one of {', '.join(formats)}")
    if as_json and output is None and format != "json":
        raise InvalidValue(f"--json and --format {format} exclude each other on stdout", "give --output FILE")
    if format == "openlineage":
        from repro_assets.interchange.exports.lineage_events import lines
        from repro_assets.interchange.exports.openlineage import whole_lineage

        runs, events = whole_lineage(settled())
        text, counts = b"".join(lines(events)).decode(), {"runs": runs, "events": len(events)}
    else:
        graph = read_graph(settled())
        text, counts = render(graph, format), {"nodes": len(graph.nodes), "edges": len(graph.edges)}
    if output is None:
        sys.stdout.write(text)
        return
    write(output, text.encode())
    if as_json:
        from repro_assets.cli.rendering import print_json

        print_json({"path": output, "format": format, **counts})


def _only_one(as_json: bool, format: _Format, usual: _Format, json: _Format) -> _Format:
    """Return the format; ``--json`` is one, too, and excludes any other that was asked for."""
    if as_json and format not in (usual, json):
        raise InvalidValue(f"--json and --format {format} exclude each other", "give one of them")
    return json if as_json else format


def _named(graph: Graph, key: str) -> Mapping[str, Any]:
    return {"kind": graph.nodes[key].kind, "name": graph.nodes[key].name}


def _described(graph: Graph, key: str) -> Mapping[str, Any]:
    from repro_assets.cli.lineage_tree import mark

    return {**_named(graph, key), "id": mark(graph.nodes[key])}
