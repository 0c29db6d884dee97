from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_inherited_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never reaches a store that it did not make itself."""
    for name in ("REPRO_HOME", "DAGSTER_HOME"):
        if name in os.environ:
            monkeypatch.delenv(name)
