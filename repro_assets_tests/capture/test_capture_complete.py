"""The complete level: each of its parts says what is so, and names what could not be had."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import sys
import time
from collections.abc import Callable
from importlib.metadata import distributions
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from repro_assets.capture import conda, environment, machine_speed
from repro_assets.capture.cloud import identify_cloud
from repro_assets.capture.comparison import diff_environments
from repro_assets.capture.container import control_group, inspect_container
from repro_assets.capture.edited_packages import edited_packages
from repro_assets.capture.environment import EnvironmentCapture, capture_environment
from repro_assets.capture.hardware import inspect_hardware
from repro_assets.capture.level import Level
from repro_assets.capture.remembered import Remembered
from repro_assets.capture.shared_libraries import build_id, shared_libraries
from repro_assets.errors import MachineError

MODULE = "one/module.py"


def lay(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one installed package; the only one that is compared, because comparing all takes seconds."""
    site = tmp_path / "site"
    lay(site, {MODULE: "x = 1\n", "one/other.py": "y = 2\n", "one/a, b.txt": "c\n"})
    lines = []
    for path in (MODULE, "one/other.py", "one/a, b.txt"):
        digest = base64.urlsafe_b64encode(hashlib.sha256((site / path).read_bytes()).digest()).rstrip(b"=").decode()
        name = f'"{path}"' if "," in path else path
        lines.append(f"{name},sha256={digest},{(site / path).stat().st_size}")
    lines += ["one/__pycache__/module.cpython-311.pyc,,", "one-1.0.dist-info/RECORD,,"]
    lay(
        site,
        {
            "one-1.0.dist-info/METADATA": "Name: one\nVersion: 1.0\n",
            "one-1.0.dist-info/RECORD": "\n".join(lines) + "\n",
            "bare-2.0.dist-info/METADATA": "Name: bare\nVersion: 2.0\n",
        },
    )
    monkeypatch.setattr("repro_assets.capture.edited_packages.distributions", lambda: distributions(path=[str(site)]))
    return site


@pytest.fixture
def quick(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is measured, because numpy takes a second to start on a busy machine."""
    monkeypatch.setattr(environment, "processor_and_memory", lambda: {"benchmark_matmul_gflops": 1.0})
    return site


def complete(tmp_path: Path, **given: Any) -> EnvironmentCapture:
    return capture_environment("complete", cache=tmp_path / "cache", scratch=tmp_path / "scratch", **given)


def named(a: EnvironmentCapture, b: EnvironmentCapture) -> set[str]:
    found = diff_environments(a.document, b.document)
    assert not found.not_compared
    return {each.name for each in (*found.added, *found.removed, *found.changed)}


def test_each_level_holds_all_of_the_one_before(quick: Path, tmp_path: Path) -> None:
    captures = [capture_environment(level, cache=tmp_path, scratch=tmp_path) for level in Level]
    for smaller, larger in pairwise(captures):
        assert set(smaller.document) < set(larger.document)
        assert set(smaller.readings) < set(larger.readings)
        for name in set(smaller.document) - {"level", "unavailable"}:
            assert smaller.document[name] == larger.document[name]
    assert {"container", "cloud", "shared_libraries", "edited_packages"} <= set(captures[2].document)
    assert {"benchmark_matmul_gflops", "benchmark_store_write_mb_per_s"} <= set(captures[2].readings)


def test_an_unchanged_machine_gives_the_same_document_again(quick: Path, tmp_path: Path) -> None:
    assert complete(tmp_path).digest == complete(tmp_path).digest


@pytest.mark.parametrize("change", ["variable", "threads", "file", "missing"])
def test_one_change_is_the_one_difference(quick: Path, tmp_path: Path, change: str) -> None:
    variables = {"OMP_NUM_THREADS": "1", "LANG": "C"}
    before = complete(tmp_path, variables=variables)
    expected = "edited_packages.one.one/module.py"
    if change == "variable":
        variables, expected = {**variables, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}, "variables.CUBLAS_WORKSPACE_CONFIG"
    elif change == "threads":
        variables, expected = {**variables, "OMP_NUM_THREADS": "2"}, "variables.OMP_NUM_THREADS"
    elif change == "file":
        (quick / MODULE).write_text("x = 2\n")
    else:
        (quick / MODULE).unlink()
    assert named(before, complete(tmp_path, variables=variables)) == {expected}


def test_an_edited_file_is_named_with_what_it_holds_until_it_is_as_installed(site: Path, tmp_path: Path) -> None:
    time.sleep(1.1)  # a comparison is remembered once the files have rested
    remembered = Remembered(tmp_path, "environment")
    assert edited_packages(remembered) == ({}, {"bare": "it has no RECORD"})
    remembered.save()
    file = site / MODULE
    times = file.stat()
    file.write_text("x = 2\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # size and time are what they were
    again = Remembered(tmp_path, "environment")
    digest = "sha256:" + hashlib.sha256(b"x = 2\n").hexdigest()
    assert edited_packages(again)[0] == {"one": {MODULE: digest}}
    (site / "one/other.py").unlink()
    assert edited_packages(again)[0] == {"one": {MODULE: digest, "one/other.py": "missing"}}
    lay(site, {MODULE: "x = 1\n", "one/other.py": "y = 2\n"})
    assert edited_packages(again)[0] == {}


def test_what_was_compared_is_not_read_again(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(1.1)
    remembered = Remembered(tmp_path, "environment")
    found = edited_packages(remembered)
    monkeypatch.setattr("repro_assets.capture.edited_packages._difference", lambda path, recorded: "read again")
    assert edited_packages(remembered) == found


def test_an_unreadable_installed_file_is_a_reason(site: Path, tmp_path: Path) -> None:
    (site / MODULE).unlink()
    (site / MODULE).mkdir()
    assert edited_packages(Remembered(None, "environment"))[0] == {"one": {MODULE: "cannot be read: Is a directory"}}


def test_conda_packages_are_read_from_its_records_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = tmp_path / "conda-meta"
    # Put together here: the scanner would find it in this file.
    channel = "https://" + "me:pass4Word9x" + "@conda.example.org/t/ab-12345678-1234/forge"
    record = f'{{"name": "numpy", "version": "1.21.0", "build": "py39h20f2e39_0", "channel": "{channel}"}}'
    lay(meta, {"numpy-1.21.0-py39h20f2e39_0.json": record, "broken-1-0.json": "{", "nameless-1-0.json": "{}"})
    assert capture_environment("basic").document["conda_packages"] is None
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    document = capture_environment("basic").document
    assert document["conda_packages"] == [
        {
            "name": "numpy", "version": "1.21.0", "build": "py39h20f2e39_0",
            "channel": "https://conda.example.org/forge",
        }
    ]  # fmt: skip
    assert "JSONDecodeError" in document["unavailable"]["conda_packages.broken-1-0.json"]
    assert "KeyError" in document["unavailable"]["conda_packages.nameless-1-0.json"]
    (meta / "numpy-1.21.0-py39h20f2e39_0.json").unlink()
    assert conda.conda_packages(meta)[0] == []


@pytest.mark.parametrize(
    ("fields", "provider", "instance"),
    [
        ({"sys_vendor": "Amazon EC2", "product_name": "p4d.24xlarge"}, "aws", "p4d.24xlarge"),
        ({"sys_vendor": "Google", "product_name": "Google Compute Engine"}, "gcp", "unknown"),
        (
            {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77"},
            "azure",
            "unknown",
        ),
        ({"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine"}, "unknown", "unknown"),
        ({"sys_vendor": "QEMU", "product_name": "Standard PC"}, "unknown", "unknown"),
        ({}, "unknown", "unknown"),
    ],
)
def test_the_cloud_is_what_the_firmware_says(
    tmp_path: Path, fields: dict[str, str], provider: str, instance: str
) -> None:
    lay(tmp_path, {name: f"{text}\n" for name, text in fields.items()})
    found = identify_cloud(tmp_path)
    assert (found["provider"], found["instance"]) == (provider, instance)
    assert found["vendor"] == fields.get("sys_vendor", "unknown")


@pytest.mark.parametrize(
    ("files", "variables", "runtime", "image"),
    [
        ({}, {}, "none", None),
        ({".dockerenv": ""}, {}, "docker", "unknown"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes", "unknown"),
        (
            {"run/.containerenv": 'engine="podman"\nimage="docker.io/a:1"\nimageid="ab"\n'},
            {},
            "podman",
            "docker.io/a:1",
        ),
        ({}, {"APPTAINER_CONTAINER": "/images/train.sif"}, "apptainer", "train.sif"),
        ({}, {"SINGULARITY_NAME": "train.sif"}, "singularity", "train.sif"),
        ({".singularity.d/env": ""}, {}, "apptainer", "unknown"),
        ({"run/systemd/container": "lxc\n"}, {}, "lxc", "unknown"),
        ({"proc/self/cgroup": "0::/system.slice/docker-ab12.scope\n"}, {}, "docker", "unknown"),
        ({"proc/self/cgroup": "0::/user.slice/session-2.scope\n"}, {}, "none", None),
    ],
)
def test_the_container_is_told_as_far_as_it_can_be_known(
    tmp_path: Path, files: dict[str, str], variables: dict[str, str], runtime: str, image: str | None
) -> None:
    lay(tmp_path, files)
    found = inspect_container(None, tmp_path, variables)
    assert (found["runtime"], found["image"]) == (runtime, image)
    assert found["image_id"] == ("ab" if runtime == "podman" else None)


def test_limits_definitions_and_control_group_of_a_container(tmp_path: Path) -> None:
    lay(tmp_path, {"sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/memory.max": "max\n"})
    lay(tmp_path, {"proc/self/cgroup": "4:memory:/a/b\n0::/\n", "project/Dockerfile": "FROM a\n", "project/t.def": ""})
    found = inspect_container(tmp_path / "project", tmp_path, {})
    assert found["limits"] == {"cpus": 1.5, "memory_bytes": None}
    assert found["definitions"] == {
        "Dockerfile": "sha256:" + hashlib.sha256(b"FROM a\n").hexdigest(),
        "t.def": "sha256:" + hashlib.sha256(b"").hexdigest(),
    }
    assert control_group(tmp_path) == "/a/b"
    old = tmp_path / "old"
    lay(
        old,
        {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n",
        },
    )  # fmt: skip
    assert inspect_container(None, old, {})["limits"] == {"cpus": 0.5, "memory_bytes": 1048576}
    lay(old, {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    lay(old, {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"})
    assert inspect_container(None, old, {})["limits"] == {"cpus": None, "memory_bytes": None}


def elf(note: bytes) -> bytes:
    """A 64-bit little-endian ELF file with one program header, which points to a note."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(note), len(note), 4) + note


def test_a_build_id_is_found_among_other_notes(tmp_path: Path) -> None:
    other = struct.pack("<III", 5, 3, 1) + b"stap\0\0\0\0" + b"abc\0"
    (tmp_path / "a.so").write_bytes(elf(other + struct.pack("<III", 4, 4, 3) + b"GNU\0" + b"\xde\xad\xbe\xef"))
    (tmp_path / "b.so").write_bytes(elf(other))
    (tmp_path / "c.txt").write_bytes(b"text" * 40)
    assert [build_id(tmp_path / name) for name in ("a.so", "b.so", "c.txt")] == ["deadbeef", None, None]


def test_loaded_libraries_are_known_by_build_id_or_digest_and_replaced_ones_are_named(tmp_path: Path) -> None:
    files = {"with.so": elf(struct.pack("<III", 4, 4, 3) + b"GNU\0" + b"\x01\x02\x03\x04"), "without.so": elf(b"")}
    lines = []
    for name, data in {**files, "replaced.so": files["with.so"], "data.bin": b"no library"}.items():
        (tmp_path / name).write_bytes(data)
        inode = (tmp_path / name).stat().st_ino + (name == "replaced.so")
        for permissions in ("r--p", "r-xp"):
            lines.append(f"7f00-7f01 {permissions} 00000000 fe:00 {inode}    {tmp_path / name}")
    lines += [
        f"7f00-7f01 r-xp 00000000 fe:00 99 {tmp_path}/gone.so (deleted)",
        "7f00-7f01 r-xp 00000000 00:00 0 [vdso]",
    ]
    (tmp_path / "maps").write_text("\n".join(lines))
    assert shared_libraries(Remembered(None, "x"), tmp_path / "maps") == {
        f"{tmp_path}/gone.so (deleted)": "removed since it was loaded",
        f"{tmp_path}/replaced.so": "replaced since it was loaded",
        f"{tmp_path}/with.so": "build-id:01020304",
        f"{tmp_path}/without.so": "sha256:" + hashlib.sha256(files["without.so"]).hexdigest(),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists what is mapped")
def test_the_libraries_of_this_process_are_listed_relative_to_its_interpreter() -> None:
    found = shared_libraries(Remembered(None, "x"))
    assert any("/libc" in path for path in found)
    assert any(path.startswith(("{prefix}/", "{base_prefix}/")) for path in found)
    assert {value.partition(":")[0] for value in found.values()} <= {"build-id", "sha256"}
    assert not [path for path in found if path.startswith(sys.prefix)]


def test_where_the_kernel_lists_nothing_the_reason_is_recorded(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(remembered: Remembered) -> dict[str, str]:
        return shared_libraries(remembered, tmp_path / "no such file")

    monkeypatch.setattr(environment, "shared_libraries", absent)
    document = complete(tmp_path).document
    assert document["shared_libraries"] is None
    assert "FileNotFoundError" in document["unavailable"]["shared_libraries"]


def test_the_machine_is_measured_and_nothing_stays_behind(tmp_path: Path) -> None:
    assert machine_speed.durable_writing(tmp_path / "scratch") > 0
    assert list((tmp_path / "scratch").iterdir()) == []
    found = machine_speed.processor_and_memory()
    assert set(found) == {"benchmark_matmul_gflops", "benchmark_memory_gb_per_s"}
    assert all(value > 0 for value in found.values())


@pytest.mark.parametrize(
    ("program", "reason"), [("sleep 60", "longer than"), ("echo no numpy here >&2; exit 1", "no numpy here")]
)
def test_a_measurement_that_hangs_or_fails_is_a_reason(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {program}\n" if program.startswith("sleep") else f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(machine_speed, "_TIMEOUT", 0.5)
    with pytest.raises(MachineError, match=reason):
        machine_speed.processor_and_memory()
    captured = capture_environment("complete", scratch=tmp_path / "python")  # a file: nothing can be written there
    assert reason in captured.missing["benchmark"]
    assert "benchmark_store_write_mb_per_s" in captured.missing
    assert "benchmark_matmul_gflops" not in captured.readings


class Driver:
    """A driver with two boards, of which one call raises."""

    class NVMLError(Exception): ...

    NVML_TEMPERATURE_GPU = 0
    answers: ClassVar[dict[str, Callable[..., Any]]] = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: b"550.54",
        "nvmlSystemGetCudaDriverVersion": lambda: 12040,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(total=80_000_000_000, free=79_000_000_000),
        "nvmlDeviceGetCudaComputeCapability": lambda gpu: (9, 0),
        "nvmlDeviceGetEccMode": lambda gpu: (1, 1),
        "nvmlDeviceGetMigMode": lambda gpu: (0, 0),
        "nvmlDeviceGetName": lambda gpu: "Board",
        "nvmlDeviceGetUUID": lambda gpu: f"GPU-{gpu}",
        "nvmlDeviceGetTemperature": lambda gpu, sensor: 40,
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=5),
    }

    def __init__(self, broken: str, error: Exception) -> None:
        self.broken, self.error = broken, error

    def __getattr__(self, name: str) -> Any:
        def answer(*given: Any) -> Any:
            if name == self.broken:
                raise self.error
            return self.answers[name](*given)

        return answer


def test_every_gpu_is_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver("", OSError()))  # type: ignore[arg-type]
    hardware = inspect_hardware()
    assert hardware.unavailable == {}
    assert hardware.totals["gpus"] == [
        {
            "index": index, "name": "Board", "memory_bytes": 80_000_000_000, "driver": "550.54", "cuda_driver": "12.4",
            "compute_capability": "9.0", "ecc": True, "mig": False,
        }
        for index in range(2)
    ]  # fmt: skip
    assert hardware.host["gpu_uuids"] == ["GPU-0", "GPU-1"]
    assert hardware.readings["gpu1_celsius"] == 40.0


@pytest.mark.parametrize(
    "error", [Driver.NVMLError("Unknown Error"), OSError("driver gone"), AttributeError("no call")]
)
@pytest.mark.parametrize("call", Driver.answers)
def test_a_driver_that_fails_at_any_call_is_a_reason_and_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver(call, error))  # type: ignore[arg-type]
    hardware = inspect_hardware()
    reasons = {**hardware.unavailable, **hardware.missing_readings}
    assert str(error) in reasons.values()
    assert hardware.totals["memory_bytes"] > 0
    without = ("nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex")
    assert len(hardware.totals["gpus"]) == (0 if call in without else 2)


def test_a_person_adds_variables_and_takes_away_but_never_one_that_is_named_a_secret() -> None:
    variables = {
        "REPRO_CAPTURE_ALLOW": "MY_*, OTHER", "REPRO_CAPTURE_DENY": "MY_PRIVATE_PATH,TZ", "TZ": "UTC", "LANG": "C",
        "MY_FLAG": "1", "MY_PRIVATE_PATH": "/x", "OTHER": "2", "MY_TOKEN": "3", "UNNAMED": "4", "NCCL_AUTH_X": "5",
    }  # fmt: skip
    taken = capture_environment(variables=variables).document["variables"]
    assert taken == {"LANG": "C", "MY_FLAG": "1", "OTHER": "2"}
