"""The three files of ``repro env capture``: complete, with the names that other tools look for, and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from repro_assets.capture.environment import EnvironmentCapture
from repro_assets.capture.source_tree import SourceCapture
from repro_assets.capture.system_info import get_system_info, system_info, write_files
from repro_assets.errors import InvalidInput, MachineError

NAMES = {
    "platform": {"system", "release", "machine"},
    "python": {"version", "implementation"},
    "cpu": {"cpu_count", "model_name"},
    "gpu": {"cuda_available", "gpu_count", "gpus"},
    "git": {"commit_sha", "branch", "has_uncommitted_changes"},
}
SOURCE = SourceCapture(Path("/"), {"commit": None, "branch": None, "dirty": None}, (), (), "")


def captured(**members: Any) -> EnvironmentCapture:
    packages = [
        {"name": "numpy", "version": "2.1.0"},
        {"name": "mine", "version": "0.1", "editable": True},
        {"name": "theirs", "version": "1", "origin": "git+https://host.org/a.git@ab12"},
    ]
    return EnvironmentCapture({"python": {"version": "3.11.7"}, "packages": packages, **members})


def test_the_names_of_the_contract_are_there(tmp_path: Path) -> None:
    found = get_system_info(tmp_path)
    assert "timestamp" in found
    for part, names in NAMES.items():
        assert names <= set(found[part])
    assert found["git"]["commit_sha"] is None
    assert found["cpu"]["cpu_count"] > 0
    assert json.loads(json.dumps(found)) == found


def test_cuda_is_there_where_a_gpu_is_and_torch_was_built_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "torch", raising=False)

    def available(gpus: list[dict[str, str]] | None, cuda: str | None) -> bool | None:
        hardware = {} if gpus is None else {"gpus": gpus}
        return system_info(captured(hardware=hardware, torch={"cuda": cuda}), SOURCE)["gpu"]["cuda_available"]  # type: ignore[no-any-return]

    assert available([{"name": "Board"}], "12.4") is True
    assert available([{"name": "Board"}], None) is False
    assert available([], "12.4") is False
    assert available(None, "12.4") is None


def test_every_package_is_a_requirement_and_conda_has_its_own_file(tmp_path: Path) -> None:
    conda = [{"name": "numpy", "version": "1.21.0", "build": "py39h20f2e39_0", "channel": ""}]
    files = write_files(captured(conda_packages=conda), SOURCE, tmp_path / "new")
    assert [file.name for file in files] == ["requirements.txt", "system_info.json", "conda_packages.txt"]
    assert files[0].read_text().splitlines()[1:] == [
        "# Python 3.11.7",
        "",
        "numpy==2.1.0",
        "# editable, from a folder of its own: mine==0.1",
        "theirs @ git+https://host.org/a.git@ab12",
    ]
    assert files[2].read_text().splitlines()[-1] == "numpy=1.21.0=py39h20f2e39_0"
    assert [file.name for file in write_files(captured(), SOURCE, tmp_path / "new")] == [
        "requirements.txt",
        "system_info.json",
    ]


@pytest.mark.parametrize("name", ["requirements.txt", "system_info.json"])
def test_a_file_of_somebody_else_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidInput, match=name):
        write_files(captured(), SOURCE, tmp_path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "{}")]


def test_a_folder_that_cannot_be_made_is_the_machine_s_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError):
        write_files(captured(), SOURCE, tmp_path / "file" / "below")
