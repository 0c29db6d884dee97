"""What the machine does while a run works: processor, memory, disks, network and GPUs, sampled in a thread.

Laws: a reading is measured or absent, never a stand-in: a rate needs two looks, so the first sample has none; a sensor
that fails is named with its reason once and asked again the next time, and the others go on; the thread draws no random
number and touches no tensor, so it changes no bit. One more sample is taken at the end, so a run that is shorter than
the interval has one too. A forked child has no monitor. A sensor that hangs delays the end by `STOP_SECONDS` at most.

``process_…`` is the process itself without its children (looking for them costs more than all the rest); everything
else is the whole machine, as the kernel shows it, in a container too. Sizes are bytes, rates per second, shares in
percent: ``cpu_percent`` of all cores, ``process_cpu_percent`` of one core, so it may exceed 100.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from repro_assets.capture.nvml import load

INTERVAL_SECONDS = 1.0
STOP_SECONDS = 2.0

Take = Callable[[Mapping[str, float], Mapping[str, str]], None]


@dataclass(slots=True)
class Sample:
    """One look: readings by name, and the sensors that failed with the reasons."""

    readings: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Sensors:
    """What is looked at, by one thread at a time. Nothing is raised: what cannot be had is in `Sample.failed`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before: dict[str, tuple[float, float]] = {}
        self._gpus: list[Any] = []
        self._missing: dict[str, str] = {}
        self._nvml: Any = None
        self._library = self._nvidia_library()

    def look(self) -> Sample:
        """Read every sensor."""
        if self._library is not None:
            # Here and not when it is made: a driver may hang, and then it is the monitor's thread that waits.
            library, self._library = self._library, None
            self._begin_nvml(library)
        sample = Sample(failed=dict(self._missing))
        sensors: list[tuple[str, Callable[[Sample], None]]] = [
            ("cpu", self._cpu),
            ("memory", self._memory),
            ("disk", self._disk),
            ("network", self._network),
            ("process", self._own),
            ("process_io", self._own_io),
        ]
        for name, read in sensors:
            try:
                read(sample)
            except (OSError, psutil.Error, RuntimeError, NotImplementedError, AttributeError) as error:
                # AttributeError: psutil leaves out what a platform does not have.
                sample.failed[name] = _reason(error)
        for index, gpu in enumerate(self._gpus):
            self._gpu(sample, index, gpu)
        return sample

    def close(self) -> None:
        """Let go of the GPUs' driver."""
        if self._nvml is not None:
            nvml, self._nvml, self._gpus = self._nvml, None, []
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError as error:
                self._missing["gpu"] = _reason(error)

    def _nvidia_library(self) -> Any:
        try:
            return load()
        except (ImportError, OSError) as error:
            self._missing["gpu"] = _reason(error)
            return None

    def _begin_nvml(self, nvml: Any) -> None:
        try:
            nvml.nvmlInit()
            self._nvml = nvml
            self._gpus = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            self._missing["gpu"] = _reason(error)

    def _rate(self, sample: Sample, name: str, count: float, factor: float = 1.0) -> None:
        now = time.monotonic()
        before = self._before.get(name)
        self._before[name] = (now, count)
        # A counter that was set back, as by a new network interface, says nothing about this interval.
        if before is not None and now > before[0] and count >= before[1]:
            sample.readings[name] = factor * (count - before[1]) / (now - before[0])

    def _cpu(self, sample: Sample) -> None:
        times = psutil.cpu_times()
        # A guest's time is in `user` already.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle = times.idle + getattr(times, "iowait", 0.0)
        before = self._before.get("cpu")
        self._before["cpu"] = (total, idle)
        if before is not None and total > before[0]:
            busy = 1 - (idle - before[1]) / (total - before[0])
            sample.readings["cpu_percent"] = 100.0 * min(1.0, max(0.0, busy))
        sample.readings["load_1min"] = os.getloadavg()[0]

    def _memory(self, sample: Sample) -> None:
        memory = psutil.virtual_memory()
        sample.readings["memory_used_bytes"] = float(memory.total - memory.available)
        sample.readings["memory_percent"] = memory.percent

    def _disk(self, sample: Sample) -> None:
        # Without psutil's own care for counters that wrap: it takes a lock, which a forked child would find taken.
        counters = psutil.disk_io_counters(nowrap=False)
        if counters is None:
            raise RuntimeError("the system shows no disk")
        self._rate(sample, "disk_read_bytes_per_second", counters.read_bytes)
        self._rate(sample, "disk_written_bytes_per_second", counters.write_bytes)

    def _network(self, sample: Sample) -> None:
        counters = psutil.net_io_counters(nowrap=False)
        if counters is None:
            raise RuntimeError("the system shows no network interface")
        self._rate(sample, "network_received_bytes_per_second", counters.bytes_recv)
        self._rate(sample, "network_sent_bytes_per_second", counters.bytes_sent)

    def _own(self, sample: Sample) -> None:
        with self._process.oneshot():
            times = self._process.cpu_times()
            sample.readings["process_memory_bytes"] = float(self._process.memory_info().rss)
            sample.readings["process_threads"] = float(self._process.num_threads())
        self._rate(sample, "process_cpu_percent", times.user + times.system, 100.0)

    def _own_io(self, sample: Sample) -> None:
        counters = self._process.io_counters()
        self._rate(sample, "process_read_bytes_per_second", counters.read_bytes)
        self._rate(sample, "process_written_bytes_per_second", counters.write_bytes)

    def _gpu(self, sample: Sample, index: int, gpu: Any) -> None:
        nvml = self._nvml
        asked: list[tuple[str, Callable[[], float]]] = [
            ("utilization_percent", lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu),
            ("memory_used_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(gpu).used),
            ("celsius", lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            ("watts", lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
        ]
        for what, ask in asked:
            name = f"gpu{index}_{what}"
            try:
                sample.readings[name] = float(ask())
            except nvml.NVMLError as error:
                sample.failed[name] = _reason(error)


class Monitor:
    """Looks at the sensors every `interval` seconds, from `start` to `stop`, in a thread.

    Parameters
    ----------
    take : callable
        Called in that thread with the readings, and with those failures that it has not been told of.
    interval : float
        Seconds between two looks.
    sensors : Sensors, optional
        What to look at.
    """

    def __init__(self, take: Take, interval: float = INTERVAL_SECONDS, sensors: Sensors | None = None) -> None:
        self._take = take
        self._interval = interval
        self._sensors = sensors or Sensors()
        self._stopped = threading.Event()
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="repro-monitor", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        _running.add(self)
        self._thread.start()

    def stop(self) -> None:
        """Have the last sample taken and end the thread; a second call, or a forked child's, changes nothing."""
        _running.discard(self)
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        # The rates of the first sample that is kept have their beginning here.
        self._sensors.look()
        due = time.monotonic()
        stopped = False
        while not stopped:
            due = max(due + self._interval, time.monotonic())
            stopped = self._stopped.wait(due - time.monotonic())
            sample = self._sensors.look()
            fresh = {name: reason for name, reason in sample.failed.items() if name not in self._told}
            self._told |= fresh.keys()
            self._take(sample.readings, fresh)
        self._sensors.close()


def _reason(error: BaseException) -> str:
    return " ".join(f"{error}".split()) or type(error).__name__


_running: weakref.WeakSet[Monitor] = weakref.WeakSet()


def _stop_all() -> None:
    for monitor in list(_running):
        monitor.stop()


# A program may leave within a run: its last sample is taken before the interpreter takes the modules apart.
atexit.register(_stop_all)
os.register_at_fork(after_in_child=_running.clear)
