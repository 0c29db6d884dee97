"""What the machine is.

Laws: totals (what the machine has) are apart from readings (what is free right now), because only the first are part of
an environment's identity; what names this one host (host name, GPU serials) is apart from both, so that it can be left
out of what is published. What could not be read is listed with the reason and is never a zero.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from repro_assets.capture.gpus import inspect_gpus


@dataclass(slots=True)
class Hardware:
    """Facts about the machine.

    Parameters
    ----------
    totals : dict
        ``os``, ``cpu``, ``memory_bytes``, ``disk_bytes``, ``gpus``: the same at every capture of one machine.
    readings : dict
        Numbers that change from moment to moment; sizes in bytes, loads as numbers of processes, temperatures in °C.
    host : dict
        What identifies this one machine: its name and its GPUs' serials.
    unavailable : dict
        Which totals could not be read, with the reason.
    missing_readings : dict
        Which readings could not be read, with the reason; apart, because that too may change from moment to moment.
    """

    totals: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, float] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    missing_readings: dict[str, str] = field(default_factory=dict)


def operating_system() -> dict[str, str]:
    """Name, release and architecture of the operating system, and the C library's version where there is one."""
    system = {"system": platform.system(), "kernel": platform.release(), "machine": platform.machine()}
    if system["system"] == "Linux":
        try:
            system["name"] = platform.freedesktop_os_release()["PRETTY_NAME"]
        except (OSError, KeyError):
            system["name"] = platform.version()  # a system without os-release is told apart by its kernel's build
        libc = platform.libc_ver()
        if libc[0]:
            system["libc"] = f"{libc[0]} {libc[1]}"
    elif system["system"] == "Darwin":
        system["name"] = f"macOS {platform.mac_ver()[0]}"
    return system


def inspect_hardware(disk: Path = Path("/")) -> Hardware:
    """Look at processor, memory, disk and GPUs.

    Parameters
    ----------
    disk : path
        A folder in the file system whose size counts.
    """
    hardware = Hardware()
    _cpu(hardware)
    memory = psutil.virtual_memory()
    hardware.totals["memory_bytes"] = memory.total
    hardware.readings["memory_available_bytes"] = float(memory.available)
    try:
        usage = psutil.disk_usage(str(disk))
        hardware.totals["disk_bytes"] = usage.total
        hardware.readings["disk_free_bytes"] = float(usage.free)
    except OSError as error:
        hardware.unavailable["disk_bytes"] = str(error)
    one, five, fifteen = os.getloadavg()
    hardware.readings.update(load_1min=one, load_5min=five, load_15min=fifteen)
    hardware.host["name"] = platform.node()
    inspect_gpus(hardware)
    return hardware


def _cpu(hardware: Hardware) -> None:
    model, flags, reason = cpu_model_and_flags()
    hardware.totals["cpu"] = {
        "model": model,
        "flags": flags,
        "logical_cores": psutil.cpu_count(logical=True),
        "physical_cores": psutil.cpu_count(logical=False),
    }
    if reason:
        hardware.unavailable["cpu"] = reason
    if hasattr(os, "sched_getaffinity"):
        # Not a total: taskset and containers change it from process to process.
        hardware.readings["usable_cores"] = float(len(os.sched_getaffinity(0)))


_cpu_facts: tuple[str, list[str], str] | None = None


def cpu_model_and_flags() -> tuple[str, list[str], str]:
    """Model name and sorted instruction-set flags of the processor, and why one of them is missing (or ``""``)."""
    global _cpu_facts
    if _cpu_facts is None:
        _cpu_facts = _sysctl_cpu() if sys.platform == "darwin" else _proc_cpu()
    return _cpu_facts


def _proc_cpu() -> tuple[str, list[str], str]:
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0]
    except OSError as error:
        return platform.processor(), [], str(error)
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    flags = sorted((facts.get("flags") or facts.get("Features") or "").split())
    # ARM kernels write no model name; implementer and part identify the core.
    model = facts.get("model name") or " ".join(
        facts[name] for name in ("CPU implementer", "CPU part", "CPU variant", "CPU revision") if name in facts
    )
    return model, flags, "" if model and flags else "/proc/cpuinfo names no model or no flags"


def _sysctl_cpu() -> tuple[str, list[str], str]:
    try:
        lines = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout.split("\n")
        features = subprocess.run(
            ["/usr/sbin/sysctl", "hw.optional"], capture_output=True, text=True, check=True, timeout=5
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return platform.processor(), [], str(error)
    flags = sorted(
        line.partition(":")[0].removeprefix("hw.optional.") for line in features.splitlines() if line.endswith(": 1")
    )
    return lines[0], flags, ""
