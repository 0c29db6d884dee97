from __future__ import annotations

from pathlib import Path

import pytest
from report_store import fill

from repro_assets.report.folder import Folder
from repro_assets.report.writing import Options, write_report
from repro_assets.store.home import Home


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A store that is only read."""
    return fill(tmp_path_factory.mktemp("report") / "store")


@pytest.fixture(scope="session")
def report(filled: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on it with the files of a paper, which is only read."""
    folder = Folder(tmp_path_factory.mktemp("report") / "pages")
    write_report(filled, [], folder, Options(paper=True))
    return folder.root
