"""The monitor's sensors on a machine with a GPU."""

from __future__ import annotations

import pytest
import torch

from repro_assets.capture.monitor import Sensors

pytestmark = pytest.mark.gpu


def test_the_gpus_of_this_machine_are_read_and_their_memory_grows_with_a_tensor() -> None:
    sensors = Sensors()
    before = sensors.look()
    names = {f"gpu0_{what}" for what in ("utilization_percent", "memory_used_bytes", "celsius", "watts")}
    assert before.readings.keys() >= names - before.failed.keys()
    assert "gpu" not in before.failed
    assert 0 <= before.readings["gpu0_utilization_percent"] <= 100
    kept = torch.ones(1 << 28, dtype=torch.uint8, device="cuda:0")
    grown = sensors.look().readings["gpu0_memory_used_bytes"] - before.readings["gpu0_memory_used_bytes"]
    assert grown >= kept.nbytes
    sensors.close()
