"""Fingerprints of a run: tables in the store, records that name them, rows of the catalog."""

from __future__ import annotations

import numpy
import pytest
import torch

from repro_assets.artifacts import repository, retention
from repro_assets.catalog.queries import rows
from repro_assets.determinism.cadence import Cadence
from repro_assets.determinism.fingerprints import fingerprint_of
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import Fingerprints, FingerprintsKept, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home


def fingerprints(home: Home, run_id: str) -> list[tuple[int, str, str, str]]:
    return [
        (row["step"], row["quantity"], row["tensor"], row["xxh3"])
        for row in rows(home, f"SELECT * FROM fingerprints WHERE run_id = '{run_id}' ORDER BY ALL")
    ]


def test_they_are_kept_as_tables_joined_by_the_catalog_and_kept_as_long_as_the_run(home: Home) -> None:
    run = begin(home, RunStarted("a" * 16, "asset", "small"))
    weight, loss = torch.arange(3.0), numpy.float64(0.5)
    run.log_fingerprints(1, {"w": weight})
    run.log_fingerprints(1, {"loss": numpy.asarray(loss)}, "loss")
    run.flush()
    run.log_fingerprints(2, {"w": weight * 2})
    run.end()
    found = fingerprints(home, run.run_id)
    assert found == [
        (1, "loss", "loss", fingerprint_of(numpy.asarray(loss))),
        (1, "parameter", "w", fingerprint_of(weight)),
        (2, "parameter", "w", fingerprint_of(weight * 2)),
    ]
    kept = rows(home, "SELECT digest, first, last, count FROM fingerprint_tables ORDER BY first")
    assert [(row["first"], row["last"], row["count"]) for row in kept] == [(1, 1, 2), (2, 2, 1)]
    assert {Digest.parse(row["digest"]) for row in kept} <= retention.read_ledger(home).roots().artifacts
    table = repository.by_digest(home, Digest.parse(kept[0]["digest"])).load()
    assert list(table.columns) == ["step", "quantity", "tensor", "xxh3"]


def test_a_record_of_the_old_form_reads_as_parameters(home: Home) -> None:
    run = begin(home, RunStarted("b" * 16, "asset", "old"))
    journal_at(home.journal).append(Fingerprints(run.run_id, 3, {"w": "xxh3-128:" + "ab" * 16}))
    run.end()
    assert fingerprints(home, run.run_id) == [(3, "parameter", "w", "xxh3-128:" + "ab" * 16)]


def test_the_thread_lets_them_wait_and_what_cannot_be_written_stays(
    home: Home, monkeypatch: pytest.MonkeyPatch, records_of: object
) -> None:
    run = begin(home, RunStarted("c" * 16, "asset", "waits"))
    run.log_fingerprints(1, {"w": torch.ones(2)})
    run.flush(patient=True)
    assert records_of(FingerprintsKept) == []  # type: ignore[operator]

    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(repository, "put", full)
        with pytest.raises(OSError, match="no space"):
            run.flush()
    run.end()
    (kept,) = records_of(FingerprintsKept)  # type: ignore[operator]
    assert (kept.first, kept.last, kept.count) == (1, 1, 1)


def due(cadence: Cadence, steps: int) -> set[int]:
    return {step for step in range(1, steps + 1) if cadence.is_due(step)}


def test_two_runs_share_the_steps_of_the_coarser_interval_and_a_fixed_one_is_kept() -> None:
    fast, slow = Cadence(), Cadence()
    for cadence, work in ((fast, 1.0), (slow, 0.02)):
        cadence.cost(0.9)
        cadence.cost(0.001)
        cadence.adapt(work)
    assert due(fast, 31) == set(range(1, 32)), "what costs nothing is looked at at every step"
    assert due(slow, 31) == {16}, "a twentieth of a step is spent at most once in ten steps, rounded up to sixteen"
    assert due(slow, 4096) < due(fast, 4096)
    assert len(due(fast, 4096)) < 200, "a long training is looked at more rarely"
    assert due(Cadence(every=15), 40) == {15, 30}
    first = Cadence()
    first.cost(0.9)
    first.adapt(0.001)
    assert due(first, 31) == {16}, "the first fingerprint alone does not keep the second one away for long"
