"""``repro lineage``: show, validate, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from repro_assets.cli.options import AsJson
from repro_assets.errors import InvalidValue, from_os_error

app = typer.Typer(help="Which artifact came from which, version by version.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ARTIFACT|RUN", help="What to start from.")],
    upstream: Annotated[bool, typer.Option("--upstream", help="Only what it came from.")] = False,
    downstream: Annotated[bool, typer.Option("--downstream", help="Only what came from it.")] = False,
    depth: Annotated[int | None, typer.Option(min=0, help="At most so many edges away.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an artifact or a run came from, and what came from it."""
    from repro_assets.cli.answering import settled
    from repro_assets.cli.lineage_tree import tree_of
    from repro_assets.cli.rendering import print_json, print_tree
    from repro_assets.lineage.graph import lineage_of
    from repro_assets.lineage.rendering import to_document

    both = upstream == downstream
    key, graph = lineage_of(settled(), name, upstream=upstream or both, downstream=downstream or both, depth=depth)
    if as_json:
        print_json({"root": key, **to_document(graph)})
        return
    if upstream or both:
        print_tree(tree_of(graph, key, upstream=True))
    if downstream or both:
        print_tree(tree_of(graph, key, upstream=False))


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
        print_facts({**report.stats, "orphans": len(report.orphans), "bytes gone": len(report.bytes_gone)})
        for cycle in report.cycles:
            print_line(f"cycle: {' -> '.join([*cycle, cycle[0]])}")
        for item in report.missing:
            print_line(f"missing: {item}")
        for item in report.bytes_gone:
            print_line(f"bytes gone: {item}")
        print_line("valid" if report.valid else "NOT VALID")
    return 0 if report.valid else 1


@app.command()
def export(
    format: Annotated[str, typer.Option(help="dot, mermaid or json.")] = "json",
    output: Annotated[Path | None, typer.Option(help="A file; stdout if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole lineage graph in a format of another program."""
    from repro_assets.cli.answering import settled
    from repro_assets.lineage.graph import read_graph
    from repro_assets.lineage.rendering import FORMATS, render

    if format not in FORMATS:
        raise InvalidValue(f"{format!r} is not a format of lineage", f"one of {', '.join(FORMATS)}")
    if as_json and output is None and format != "json":
        raise InvalidValue(f"--json and --format {format} exclude each other on stdout", "give --output FILE")
    graph = read_graph(settled())
    text = render(graph, format)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise from_os_error(error, output) from error
    if as_json:
        from repro_assets.cli.rendering import print_json

        print_json({"path": output, "format": format, "nodes": len(graph.nodes), "edges": len(graph.edges)})
