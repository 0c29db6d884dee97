"""``repro runs``: list, show, best, delete."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from repro_assets.cli.options import TIMES, AsJson, RunName, seconds_of

app = typer.Typer(help="Runs: list them, show one, find the best, delete some.")

_LISTED = (
    "run_id",
    "name",
    "asset",
    "partition",
    "state",
    "seed",
    "trial",
    "replay_of",
    "commit",
    "started_at",
    "seconds",
)
_LISTS = (
    "inputs",
    "outputs",
    "metrics",
    "system",
    "slowest_spans",
    "checkpoints",
    "resumed",
    "resumed_by",
    "experience_snapshots",
    "evaluations",
    "curriculum",
    "checks",
    "replays",
    "children",
)
_COLUMNS = {"slowest_spans": ("name", "kind", "seconds", "status", "started_at", "attributes")}


@app.command("list")
def list_(
    where: Annotated[str | None, typer.Option(metavar="SQL", help="A condition over the columns of runs_wide.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    from repro_assets.catalog import queries
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_json, print_table

    found = queries.list_runs(settled(), where, limit)
    if as_json:
        print_json(found)
    else:
        print_table([_row(row) for row in found], _LISTED)


@app.command()
def show(run: RunName, as_json: AsJson = False) -> None:
    """Show the whole record of a run, with the command that runs it again."""
    from repro_assets.catalog.descriptions import show_run
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_facts, print_json, print_table, seconds

    record = show_run(settled(), run)
    if as_json:
        print_json(record)
        return
    used = [f"{name} {version}" for name, version in record.pop("used_packages").items()]
    facts = {**_without(record, *_LISTS), "seconds": seconds(record["seconds"]), "used packages": used}
    print_facts(facts, title=f"run {record['run_id']}")
    for name in _LISTS:
        if record[name]:
            rows = [{**row, "seconds": seconds(row["seconds"])} if "seconds" in row else row for row in record[name]]
            print_table(record[name] if name == "slowest_spans" else rows, _COLUMNS.get(name), title=f"\n{name}")


@app.command()
def best(
    metric: Annotated[str, typer.Argument(help="Name of a metric.")],
    mode: Annotated[str | None, typer.Option(help="max or min; by the metric's name if left out.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List completed runs by the last value of a metric, best first."""
    from repro_assets.catalog import queries
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import print_json, print_table

    found = queries.best_runs(settled(), metric, mode, limit)
    if as_json:
        print_json(found)
    else:
        print_table([_row(row) for row in found])


def _row(row: dict[str, Any]) -> dict[str, Any]:
    from repro_assets.cli.rendering import seconds, short

    return {
        **row,
        "commit": short(row["commit"]),
        "trial": row["trial"] or None,
        "seconds": seconds(row["seconds"]),
    }


@app.command()
def delete(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Ids, names, last, last~1.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"Those that ended so long ago, of RUN... if given: {TIMES}.")
    ] = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="Also the versions that they claimed, but for those with an alias.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete runs: what only they keep can be collected. Their records stay."""
    from repro_assets.catalog.deletion import delete_runs
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.rendering import print_json, print_table, size

    age = None if older_than is None else seconds_of(older_than)
    done = delete_runs(settled(), runs or [], age, versions=versions, dry_run=dry_run)
    if as_json:
        print_json(done)
    else:
        print_table(done["runs"], ("run_id", "name", "state", "ended_at"))
        free = size(done["bytes"])
        say(f"{'would let' if dry_run else 'lets'} go of {free}, freed by: repro store gc --delete")


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}
