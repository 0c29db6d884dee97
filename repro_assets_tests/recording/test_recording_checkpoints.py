"""Checkpoints of a run: their parents, second names, and letting them go."""

from __future__ import annotations

import pytest

from repro_assets.artifacts import repository, retention
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.catalog.queries import rows
from repro_assets.errors import UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.journal import run_records
from repro_assets.store.collection import collect
from repro_assets.store.leases import lease_on
from repro_assets.store.opening import open_objects


def test_a_checkpoint_knows_the_one_before_it_and_the_catalog_says_so(home, run, records_of):
    before = repository.put(home, {"step": 0})
    run.use("resume", before)
    assert run.resumed_from == str(before.digest)
    first = run.checkpoint("step", 1, {"step": 1}, step=1, parent=run.resumed_from)
    second = run.checkpoint("step", 2, {"step": 2}, step=2, parent=str(first.digest))
    again = run.checkpoint("best", 2, second, step=2, metrics={"loss": 0.5}, parent=str(first.digest))
    assert again.digest == second.digest
    run.end()
    found = rows(home, "SELECT name, parent FROM checkpoints ORDER BY step, name")
    assert [tuple(row.values()) for row in found] == [
        ("checkpoint_step_1", str(before.digest)),
        ("checkpoint_best_2", str(first.digest)),
        ("checkpoint_step_2", str(first.digest)),
    ]


def test_collection_takes_a_checkpoint_that_was_let_go_and_nothing_that_has_another_name(home, run, records_of):
    first = run.checkpoint("step", 1, {"step": 1}, step=1)
    second = run.checkpoint("step", 2, {"step": 2}, step=2)
    run.checkpoint("best", 2, second, step=2)
    run.forget_checkpoint("checkpoint_step_1")
    run.forget_checkpoint("checkpoint_step_2")
    assert run.checkpoints == {"checkpoint_best_2": str(second.digest)}
    assert records_of(run_records.CheckpointDeleted) == [
        run_records.CheckpointDeleted(run.run_id, "checkpoint_step_1", str(first.digest)),
        run_records.CheckpointDeleted(run.run_id, "checkpoint_step_2", str(second.digest)),
    ]
    with pytest.raises(UnknownName, match="no checkpoint checkpoint_step_1"):
        run.forget_checkpoint("checkpoint_step_1")
    # Its bytes may be relied on until the process that put them lets go of its lease.
    lease_on(home).release()
    collect(open_objects(home, DECODERS), lambda: retention.roots_of(home), delete=True, now=True)
    objects = open_objects(home, DECODERS)
    assert not objects.has(Digest.parse(str(first.digest)))
    assert second.load() == {"step": 2}
