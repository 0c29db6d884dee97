"""What a list of artifacts calls one leads to it."""

from __future__ import annotations

import pytest

from repro_assets.catalog import queries
from repro_assets.catalog.naming import resolve_artifact
from repro_assets.errors import AmbiguousName, UnknownName
from repro_assets.journal.run_records import RunStarted
from repro_assets.lineage.reading import lineage_of
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import new_run_id


def _made(home, *outputs: tuple[str, str]) -> str:
    run = begin(home, RunStarted(new_run_id(), "command", "made"))
    for slot, value in outputs:
        run.log_output(slot, value, name=f"{run.run_id}/{slot}")
    run.end()
    return run.run_id


def test_what_belongs_to_a_run_is_found_by_the_name_that_is_shown_for_it(home):
    run = _made(home, ("o.txt", "one"), ("deep/er/o.txt", "two"))
    shown = {row["name"] for row in queries.rows(home, "SELECT name FROM artifact_names")}
    assert shown == {f"{run}/o.txt", f"{run}/deep/er/o.txt"}
    for name in shown:
        found = resolve_artifact(home, name)
        assert lineage_of(home, name)[0] == str(found.digest)
        assert (found.name, found.run_id) == (name, run)
    assert resolve_artifact(home, f"{run[:8]}/deep/er/o.txt").load() == "two"
    # Less of an id than 8 digits is the path of a file.
    with pytest.raises(UnknownName):
        resolve_artifact(home, f"{run[:7]}/o.txt")


def test_of_two_under_one_name_both_digests_are_told(home):
    run = _made(home, ("o.txt", "one"), ("o.txt", "two"))
    digests = [row["digest"] for row in queries.rows(home, "SELECT digest FROM run_outputs")]
    with pytest.raises(AmbiguousName) as refused:
        resolve_artifact(home, f"{run}/o.txt")
    assert all(digest in refused.value.remedy for digest in digests)
