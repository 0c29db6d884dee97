from __future__ import annotations

import os
from collections.abc import Iterator

import graphed
import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_variables_of_openlineage() -> Iterator[None]:
    """What a person has set says nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> graphed.Graphed:
    """Runs of an asset graph and of programs, which tests read and do not change."""
    return graphed.fill(tmp_path_factory.mktemp("graph"))
