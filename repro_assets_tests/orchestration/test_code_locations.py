from __future__ import annotations

from pathlib import Path

import pytest

from repro_assets.capture.project import source_folders
from repro_assets.errors import InvalidInput
from repro_assets.orchestration.code_locations import NoDefinitions, code_location, module_of
from repro_assets.orchestration.diagnosis import diagnose


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("python_module: harvest.definitions", ("harvest.definitions", "defs")),
        ("python_module: {module_name: harvest.definitions, attribute: mine}", ("harvest.definitions", "mine")),
        ("python_package: harvest", ("harvest", "defs")),
        ("python_file: harvest/all.py", ("harvest.all", "defs")),
        ("python_file: {relative_path: src/harvest/all.py, attribute: mine}", ("harvest.all", "mine")),
    ],
)
def test_a_workspace_names_the_definitions(tmp_path: Path, entry: str, found: tuple[str, str]) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "workspace.yaml").write_text(f"load_from:\n  - {entry}\n")
    assert code_location(tmp_path) == found
    (tmp_path / "pyproject.toml").write_text('[tool.dagster]\nmodule_name = "other"\nattribute = "its"\n')
    assert code_location(tmp_path) == ("other", "its")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("load_from: [{python_module: a}, {python_module: b}]", "names 2 code locations"),
        ("load_from: [{grpc_server: {host: localhost, port: 4266}}]", "names no Python module"),
        ("load_from: [{python_file: ../elsewhere.py}]", "names no Python module"),
        ("load_from: [{python_file: not-a-name.py}]", "names no Python module"),
        ("nothing: here", "names no code location"),
        ("load_from: [", "cannot be read"),
    ],
)
def test_a_workspace_that_names_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "workspace.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=said):
        code_location(tmp_path)


def test_a_project_that_only_tracks_is_well_without_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'theirs'\nversion = '1'\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoDefinitions, match="no definitions are named"):
        code_location()
    (found,) = [finding for finding in diagnose() if finding.check == "code location"]
    assert (found.status, found.detail[:4]) == ("ok", "none")


def test_a_file_called_definitions_needs_no_word(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "definitions.py").touch()
    assert code_location(tmp_path) == ("definitions", "defs")


def test_a_module_is_named_as_its_projects_folders_are_on_the_path(tmp_path: Path) -> None:
    assert source_folders(tmp_path) == [tmp_path]
    assert module_of(tmp_path, Path("src/a/b.py")) == "src.a.b"
    (tmp_path / "src").mkdir()
    assert source_folders(tmp_path) == [tmp_path, tmp_path / "src"]
    assert module_of(tmp_path, Path("src/a/b.py")) == "a.b"
    assert module_of(tmp_path, tmp_path / "a.py") == "a"
    assert module_of(tmp_path, Path("/elsewhere/a.py")) is None
    (tmp_path / "src" / "__init__.py").touch()
    assert source_folders(tmp_path) == [tmp_path]
