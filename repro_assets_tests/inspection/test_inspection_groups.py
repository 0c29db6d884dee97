"""Groups over seeds: which runs count, what stands for what is unknown, and the table for a paper."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime

import pytest
from scipy import stats

from repro_assets.catalog import queries
from repro_assets.catalog.groups import group_runs
from repro_assets.errors import InvalidValue
from repro_assets.inspection.group_table import latex_table
from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.store.home import make_store

INF = float("inf")


def record(journal, run_id, seed, lr, loss, **started):
    metrics = [] if loss is None else [["loss", 0, 1.0, 0.0], ["loss", 1, loss, 1.0]]
    started = {"config": {"lr": lr, "model": {"width": 8}}, "asset": "a|b_{c}", **started}
    end = started.pop("end", "COMPLETED")
    journal.append(
        run_records.RunStarted(run_id, "asset", run_id, seed=seed, **started),
        run_records.Metrics.of(run_id, metrics),
        run_records.RunEnded(run_id, end),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = make_store(tmp_path_factory.mktemp("groups") / "store")
    journal = Journal(home.journal)
    for seed, loss in enumerate((0.5, 0.7, 0.9)):
        record(journal, f"small{seed}", seed, 0.1, loss, reuse_key=f"key{seed}")
    record(journal, "again", 0, 0.1, 0.5, reuse_key="key0")
    record(journal, "trial", 3, 0.1, 0.0, trial=True)
    record(journal, "replay", 0, 0.1, 0.0, replay_of="small0")
    record(journal, "failed", 3, 0.1, 0.0, end="FAILED")
    record(journal, "deleted", 3, 0.1, 0.0)
    record(journal, "alone", 0, 0.01, 0.25)
    record(journal, "nan", 1, 0.01, math.nan)
    record(journal, "infinite", 0, 10, INF)
    record(journal, "huge", 1, 10, 1e300)
    record(journal, "pointless", 0, 2, None)
    journal.append(run_records.RunDeleted("deleted"), run_records.Params("alone", {"depth": 3}))
    journal.close()
    return home


def test_seeds_are_replications_and_only_finished_work_counts_once(home):
    by_rate = {row["lr"]: row for row in group_runs(home, ["lr"], ["loss"])}
    assert list(by_rate) == [0.01, 0.1, 10], "numbers sort as numbers, and a run without points is in no group"
    row, values = by_rate[0.1], [0.5, 0.7, 0.9]
    assert (row["n"], row["seeds"], row["configs"], row["not_finite"]) == (3, [0, 1, 2], 1, 0)
    half = stats.t.ppf(0.975, 2) * statistics.stdev(values) / math.sqrt(3)
    assert (row["mean"], row["sd"]) == pytest.approx((0.7, 0.2))
    assert (row["low"], row["high"]) == pytest.approx((0.7 - half, 0.7 + half), abs=1e-4)


def test_what_is_unknown_is_none_and_what_is_no_number_is_counted(home):
    by_rate = {row["config.lr"]: row for row in group_runs(home, ["config.lr"], ["loss"])}
    alone, infinite = by_rate[0.01], by_rate[10]
    assert (alone["n"], alone["mean"], alone["sd"], alone["low"], alone["high"]) == (1, 0.25, None, None, None)
    assert (alone["not_finite"], infinite["not_finite"]) == (1, 2)
    assert (infinite["n"], infinite["mean"], infinite["seeds"]) == (0, None, None)


def test_one_infinite_metric_leaves_the_studies_of_all_others_readable(home):
    assert queries.rows(home, "FROM study_metrics") == []
    assert queries.rows(home, "FROM leaderboard") == []


def test_what_is_left_out_is_counted_where_it_is_asked_for(home):
    def counted(*include, where=None):
        return {row["lr"]: row["n"] for row in group_runs(home, ["lr"], ["loss"], include=include, where=where)}[0.1]

    assert counted() == 3
    assert counted("trials") == 4
    assert counted("trials", "replays", "deleted") == 6
    assert counted(where="seed < 2 -- not all") == 2


def test_keys_are_columns_and_hyperparameters_of_any_depth(home):
    rows = group_runs(home, ["asset", "model.width", "params.depth"], ["loss"])
    assert [(row["asset"], row["model.width"], row["params.depth"], row["configs"]) for row in rows] == [
        ("a|b_{c}", 8, 3, 1),
        ("a|b_{c}", 8, None, 3),
    ]


def test_a_group_of_several_assets_is_said_to_be_mixed(tmp_path):
    other = make_store(tmp_path / "store")
    journal = Journal(other.journal)
    record(journal, "one", 0, 0.1, 0.5)
    record(journal, "two", 0, 0.1, 0.7, asset="another")
    journal.close()
    rows = group_runs(other, ["lr"], ["loss"])
    assert [(row["n"], row["configs"]) for row in rows] == [(2, 2)]
    assert "one for each seed" not in latex_table(rows, ["lr"])
    assert "one for each seed" in latex_table(group_runs(other, ["asset"], ["loss"]), ["asset"])


def test_the_table_for_a_paper_escapes_and_rounds(home):
    rows = group_runs(home, ["asset", "lr"], ["loss"])
    lines = latex_table(rows, ["asset", "lr"]).splitlines()
    assert lines[-6:-2] == [
        r"\midrule",
        r"a\textbar{}b\_\{c\} & 0.01 & $0.25\,(n=1)$ \\",
        r"a\textbar{}b\_\{c\} & 0.1 & $0.70 \pm 0.50\,(n=3)$ \\",
        r"a\textbar{}b\_\{c\} & 10 & -- \\",
    ]


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (0.123456, 0.0123, r"0.123 \pm 0.012"),
        (12345.0, 1234.0, r"(1.23 \pm 0.12) \times 10^{4}"),
        (1e-9, 2e-10, r"(1.00 \pm 0.20) \times 10^{-9}"),
        (5.0, 0.0, r"5 \pm 0"),
    ],
)
def test_a_figure_has_the_places_that_its_interval_has(mean, half, shown):
    row = {"k": 1, "metric": "m", "mean": mean, "low": mean - half, "high": mean + half, "n": 3, "configs": 1}
    assert f"1 & ${shown}\\,(n=3)$ \\\\" in latex_table([row], ["k"]).splitlines()


def test_tags_are_one_key_as_a_whole_and_times_are_days(tmp_path):
    other = make_store(tmp_path / "store")
    journal = Journal(other.journal)
    for run_id, tags in (("one", ["b", "a"]), ("two", ["a"]), ("three", []), ("four", ["a"])):
        record(journal, run_id, 0, 0.1, 0.5, tags=tags)
    journal.append(run_records.RunTagged("four", ["b"], []))
    journal.close()
    rows = group_runs(other, ["tags", "started_at"], ["loss"])
    (day,) = {row["started_at"] for row in rows}
    assert (datetime.now(UTC).date() - day).days in (0, 1)
    assert [(row["tags"], row["n"]) for row in rows] == [([], 1), (["a"], 1), (["a", "b"], 2)]
    assert r"a, b & " in latex_table(rows, ["tags"])


@pytest.mark.parametrize("key", ["metrics", "config", "plan", "seconds", "run_id"])
def test_a_column_that_runs_do_not_share_is_refused_with_those_that_they_do(home, key):
    with pytest.raises(InvalidValue, match=f"not grouped by their {key}") as caught:
        group_runs(home, [key], ["loss"])
    assert "config.NAME" in caught.value.remedy and "started_at" in caught.value.remedy
