"""What NVML says of real GPUs agrees with what torch says of them."""

from __future__ import annotations

import pytest

from repro_assets.capture.hardware import inspect_hardware

torch = pytest.importorskip("torch")
pytest.importorskip("pynvml")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def test_every_gpu_that_torch_sees_is_captured_with_its_facts() -> None:
    hardware = inspect_hardware()
    gpus = hardware.totals["gpus"]
    assert len(gpus) >= torch.cuda.device_count()
    seen = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    for properties in seen:
        assert any(
            gpu["name"] == properties.name
            and gpu["compute_capability"] == f"{properties.major}.{properties.minor}"
            and gpu["memory_bytes"] >= properties.total_memory
            for gpu in gpus
        )
    assert all(gpu["driver"] and gpu["cuda_driver"] for gpu in gpus)
    assert len(set(hardware.host["gpu_uuids"])) == len(gpus)


def test_the_totals_of_a_busy_gpu_are_those_of_an_idle_one() -> None:
    idle = inspect_hardware()
    held = torch.ones(1 << 28, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    busy = inspect_hardware()
    assert busy.totals == idle.totals
    assert busy.host == idle.host
    assert busy.readings["gpu0_memory_free_bytes"] < idle.readings["gpu0_memory_free_bytes"]
    del held
