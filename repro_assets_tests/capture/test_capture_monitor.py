"""The sensors of the machine, with a driver of our own in the place of NVIDIA's, and the thread that looks at them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from repro_assets.capture import monitor
from repro_assets.capture.monitor import Monitor, Sample, Sensors

GPU_READINGS = {"gpu0_utilization_percent", "gpu0_memory_used_bytes", "gpu0_celsius", "gpu0_watts"}


class Failed(Exception):
    """What the driver of our own raises."""


def driver(**questions: Callable[..., Any]) -> Any:
    """Answers of one GPU, but for those that are given."""
    answers: dict[str, Any] = {
        "NVMLError": Failed,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=37),
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=5 << 30),
        "nvmlDeviceGetTemperature": lambda gpu, sensor: 61,
        "nvmlDeviceGetPowerUsage": lambda gpu: 250_500,
    }
    return SimpleNamespace(**{**answers, **questions})


def failing(text: str) -> Callable[..., Any]:
    def ask(*given: Any) -> Any:
        raise Failed(text)

    return ask


@pytest.fixture
def with_driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    return lambda library: monkeypatch.setitem(sys.modules, "pynvml", library)


class Taken:
    """What a monitor gave."""

    def __init__(self) -> None:
        self.samples: list[tuple[dict[str, float], dict[str, str]]] = []
        self.came = threading.Condition()

    def __call__(self, readings: Mapping[str, float], failed: Mapping[str, str]) -> None:
        with self.came:
            self.samples.append((dict(readings), dict(failed)))
            self.came.notify_all()

    def wait(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.samples) >= count, 60)


def test_a_second_look_knows_the_rates_since_the_first(with_driver: Callable[[Any], None]) -> None:
    with_driver(driver(nvmlInit=failing("no driver")))
    sensors = Sensors()
    first = sensors.look().readings
    began = time.monotonic()
    while time.monotonic() - began < 0.3:
        pass
    second = sensors.look().readings
    rates = {name for name in second if name.endswith("_per_second")} | {"cpu_percent", "process_cpu_percent"}
    assert not rates & set(first)
    assert second.keys() >= {"load_1min", "memory_used_bytes", "process_memory_bytes", "process_threads", *rates}
    # Busy for three tenths of a second, as far as other processes let it: no stand-in would be above nothing.
    assert second["process_cpu_percent"] > 0
    assert 0 < second["cpu_percent"] <= 100
    assert 0 < second["memory_percent"] <= 100
    assert all(value >= 0 for value in second.values())
    machine = psutil.virtual_memory()
    assert second["process_memory_bytes"] < second["memory_used_bytes"] < machine.total


def test_a_gpu_is_read_in_the_units_that_the_names_say(with_driver: Callable[[Any], None]) -> None:
    with_driver(driver())
    sample = Sensors().look()
    assert {name: value for name, value in sample.readings.items() if name.startswith("gpu")} == {
        "gpu0_utilization_percent": 37.0,
        "gpu0_memory_used_bytes": float(5 << 30),
        "gpu0_celsius": 61.0,
        "gpu0_watts": 250.5,
    }
    assert sample.failed == {}


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("nvmlInit", {"gpu"}),
        ("nvmlDeviceGetCount", {"gpu"}),
        ("nvmlDeviceGetHandleByIndex", {"gpu"}),
        ("nvmlDeviceGetPowerUsage", {"gpu0_watts"}),
        ("nvmlDeviceGetTemperature", {"gpu0_celsius"}),
        ("nvmlDeviceGetMemoryInfo", {"gpu0_memory_used_bytes"}),
    ],
)
def test_what_a_broken_driver_does_not_answer_is_named_and_the_rest_is_read(
    with_driver: Callable[[Any], None], question: str, missing: set[str]
) -> None:
    with_driver(driver(**{question: failing("GPU is lost")}))
    sensors = Sensors()
    sensors.look()
    sample = sensors.look()
    assert sample.failed == dict.fromkeys(missing, "GPU is lost")
    wanted = set() if missing == {"gpu"} else GPU_READINGS - missing
    assert {name for name in sample.readings if name.startswith("gpu")} == wanted
    assert "memory_used_bytes" in sample.readings
    sensors.close()


def test_without_the_library_the_gpu_is_named_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pynvml" in Sensors().look().failed["gpu"]


@pytest.mark.parametrize(
    ("question", "sensor"),
    [("disk_io_counters", "disk"), ("net_io_counters", "network"), ("virtual_memory", "memory"), ("cpu_times", "cpu")],
)
def test_a_sensor_that_the_system_refuses_is_named_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, with_driver: Callable[[Any], None], question: str, sensor: str
) -> None:
    def refuse(**given: Any) -> Any:
        raise PermissionError(13, "not in this container")

    with_driver(driver())
    monkeypatch.setattr(monitor.psutil, question, refuse)
    sample = Sensors().look()
    assert sample.failed == {sensor: "[Errno 13] not in this container"}
    assert sample.readings.keys() >= GPU_READINGS | {"process_memory_bytes"}
    monkeypatch.setattr(monitor.psutil, question, lambda **given: None)
    if sensor in ("disk", "network"):
        assert sensor in Sensors().look().failed


def test_a_counter_that_was_set_back_gives_no_rate(
    monkeypatch: pytest.MonkeyPatch, with_driver: Callable[[Any], None]
) -> None:
    with_driver(driver())
    counts = iter([100, 50, 150])

    def counters(**given: Any) -> Any:
        count = next(counts)
        return SimpleNamespace(bytes_recv=count, bytes_sent=count)

    monkeypatch.setattr(monitor.psutil, "net_io_counters", counters)
    sensors = Sensors()
    looks = [sensors.look().readings for _ in range(3)]
    assert ["network_sent_bytes_per_second" in readings for readings in looks] == [False, False, True]


class Scripted(Sensors):
    """Sensors that fail in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.closed = False

    def look(self) -> Sample:
        self.looks += 1
        return Sample({"load_1min": float(self.looks)}, {"disk": f"failure {self.looks}"} if self.looks != 3 else {})

    def close(self) -> None:
        self.closed = True


def test_a_failure_is_told_once_and_a_short_life_has_one_sample_too() -> None:
    taken, sensors = Taken(), Scripted()
    long = Monitor(taken, 0.01, sensors)
    long.start()
    taken.wait(4)
    long.stop()
    long.stop()
    assert [failed for _, failed in taken.samples[:4]] == [{"disk": "failure 2"}, {}, {}, {}]
    # The first look of all is where the rates begin.
    assert taken.samples[0][0] == {"load_1min": 2.0}
    assert sensors.closed
    taken = Taken()
    short = Monitor(taken, 3600, Scripted())
    short.start()
    short.stop()
    assert len(taken.samples) == 1


def test_a_sensor_that_hangs_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    class Hanging(Scripted):
        def look(self) -> Sample:
            hangs.wait(120)
            return super().look()

    monkeypatch.setattr(monitor, "STOP_SECONDS", 0.05)
    taken = Taken()
    held = Monitor(taken, 0.01, Hanging())
    held.start()
    held.stop()
    assert taken.samples == []
    hangs.set()
    held._thread.join(60)


def test_a_forked_child_and_the_end_of_the_interpreter_are_no_matter() -> None:
    program = """
import os, sys
from repro_assets.capture.monitor import Monitor
taken = []
def take(readings, failed):
    taken.append(os.getpid())
    print("taken", os.getpid() == parent, flush=True)
parent = os.getpid()
monitor = Monitor(take, 3600)
monitor.start()
child = os.fork()
if child == 0:
    monitor.stop()
    sys.exit(len(taken))
print("child", os.waitpid(child, 0)[1], flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    # The parent leaves without stopping it: the last sample is taken all the same.
    assert (done.returncode, done.stdout.splitlines()) == (0, ["child 0", "taken True"]), done.stderr
