"""What an environment lacks is an error, as a version and with its reason; what is asked for wrongly is refused."""

from __future__ import annotations

from typing import Any

import pytest

from repro_assets.capture import environment
from repro_assets.capture.environment import capture_environment
from repro_assets.capture.requirements import validate_environment
from repro_assets.errors import InvalidValue

GPU = {"index": 0, "name": "A100", "memory_bytes": 42_505_273_344, "driver": "550.9", "cuda_driver": "12.4"}
DOCUMENT: dict[str, Any] = {
    "level": "standard",
    "python": {"version": "3.11.9"},
    "packages": [
        {"name": "numpy", "version": "2.10.1"},
        {"name": "torch", "version": "2.13.0+cu126"},
        {"name": "Ruamel.Yaml", "version": "1.0rc1"},
        {"name": "odd", "version": "four"},
        {"name": "mine", "version": "1", "origin": "git+https://host.org/m.git@ab"},
    ],
    "shadowed_packages": [{"name": "numpy", "version": "1.9"}],
    "torch": {"version": "2.13.0+cu126", "cuda": "12.6"},
    "variables": {},
    "hardware": {"gpus": [GPU]},
    "unavailable": {"packages.broken_one-1.dist-info": "it has no METADATA and no PKG-INFO"},
}


def without_gpu(reason: str | None) -> dict[str, Any]:
    unavailable = {} if reason is None else {"gpus": reason}
    return {**DOCUMENT, "hardware": {"gpus": []}, "unavailable": unavailable}


def test_what_is_there_is_valid() -> None:
    specs = ["numpy", "numpy>=2.9,<3", "torch==2.13.0", "ruamel-yaml>=1.0rc1", "gone; python_version < '3'"]
    found = validate_environment(specs, 40, "12.4", DOCUMENT)
    assert found.is_valid and not found.errors
    assert any("1.9 is installed too, and hidden by 2.10.1" in warning for warning in found.warnings)
    assert any(warning.startswith("gone") for warning in found.warnings)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("numpy<2.9", "numpy is 2.10.1, and <2.9 is required"),
        ("pandas", "pandas is not installed"),
        ("broken-one", "broken-one: it has no METADATA and no PKG-INFO"),
        ("odd>=3", "odd has the version 'four', which cannot be compared"),
        ("mine @ git+https://host.org/m.git@cd", "mine is from git+https://host.org/m.git@ab, and"),
    ],
)
def test_a_package_that_is_not_as_required_is_an_error(spec: str, error: str) -> None:
    found = validate_environment([spec], document=DOCUMENT)
    assert not found.is_valid
    (said,) = found.errors
    assert said.startswith(error)


@pytest.mark.parametrize(
    ("memory", "cuda", "error"),
    [
        (42.6, None, "GPU 0 (A100) has 42.5 GB of memory, and 42.6 GB are required"),
        (None, "12.5", "the driver 550.9 offers CUDA 12.4, and 12.5 is required"),
    ],
)
def test_too_little_memory_and_too_old_cuda_are_errors(memory: float | None, cuda: str | None, error: str) -> None:
    assert validate_environment((), memory, cuda, DOCUMENT).errors == (error,)


def test_twelve_is_more_than_nine() -> None:
    document = {**DOCUMENT, "hardware": {"gpus": [{**GPU, "cuda_driver": "12.1"}]}}
    assert validate_environment((), None, "9.0", document).is_valid
    document = {**DOCUMENT, "torch": {"version": "1", "cuda": "9.0"}}
    assert validate_environment((), None, "12.1", document).errors == (
        "torch 1 is built with CUDA 9.0, and 12.1 is required",
    )


def test_the_largest_gpu_decides_and_smaller_ones_are_named() -> None:
    document = {**DOCUMENT, "hardware": {"gpus": [GPU, {**GPU, "index": 1, "memory_bytes": 8 * 10**9}]}}
    found = validate_environment((), 40, None, document)
    assert found.is_valid
    assert found.warnings == ("GPU 1 (A100) has only 8.0 GB of memory",)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("NVML Shared Library Not Found", "no NVIDIA driver is installed"),
        ("Driver Not Loaded", "an NVIDIA driver is installed and not loaded"),
        ("Driver/library version mismatch", "the NVIDIA driver was updated"),
        ("No module named 'pynvml'", "pynvml, which asks the driver, is not installed"),
        ("Unknown Error", "Unknown Error"),
        (None, "the driver lists none"),
    ],
)
def test_no_gpu_where_one_is_required_is_an_error_that_says_why(reason: str | None, said: str) -> None:
    (error,) = validate_environment((), 1, None, without_gpu(reason)).errors
    assert error.startswith(f"no GPU: {said}")
    assert reason is None or reason in error


def test_a_hidden_gpu_is_none() -> None:
    (error,) = validate_environment((), 1, None, {**DOCUMENT, "variables": {"CUDA_VISIBLE_DEVICES": "-1"}}).errors
    assert error == "no GPU: CUDA_VISIBLE_DEVICES='-1' hides all 1"


def test_torch_without_cuda_is_an_error_and_no_torch_a_warning() -> None:
    document = {**DOCUMENT, "torch": {"version": "2.13.0+cpu", "cuda": None}}
    assert validate_environment((), None, "12", document).errors == (
        "torch 2.13.0+cpu is built without CUDA, and 12 is required",
    )
    found = validate_environment((), None, "12", {**DOCUMENT, "torch": None})
    assert found.is_valid and len(found.warnings) == 1


def test_what_was_not_captured_is_not_met() -> None:
    (error,) = validate_environment((), 1, None, {"level": "basic", "packages": []}).errors
    assert error == "no GPU: GPUs were not captured at level basic"
    broken = {"packages": [], "unavailable": {"packages": "OSError: disk"}}
    assert validate_environment(["numpy"], document=broken).errors == ("numpy: OSError: disk",)


@pytest.mark.parametrize(
    ("specs", "memory", "cuda"),
    [(["numpy>="], None, None), ([""], None, None), ((), -1, None), ((), float("nan"), None), ((), None, "twelve")],
)
def test_a_wrong_request_is_refused(specs: list[str], memory: float | None, cuda: str | None) -> None:
    with pytest.raises(InvalidValue):
        validate_environment(specs, memory, cuda, DOCUMENT)


def test_without_a_document_this_process_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert validate_environment("numpy").is_valid
    assert not validate_environment(["numpy<1"]).is_valid
    document = capture_environment().document
    monkeypatch.setattr(
        environment, "capture_environment", lambda: environment.EnvironmentCapture({**document, "packages": []})
    )
    assert not validate_environment("numpy").is_valid
