"""``repro store``: du, gc, policy, evict."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro_assets.cli.options import TIMES, AsJson, seconds_of

if TYPE_CHECKING:
    from repro_assets.artifacts.eviction import Candidate


def du(
    limit: Annotated[int, typer.Option(min=0, help="At most so many of each kind in the table.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what deleting each collection, version and run would free."""
    from repro_assets.artifacts.room import measure_uses
    from repro_assets.cli.answering import here
    from repro_assets.cli.rendering import print_json, print_table
    from repro_assets.wording import size

    found = measure_uses(here())
    if as_json:
        print_json([dataclasses.asdict(use) for use in found])
        return
    for kind in ("collection", "version", "run"):
        rows = [use for use in found if use.kind == kind]
        if rows:
            print_table(
                [
                    {
                        kind: use.name,
                        "frees": size(use.bytes),
                        "with its versions": size(use.with_versions),
                        "uses": size(use.uses),
                    }
                    for use in rows[:limit]
                ],
                (kind, "frees", "with its versions", "uses"),
            )


def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Do it; without this it only tells.")] = False,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help=f"How long a thing stays in place, and then in the trash: {TIMES}.")
    ] = "24h",
    now: Annotated[bool, typer.Option("--now", help="Without any grace: for a full disk.")] = False,
    as_json: AsJson = False,
) -> None:
    """Collect what no version, alias or run keeps; tells what could go unless --delete is given."""
    from repro_assets.artifacts.kinds import DECODERS
    from repro_assets.artifacts.retention import roots_of
    from repro_assets.cli.answering import here, say
    from repro_assets.cli.rendering import print_facts, print_json
    from repro_assets.store.collection import collect
    from repro_assets.store.opening import open_objects
    from repro_assets.wording import size

    home, seconds = here(), seconds_of(grace)
    done = collect(open_objects(home, DECODERS), lambda: roots_of(home), delete=delete, grace=seconds, now=now)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    print_facts(
        {
            "nothing keeps": f"{done.objects} objects, {size(done.bytes)}",
            "too young": f"{done.young_objects} objects, {size(done.young_bytes)}" if done.young_objects else None,
            "moved to the trash": done.moved or None,
            "moved back": done.restored or None,
            "freed": f"{done.freed_objects} objects, {size(max(0, done.freed_bytes - done.written_bytes))}"
            if delete
            else None,
        }
    )
    for pack in done.kept_packs:
        say(f"the pack {pack['pack']} was left as it is: {pack['reason']}")
    if not delete:
        say("nothing was touched; repro store gc --delete does it")


def evict(
    reproducible: Annotated[
        bool, typer.Option("--reproducible", help="Products whose run was replayed, and was identical.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop bytes that a replay is known to make again; artifacts get --rebuild brings them back."""
    from repro_assets.artifacts.eviction import evict_reproducible
    from repro_assets.cli.answering import here, say
    from repro_assets.cli.rendering import print_json, print_table, short
    from repro_assets.errors import InvalidValue
    from repro_assets.wording import size

    if not reproducible:
        raise InvalidValue("nothing says what to evict", "give --reproducible")
    done = evict_reproducible(here(), dry_run=dry_run)
    if as_json:
        print_json({**dataclasses.asdict(done), "artifacts": [_row(item) for item in done.artifacts]})
        return
    if done.artifacts:
        print_table(
            [{**_row(item), "digest": short(item.digest)} for item in done.artifacts], ("name", "digest", "run_id")
        )
    say(f"{len(done.artifacts)} artifacts, {size(max(0, done.bytes))} {'would be ' if dry_run else ''}freed")


class Action(StrEnum):
    """What to do with the rules."""

    SHOW = "show"
    SET = "set"
    APPLY = "apply"


def policy(
    action: Annotated[Action, typer.Argument(help="show, set or apply.")] = Action.SHOW,
    collection: Annotated[str, typer.Option(metavar="PATTERN", help="Collections, as in model-*.")] = "*",
    keep_last: Annotated[
        int | None, typer.Option(metavar="N", help="Keep so many versions of each; 0 keeps all again.")
    ] = None,
    checkpoints_last: Annotated[
        int | None, typer.Option(metavar="N", help="Keep the last so many checkpoints of each run; -1 keeps all again.")
    ] = None,
    checkpoints_best: Annotated[
        str | None, typer.Option(metavar="METRIC", help="Keep the best checkpoint by a metric; none for no such rule.")
    ] = None,
    runs_older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"Runs that ended so long ago go: {TIMES}.")
    ] = None,
    runs_last: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="But for the newest so many of each asset and partition.")
    ] = None,
    runs_tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Of runs, those with this tag.")] = None,
    runs_except_tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Of runs, none with this tag.")
    ] = None,
    runs_all: Annotated[bool, typer.Option("--runs-all", help="Keep all runs again.")] = False,
    mode: Annotated[str, typer.Option(help="min or max: which value of the metric is best.")] = "min",
    delete: Annotated[bool, typer.Option("--delete", help="With apply: do it; without this it only tells.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show, set or apply the rules that say which versions, checkpoints and runs are kept.

    The rule of runs is set as a whole: what is left out is no part of it.
    """
    from repro_assets.artifacts import deletion
    from repro_assets.artifacts import policy as rules
    from repro_assets.artifacts.retention import read_ledger
    from repro_assets.artifacts.room import Room
    from repro_assets.catalog.deletion import plan_of_policy
    from repro_assets.cli.answering import here, say, settled
    from repro_assets.cli.rendering import print_facts, print_json, print_line, print_table
    from repro_assets.errors import InvalidValue
    from repro_assets.wording import size

    age = None if runs_older_than is None else seconds_of(runs_older_than)
    asked = rules.RunRule(age, runs_last, runs_tag or [], runs_except_tag or [])
    if asked.except_tags and not asked.chooses:
        raise InvalidValue(
            "--runs-except-tag says only what stays", "give --runs-older-than, --runs-last or --runs-tag"
        )
    if asked.chooses and runs_all:
        raise InvalidValue("--runs-all and a rule of runs exclude each other", "give one")
    of_runs = asked if asked.chooses or runs_all else None
    if action is Action.SET and (keep_last, checkpoints_last, checkpoints_best, of_runs) == (None, None, None, None):
        raise InvalidValue("no rule is given, so nothing would be set", "give --keep-last N, for example")
    home = here()
    found = rules.read_policy(home)
    if action is Action.SET:
        found = rules.changed(found, collection, keep_last, checkpoints_last, checkpoints_best, mode, of_runs)
        rules.write_policy(home, found)
    if action is not Action.APPLY:
        if as_json:
            print_json(found.document())
        else:
            facts: dict[str, Any] = {f"versions of {name}": f"the last {n}" for name, n in found.collections.items()}
            kept = dataclasses.asdict(found.checkpoints)
            if found.checkpoints.metric is None:
                del kept["mode"]
            facts |= {f"checkpoints: {name}": value for name, value in kept.items() if value is not None}
            if found.runs.chooses:
                of_rule = dataclasses.asdict(found.runs)
                facts |= {f"runs that go: {name}": value for name, value in of_rule.items() if value not in (None, [])}
            if facts:
                print_facts(facts)
            else:
                print_line("no rules: everything is kept")
        return
    # Which runs have ended, Dagster may have to be asked.
    home = settled() if found.runs.chooses else home
    ledger = read_ledger(home)
    chosen = plan_of_policy(home, found, ledger)
    freed, objects = Room(home, ledger).freed(chosen)
    if delete:
        deletion.execute(home, chosen, ledger)
    document = {
        "dry_run": not delete,
        "runs": sorted(chosen.runs),
        "versions": [f"{name}:v{number}" for name, number in sorted(chosen.versions)],
        "checkpoints": [f"{run}/{name}" for run, name in sorted(chosen.checkpoints)],
        "objects": objects,
        "bytes": freed,
    }
    if as_json:
        print_json(document)
        return
    for title in ("runs", "versions", "checkpoints"):
        names = document[title]
        if isinstance(names, list) and names:
            print_table([{title: name} for name in names])
    say(f"{'lets' if delete else 'would let'} go of {size(freed)}, freed by: repro store gc --delete")


def _row(item: Candidate) -> dict[str, str]:
    return {"name": item.name, "digest": str(item.digest), "run_id": item.run_id, "replay": item.replay}
