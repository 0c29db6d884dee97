from __future__ import annotations

from pathlib import Path

import pytest

from repro_assets.errors import InvalidValue
from repro_assets.extras import need


def test_what_is_missing_is_said_with_the_command_that_brings_it() -> None:
    need("json")
    with pytest.raises(
        InvalidValue, match=r"no_such_module is not installed.*pip install 'repro-assets\[no_such_module\]'"
    ):
        need("no_such_module")
    with pytest.raises(InvalidValue, match=r"pip install 'repro-assets\[some\]'"):
        need("no_such_module", "some")


def test_a_folder_of_that_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlruns_of_somebody").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidValue, match="is not installed"):
        need("mlruns_of_somebody")
