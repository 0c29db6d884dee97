"""Online learning: every experience and update is on record, and snapshots share what they have in common."""

from __future__ import annotations

import numpy
import pytest

from repro_assets import OnlineExperiment
from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.tracking import online
from repro_assets.tracking.online import buffer_lines

QUICK = {"capture_source": False, "capture_environment": False, "monitor": None}


def test_experiences_and_updates_are_on_record(project, monkeypatch):
    monkeypatch.setattr(online, "BLOCK", 4)
    with OnlineExperiment("ttrl", snapshot_every=3, **QUICK) as run:
        for number in range(4):
            assert run.log_experience({"image": numpy.full(2, number), "label": number}) == number
            run.log_online_update(number, reward=0.5 * number, confidence=0.25, kl_divergence=0.125)
        run.snapshot()
    rows = queries.rows(project, "SELECT digest, step, held, new, reason FROM experience_snapshots ORDER BY time")
    assert [(row["step"], row["held"], row["new"], row["reason"]) for row in rows] == [
        (3, 3, 3, "interval"), (4, 4, 1, "demand"),
    ]  # fmt: skip
    first, last = (repository.by_digest(project, Digest.parse(row["digest"])) for row in rows)
    lines = buffer_lines(last.load())
    assert lines[:6] == buffer_lines(first.load())
    assert lines[-2] == {"experience": 3, "fields": {"image": [3, 3], "label": 3}}
    assert lines[-1] == {"update": 4, "experience": 3, "reward": 1.5, "confidence": 0.25, "kl_divergence": 0.125}
    # The sealed blocks are the same objects.
    assert first.manifest.entries[0].objects == last.manifest.entries[0].objects
    assert len(queries.rows(project, "SELECT * FROM experience_inserts")) == 4
    points = queries.rows(project, "SELECT step, value FROM metrics WHERE name = 'reward' ORDER BY step")
    assert [tuple(row.values()) for row in points] == [(1, 0.0), (2, 0.5), (3, 1.0), (4, 1.5)]


def test_snapshots_by_count_need_no_update_and_equal_buffers_are_equal(project):
    digests = []
    for _ in range(2):
        with OnlineExperiment("count", snapshot_count=2, **QUICK) as run:
            for number in range(5):
                run.log_experience({"n": number})
            digests.append(run.snapshot().digest)
    assert digests[0] == digests[1]
    query = "SELECT reason FROM experience_snapshots WHERE run_id = ? ORDER BY time"
    assert [row["reason"] for row in queries.rows(project, query, [run.run_id])] == ["count", "count", "demand"]


def test_what_is_out_of_range_is_refused_and_not_counted(project):
    with pytest.raises(InvalidValue, match="cannot be made every"):
        OnlineExperiment("wrong", snapshot_every=-1)
    with OnlineExperiment("online", **QUICK) as run:
        with pytest.raises(InvalidValue, match="there is no experience 0"):
            run.log_online_update(0, 1.0, 0.5)
        run.log_experience({"n": 1})
        for wrong in ((0, float("nan"), 0.5, None), (0, 1.0, 1.5, None), (0, 1.0, 0.5, float("inf"))):
            with pytest.raises(InvalidValue):
                run.log_online_update(*wrong)
        for experience in ([1], {"n": float("nan")}, {"n": object()}):
            with pytest.raises(InvalidValue):
                run.log_experience(experience)
        assert (run.experiences, run.updates) == (1, 0)
