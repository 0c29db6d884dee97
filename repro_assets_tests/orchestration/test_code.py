"""Code versions of assets: what was analysed once is not analysed again by another process of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from repro_assets.capture import code_version as analysing
from repro_assets.orchestration.code import asset_version, code_cache
from repro_assets.store.home import VARIABLE, make_store
from repro_assets.training.digits import split_digits as recipe


def test_analyses_are_kept_in_the_store_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "store"))
    analysing._analyses.clear()
    version = asset_version(recipe)
    assert not (tmp_path / "store").exists()
    home = make_store(tmp_path / "store")
    analysing._analyses.clear()
    assert asset_version(recipe) == version
    assert len(list(code_cache(home).iterdir())) == len(analysing._analyses) > 1

    def refused(data: bytes, place: str) -> None:
        raise AssertionError(f"{place} is analysed again")

    monkeypatch.setattr(analysing, "analyse", refused)
    analysing._analyses.clear()
    assert asset_version(recipe) == version
