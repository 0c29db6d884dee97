"""``repro runs``: list, show, compare, group, best, tag, note, delete."""

from __future__ import annotations

import enum
import sys
from typing import Annotated, Any

import typer

from repro_assets.cli.options import TIMES, AsJson, RunName, seconds_of

app = typer.Typer(help="Runs: list, show, compare and group them, find the best, tag and note them, delete some.")

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
    "tags",
    "note",
)
_LISTS = (
    "imported_from",
    "notes",
    "inputs",
    "undeclared_inputs",
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
_COLUMNS = {
    "slowest_spans": ("name", "kind", "seconds", "status", "started_at", "attributes"),
    "metrics": ("name", "value", "step", "smallest", "greatest", "best", "step_of_best", "points"),
}

_WHOLE = ("error", "command", "fresh_command", "note", "console")
"""What a terminal shows to its end: what a person came for, or copies."""


class Format(enum.StrEnum):
    """How groups are written."""

    table = "table"
    csv = "csv"
    latex = "latex"
    json = "json"


class LeftOut(enum.StrEnum):
    """What does not count in groups unless it is asked for."""

    trials = "trials"
    replays = "replays"
    deleted = "deleted"


@app.command("list")
def list_(
    where: Annotated[
        str | None,
        typer.Option(
            metavar="SQL",
            help="A condition over the columns of runs_wide; deleted runs are listed only where it names deleted.",
        ),
    ] = None,
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
        shown = [
            {**_row(row), "tags": row["tags"] or None, "note": row["note"] and row["note"].split("\n")[0]}
            for row in found
        ]
        print_table(shown, _LISTED)


@app.command()
def show(
    run: RunName,
    console: Annotated[
        bool, typer.Option("--console", help="Only what it wrote to stdout and stderr; of a parent, each run under it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the whole record of a run, with the command that runs it again."""
    from repro_assets.catalog.descriptions import show_run
    from repro_assets.cli.answering import settled
    from repro_assets.cli.rendering import cut, print_facts, print_json, print_table, seconds
    from repro_assets.wording import size

    if console:
        _show_console(run, as_json=as_json)
        return
    record = show_run(settled(), run)
    if as_json:
        print_json(record)
        return
    used = [f"{name} {version}" for name, version in record.pop("used_packages").items()]
    written = [f"{size(item['size'])} on {item['stream']}" for item in record.pop("consoles")]
    facts = {
        **_without(record, *_LISTS),
        "seconds": seconds(record["seconds"]),
        "used packages": used,
        "console": f"{', '.join(written)}: repro runs show {record['run_id']} --console" if written else None,
    }
    # A terminal has room for the beginning of what is long; a pipe gets all of it.
    cramped = sys.stdout.isatty()
    if cramped:
        facts = {name: value if name in _WHOLE else cut(value) for name, value in facts.items()}
    print_facts(facts, title=f"run {record['run_id']}")
    for name in _LISTS:
        if record[name]:
            rows = [{**row, "seconds": seconds(row["seconds"])} if "seconds" in row else row for row in record[name]]
            shown = record[name] if name == "slowest_spans" else rows
            print_table([_fitted(row) for row in shown] if cramped else shown, _COLUMNS.get(name), title=f"\n{name}")


def _fitted(values: dict[str, Any]) -> dict[str, Any]:
    """Return a row for a terminal: digests by their beginning, and of what is long the beginning."""
    from repro_assets.cli.rendering import cut, short

    return {
        name: short(value) if isinstance(value, str) and value.startswith("sha256:") else cut(value)
        for name, value in values.items()
    }


def _show_console(run: str, *, as_json: bool) -> None:
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.inspection.console import console_of
    from repro_assets.recording.console import readable
    from repro_assets.wording import size

    found = console_of(settled(), run)
    if as_json:
        print_json(found)
        return
    for item in found:
        cut = f", {size(item['left_out'])} left out" if item["left_out"] else ""
        where = {"record": "", "file": ", from the file", "gone": ": neither recorded nor in its file any more"}
        print_line(f"--- {item['name']} {item['stream']} ({size(item['size'])}{cut}){where[item['source']]}")
        if item["text"]:
            print_line(readable(item["text"].rstrip("\n")))
    if not found:
        say("nothing is on record: it wrote nothing, or to a terminal or a pipe")


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="A B...", help="Ids, names, last, last~1; two or more.")],
    as_json: AsJson = False,
) -> None:
    """Show only what differs between runs: parameters, metrics, packages, settings, hardware, inputs, code."""
    from repro_assets.cli.answering import settled
    from repro_assets.cli.comparing import print_comparison
    from repro_assets.cli.rendering import print_json
    from repro_assets.inspection.comparison import compare_runs

    found = compare_runs(settled(), runs)
    if as_json:
        print_json(found.document())
    else:
        print_comparison(found)


@app.command()
def group(
    by: Annotated[
        list[str], typer.Option(metavar="KEYS", help="Columns of runs_wide or hyperparameters; repeatable, or a,b.")
    ],
    metric: Annotated[list[str], typer.Option(metavar="M", help="Metrics; repeatable.")],
    where: Annotated[str | None, typer.Option(metavar="SQL", help="A condition over the columns of runs_wide.")] = None,
    include: Annotated[list[LeftOut] | None, typer.Option(help="What is left out otherwise; repeatable.")] = None,
    format: Annotated[Format, typer.Option(help="How the groups are written.")] = Format.table,
    as_json: AsJson = False,
) -> None:
    """Group runs, with seeds as replications: n, mean, spread and 95 % confidence interval of metrics."""
    from repro_assets.catalog.groups import group_runs
    from repro_assets.cli.answering import settled
    from repro_assets.cli.comparing import print_groups
    from repro_assets.errors import InvalidValue

    if as_json and format not in (Format.table, Format.json):
        raise InvalidValue(f"--json and --format {format.value} exclude each other", "give one")
    keys = [key.strip() for given in by for key in given.split(",") if key.strip()]
    rows = group_runs(settled(), keys, metric, include=[each.value for each in include or ()], where=where)
    print_groups(rows, keys, "json" if as_json else format.value)


@app.command()
def best(
    metric: Annotated[str, typer.Argument(help="Name of a metric.")],
    mode: Annotated[str | None, typer.Option(help="max or min; by the metric's name if left out.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List completed runs by the last value of a metric, best first."""
    from repro_assets.catalog import queries
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.rendering import print_json, print_table
    from repro_assets.metric_direction import is_told

    found = queries.best_runs(settled(), metric, mode, limit)
    if as_json:
        print_json(found)
    else:
        print_table([_row(row) for row in found])
    if mode is None and found and not is_told(metric):
        say(f"the greatest {metric} is taken for the best; for the least: --mode min")


def _row(row: dict[str, Any]) -> dict[str, Any]:
    from repro_assets.cli.rendering import seconds, short

    return {
        **row,
        "commit": short(row["commit"]),
        "trial": row["trial"] or None,
        "seconds": seconds(row["seconds"]),
    }


# No short option is known, so that -h or -v may be a tag that is taken away.
@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
def tag(
    run: RunName,
    changes: Annotated[list[str], typer.Argument(metavar="+TAG|-TAG...", help="+a gives the tag a, -b takes b away.")],
    as_json: AsJson = False,
) -> None:
    """Give tags to a run, or take some away; who did it when is on record."""
    from repro_assets.cli.answering import here, say
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.errors import InvalidValue
    from repro_assets.recording.annotations import tag_run

    for word in changes:
        if word[0] not in "+-" or word.startswith("--"):
            raise InvalidValue(f"{word!r} says neither", f"write +{word.lstrip('-')} or -{word.lstrip('-')}")
    added, removed = ([word[1:] for word in changes if word[0] == sign] for sign in "+-")
    done = tag_run(here(), run, added, removed)
    if as_json:
        print_json(done)
        return
    print_line(", ".join(done["tags"]))
    if not (done["added"] or done["removed"]):
        say("nothing changed")


@app.command()
def note(
    run: RunName,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="The note; it replaces the one before.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take the note away; it stays on record.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a note about a run; who did it when is on record, and so are the notes before."""
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_line
    from repro_assets.errors import InvalidValue
    from repro_assets.recording.annotations import note_run

    if (text is None) != clear:
        raise InvalidValue("there is no note" if text is None else "TEXT and --clear exclude each other", "give one")
    done = note_run(here(), run, text or "")
    if as_json:
        print_json(done)
    else:
        print_line(done["note"] or "")


@app.command()
def delete(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Ids, names, last, last~1.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"Those that ended so long ago, of RUN... if given: {TIMES}.")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="But for the newest so many of each asset and partition.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Those with this tag; repeatable.")] = None,
    except_tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="But for those with this tag; repeatable.")
    ] = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="Also the versions that they claimed, but for those with an alias.")
    ] = False,
    really: Annotated[
        bool, typer.Option("--delete", help="Delete what a rule chooses among all runs; without this it only tells.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell, also of runs that are named.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete runs: what only they keep can be collected. Their records stay.

    Runs that are named are deleted at once; what a rule chooses among all only with --delete.
    """
    from repro_assets.artifacts.policy import RunRule
    from repro_assets.catalog.deletion import delete_runs
    from repro_assets.cli.answering import say, settled
    from repro_assets.cli.rendering import print_json, print_table
    from repro_assets.errors import InvalidValue
    from repro_assets.wording import size

    if really and dry_run:
        raise InvalidValue("--delete and --dry-run exclude each other", "give one")
    age = None if older_than is None else seconds_of(older_than)
    rule = RunRule(age, keep_last, tag or [], except_tag or [])
    given = rule if rule.chooses or rule.except_tags else None
    telling = dry_run or not (runs or really)
    done = delete_runs(settled(), runs or [], given, versions=versions, dry_run=telling)
    if as_json:
        print_json(done)
    else:
        if done["runs"] or not done["deleted_before"]:
            print_table(done["runs"], ("run_id", "name", "state", "ended_at"))
        for row in done["deleted_before"]:
            say(f"run {row['run_id']} is deleted already, since {row['deleted_at']:%Y-%m-%d %H:%M:%S} UTC")
        free = size(done["bytes"])
        say(f"{'would let' if telling else 'lets'} go of {free}, freed by: repro store gc --delete")
        if telling:
            say("nothing was deleted" + ("" if dry_run else "; the same command with --delete does it"))


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}
