"""A journal that was merged once is read for ever, byte for byte."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import duckdb
import pytest
import store_merged_v1
import store_v1

from repro_assets.artifacts.merged_points import open_segment
from repro_assets.catalog.projection import refresh
from repro_assets.journal.merged import forms, read_journal
from repro_assets.journal.segments import Damage, list_segments
from repro_assets.store.home import Home, open_store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    shutil.copytree(store_merged_v1.ROOT, tmp_path / "store")
    return open_store(tmp_path / "store")


def test_every_segment_has_its_bytes(home: Home) -> None:
    assert list_segments(home.journal) == []
    found = {}
    for name, form in forms(home).items():
        with open_segment(home, form) as file:
            found[name] = hashlib.sha256(file.read()).hexdigest()
    assert found == store_merged_v1.DIGESTS
    assert store_merged_v1.segments().keys() == found.keys()


def test_every_point_is_in_the_catalog(home: Home) -> None:
    refresh(home)
    with duckdb.connect(str(home.catalog), read_only=True) as connection:
        points = connection.execute(
            "SELECT name, step, value, epoch_us(time) FROM metrics WHERE run_id = ? ORDER BY name, step",
            [store_merged_v1.RUN],
        ).fetchall()
        system = connection.execute("SELECT name, value FROM system_metrics").fetchall()
        others = connection.execute("SELECT count(*) FROM metrics WHERE run_id <> ?", [store_merged_v1.RUN]).fetchall()
    second = round(store_v1.TIME * 1e6)
    assert repr(points[1:7]) == repr(
        [("loss", step, value, second + step * 1_000_000) for step, value in enumerate(store_merged_v1.VALUES)]
    )
    assert (points[0][:3], points[7]) == (('a "name"\n\U0001f600', None, 1.0), ("loss", 9, 2.0, second - 1_000_000))
    assert system == [("cpu_percent", 50.0)]
    assert others == [(3,)]


def test_the_damage_that_was_merged_is_still_named(home: Home) -> None:
    damages = [item for item in read_journal(home) if isinstance(item, Damage)]
    assert [item.segment for item in damages] == [store_v1.DAMAGED_SEGMENT] * 2
