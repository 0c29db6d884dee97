"""The environment: complete, stable, without secrets, and never a reason for a run to stop."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from repro_assets.capture import packages
from repro_assets.capture.environment import capture_environment, loaded_torch
from repro_assets.capture.hardware import inspect_hardware
from repro_assets.capture.level import Level
from repro_assets.capture.packages import installed_packages, normalised, used_distributions
from repro_assets.capture.software import torch_build
from repro_assets.errors import InvalidValue
from repro_assets.identity.canonical import decode, encode

HEAVY = ("torch", "pandas", "pyarrow", "duckdb", "dagster", "numpy")


def python(program: str, **variables: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", **variables}
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    return ran.stdout.strip()


def test_two_captures_of_an_unchanged_machine_are_equal() -> None:
    first, second = capture_environment(), capture_environment()
    assert first.digest == second.digest
    assert decode(encode(first.document)) == json.loads(json.dumps(first.document))


def test_the_document_does_not_depend_on_what_is_imported() -> None:
    program = (
        "{}\nfrom repro_assets.capture.environment import capture_environment as c\nprint(c(variables={{}}).digest)"
    )
    assert python(program.format("")) == python(program.format("import torch, warnings"))


def test_a_capture_imports_no_heavy_library() -> None:
    program = (
        "import sys, pkgutil, importlib, repro_assets.capture as package\n"
        "names = [m.name for m in pkgutil.iter_modules(package.__path__)]\n"
        "[importlib.import_module('repro_assets.capture.' + name) for name in names]\n"
        "from repro_assets.capture.environment import capture_environment\n"
        "capture_environment('complete')\n"
        f"print(len(names) > 5, [m for m in {HEAVY} if m in sys.modules])"
    )
    assert python(program) == "True []"


def test_every_distribution_is_listed_with_its_version() -> None:
    expected = {normalised(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()}
    document = capture_environment().document
    assert {normalised(each["name"]): each["version"] for each in document["packages"]} == expected


def installed(folder: Path, name: str, files: dict[str, str]) -> None:
    place = folder / f"{name}.dist-info"
    place.mkdir(parents=True)
    for file, text in files.items():
        (place / file).write_text(text)


def metadata(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: in the text\n"


def test_editable_broken_shadowed_and_remote_distributions_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    installed(first, "lib-1", {"METADATA": metadata("My.Lib", "1"), "RECORD": "mylib/__init__.py,,\n"})
    installed(second, "lib-2", {"METADATA": metadata("my_lib", "2")})
    installed(first, "none", {})
    editable = {"url": "file:///home/me/ed", "dir_info": {"editable": True}}
    installed(first, "ed-1", {"METADATA": metadata("ed", "1"), "direct_url.json": json.dumps(editable)})
    remote = {"url": "https" + "://u:pw-7x@host.org/a.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}}
    installed(first, "vcs-1", {"METADATA": metadata("vcs", "1"), "direct_url.json": json.dumps(remote)})
    monkeypatch.setattr(sys, "path", [str(first), str(second)])
    found = installed_packages()
    assert {each.name: each.document() for each in found.installed} == {
        "My.Lib": {"name": "My.Lib", "version": "1"},
        "ed": {"name": "ed", "version": "1", "editable": True},
        "vcs": {"name": "vcs", "version": "1", "origin": "git+https://host.org/a.git@ab12"},
    }
    assert [(each.name, each.version) for each in found.shadowed] == [("my_lib", "2")]
    assert found.unreadable == {"none.dist-info": "it has no METADATA and no PKG-INFO"}
    unavailable = capture_environment().document["unavailable"]
    assert unavailable["packages.none.dist-info"] == "it has no METADATA and no PKG-INFO"
    assert used_distributions(["mylib.part"]) == {"My.Lib": "1"}


def test_a_new_installation_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed_packages().installed == ()
    installed(tmp_path, "late-1", {"METADATA": metadata("late", "1")})
    assert [each.name for each in installed_packages().installed] == ["late"]


def test_what_another_process_has_listed_counts_until_any_metadata_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, cache, reads = tmp_path / "site", tmp_path / "cache", []
    for name in ("one", "two"):
        installed(place, f"{name}-1", {"METADATA": metadata(name, "1")})
    monkeypatch.setattr(sys, "path", [str(place)])
    monkeypatch.setattr(packages, "_read", lambda each, read=packages._read: reads.append(each) or read(each))

    def listed() -> list[tuple[str, str]]:
        monkeypatch.setattr(packages, "_known", {})  # a new process has none
        return [(each.name, each.version) for each in installed_packages(cache).installed]

    time.sleep(1.1)  # what changed within a second is not remembered
    assert listed() == listed() == [("one", "1"), ("two", "1")]
    assert len(reads) == 2
    (place / "two-1.dist-info" / "METADATA").write_text(metadata("two", "2"))
    assert listed() == [("one", "1"), ("two", "2")]
    assert listed() == [("one", "1"), ("two", "2")]
    assert len(reads) == 6
    direct = {"url": "https://host.org/two-2.whl"}
    (place / "two-1.dist-info" / "direct_url.json").write_text(json.dumps(direct))
    listed()
    assert installed_packages(cache).installed[1].origin == "https://host.org/two-2.whl"


def test_a_process_that_imported_the_backport_of_importlib_metadata_is_not_asked_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backport = pytest.importorskip("importlib_metadata")
    place, reads = tmp_path / "site", []
    installed(place, "one-1", {"METADATA": metadata("one", "1"), "RECORD": "one/__init__.py,,\n"})
    monkeypatch.setattr(sys, "path", [str(place)])
    others = [each for each in sys.meta_path if type(each).__name__ != "MetadataPathFinder"]
    monkeypatch.setattr(sys, "meta_path", [*others, backport.MetadataPathFinder()])
    monkeypatch.setattr(packages, "_known", {})
    monkeypatch.setattr(packages, "_read", lambda each, read=packages._read: reads.append(each) or read(each))
    for _ in range(3):
        assert [each.name for each in installed_packages().installed] == ["one"]
        assert used_distributions(["one"]) == {"one": "1"}
    assert len(reads) == 2


def test_used_distributions_are_found_by_import_name() -> None:
    used = used_distributions(["torch.nn", "yaml", "sklearn.linear_model", "os.path", "json", "nobody_has_this"])
    assert list(used) == ["PyYAML", "scikit-learn", "torch"]
    assert used["torch"] == importlib.metadata.version("torch")


def test_variables_are_taken_by_allow_list_and_past_the_scanner() -> None:
    token = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    capture = capture_environment(
        variables={"OMP_NUM_THREADS": "1", "MKL_CBWR": token, "HF_TOKEN": token, "LANG": "C", "LD_PRELOAD": "a\udcff"}
    )
    assert capture.document["variables"] == {"LANG": "C", "OMP_NUM_THREADS": "1"}
    assert set(capture.document["unavailable"]) >= {"variables.MKL_CBWR", "variables.LD_PRELOAD"}
    assert token not in json.dumps(capture.document)


def test_totals_are_in_the_document_and_readings_are_not() -> None:
    capture = capture_environment()
    assert capture.document["hardware"]["memory_bytes"] == psutil.virtual_memory().total
    assert capture.document["hardware"]["cpu"]["logical_cores"] == psutil.cpu_count()
    assert capture.document["os"]["kernel"] == platform.release()
    assert capture.document["python"]["version"] == platform.python_version()
    assert {"memory_available_bytes", "load_1min", "disk_free_bytes"} <= set(capture.readings)
    assert capture.document["host"]["name"] == platform.node()
    without_host = {name: value for name, value in capture.document.items() if name != "host"}
    assert set(capture.readings) & set(without_host["hardware"]) == set()


def test_instruction_sets_are_listed_where_the_kernel_tells_them() -> None:
    hardware = inspect_hardware()
    assert hardware.totals["cpu"]["model"]
    assert hardware.totals["cpu"]["flags"] == sorted(hardware.totals["cpu"]["flags"]) != []


def test_gpus_are_listed_or_the_reason_is() -> None:
    document = capture_environment().document
    assert bool(document["hardware"]["gpus"]) != ("gpus" in document["unavailable"])


def test_a_disk_that_is_not_there_is_a_reason_and_no_zero(tmp_path: Path) -> None:
    document = capture_environment(disk=tmp_path / "gone").document
    assert "disk_bytes" not in document["hardware"]
    assert "gone" in document["unavailable"]["disk_bytes"]


def test_the_build_of_torch_read_from_its_file_is_what_torch_says() -> None:
    build = torch_build()
    import torch

    assert build is not None
    assert build["version"] == torch.__version__
    assert build["git_version"] == torch.version.git_version
    assert build["cuda"] == torch.version.cuda
    assert loaded_torch()["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    ("given", "level"), [("2", "standard"), (3, "complete"), (" Basic ", "basic"), (Level.BASIC, "basic")]
)
def test_a_level_is_read_from_its_name_or_number(given: str | int, level: str) -> None:
    assert Level.parse(given) == level


@pytest.mark.parametrize("given", ["", "4", 0, "full", True])
def test_anything_else_is_no_level(given: str | int) -> None:
    with pytest.raises(InvalidValue):
        Level.parse(given)
