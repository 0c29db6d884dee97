"""``repro catalog``: rebuild, merge, check."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from repro_assets.cli.options import AsJson

app = typer.Typer(help="The catalog, a projection of the journal.")


@app.command()
def rebuild(as_json: AsJson = False) -> None:
    """Make the DuckDB file again from the whole journal."""
    from repro_assets.catalog.holdings import rebuild_counted
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_table

    done = rebuild_counted(here())
    if as_json:
        print_json(done)
    else:
        print_table([{"table": name, "rows": count} for name, count in done["tables"].items()])


@app.command()
def check(
    mend: Annotated[bool, typer.Option("--mend", help="Mend what can be; without this nothing is written.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most so many findings in each table; --json has all.")] = 20,
    as_json: AsJson = False,
) -> int:
    """Hold the catalog against the journal and Dagster's own storage: what is in one only, and why."""
    from repro_assets.cli.answering import here, readable, say
    from repro_assets.cli.rendering import print_json, print_line, print_table
    from repro_assets.errors import MachineError
    from repro_assets.orchestration.mending import check as checked

    done = checked(here() if mend else readable(), mended=mend)
    bad = MachineError.exit_code if done["not_looked_at"] and not done["damaged"] else 1
    code = 0 if done["ok"] else bad
    if as_json:
        print_json(done)
        return code
    for part in ("damaged", "mended", "only_in_dagster", "only_in_journal", "differing"):
        rows = done[part] if part == "damaged" else [_row(row) for row in done[part]]
        if rows:
            print_table(rows[:limit], title=f"\n{part.replace('_', ' ')} ({len(rows)})")
            if len(rows) > limit:
                say(f"{len(rows) - limit} more: --limit {len(rows)}")
    counted = ", ".join(f"{count} {kind}s" for kind, count in done["compared"].items())
    for part in done["not_looked_at"]:
        say(f"warning: {part['what']} was not looked at: {part['reason']}")
    if done["not_looked_at"]:
        print_line(f"{len(done['damaged'])} damaged files; nothing of Dagster's was compared")
    else:
        print_line(f"{'in agreement' if done['ok'] else 'not in agreement'}: {counted} of Dagster's compared")
    if not mend and any(row["mending"] for row in _all(done)):
        say("what can be mended is, with: repro catalog check --mend")
    return code


def _all(done: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for part in ("only_in_dagster", "only_in_journal", "differing") for row in done[part]]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    place = f"{row['asset'] or ''}[{row['partition']}]" if row["partition"] else row["asset"]
    return {
        "what": row["kind"],
        "Dagster's run": row["run_id"][:8],
        "asset": place,
        "name": row["name"],
        "harmless": row["harmless"],
        "reason": row["reason"],
        "mending": row["mending"] if row["why_not"] is None else f"none: {row['why_not']}",
    }


@app.command()
def merge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be merged, and touch nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge the journal's files whose writers are gone; it happens by itself when there are many."""
    from repro_assets.catalog import merging
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_table

    done = merging.merge(here(), dry_run=dry_run).document()
    if as_json:
        print_json(done)
    else:
        # What only the work itself can tell is left out where it was not done.
        unknown = {"points", "bytes_after", "merges"} if dry_run else set()
        print_table(
            [{"what": name.replace("_", " "), "value": value} for name, value in done.items() if name not in unknown]
        )
