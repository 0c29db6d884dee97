"""Which run an asset stands for."""

from __future__ import annotations

import pytest

from repro_assets.catalog.makers import resolve_maker
from repro_assets.errors import AmbiguousName, UnknownName
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin


def test_an_asset_stands_for_its_newest_completed_run_of_its_own(home):
    def materialized(run_id: str, asset: str, **started: object) -> None:
        run = begin(home, RunStarted(run_id, "asset", run_id, asset=asset, **started))
        run.log_output("result", {"made by": run_id}, name=f"product-{run_id}", asset=asset)
        run.end(str(started.pop("state", "COMPLETED")))

    materialized("run-1", "models/tiny")
    materialized("run-2", "models/tiny")
    materialized("run-3", "models/tiny", trial=True)
    materialized("run-4", "models/tiny", replay_of="run-1")
    assert resolve_maker(home, "models/tiny") == resolve_maker(home, "tiny") == "run-2"
    materialized("run-5", "other/tiny")
    assert resolve_maker(home, "other/tiny") == "run-5"
    with pytest.raises(AmbiguousName, match="models/tiny, other/tiny"):
        resolve_maker(home, "tiny")
    materialized("run-6", "models/only", trial=True)
    with pytest.raises(UnknownName, match="models/only"):
        resolve_maker(home, "models/only")
