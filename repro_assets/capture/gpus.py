"""Every GPU that NVML shows.

Laws: each question is asked on its own: what a driver or a board does not answer, whatever it does instead, is named
with its reason, and the rest is told all the same. Nothing of CUDA is started, so no memory of a GPU is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from repro_assets.capture.nvml import load

if TYPE_CHECKING:
    from repro_assets.capture.hardware import Hardware


def inspect_gpus(hardware: Hardware) -> None:
    """Add the GPUs to the totals, their serials to the host, what they do right now to the readings."""
    hardware.totals["gpus"] = []
    try:
        nvml = load()
    except (ImportError, OSError) as error:
        hardware.unavailable["gpus"] = str(error)
        return
    broken = (nvml.NVMLError, OSError, AttributeError, ValueError, TypeError, RuntimeError)

    def ask(where: dict[str, str], name: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except broken as error:
            where[name] = str(error) or type(error).__name__
            return None

    def begin() -> bool:
        nvml.nvmlInit()
        return True

    if not ask(hardware.unavailable, "gpus", begin):
        return
    _all(hardware, nvml, ask)
    ask(hardware.missing_readings, "gpus", nvml.nvmlShutdown)


def _all(hardware: Hardware, nvml: Any, ask: Callable[..., Any]) -> None:
    unavailable, missing = hardware.unavailable, hardware.missing_readings
    driver = _text(ask(unavailable, "gpus.driver", nvml.nvmlSystemGetDriverVersion))
    cuda = ask(unavailable, "gpus.cuda_driver", nvml.nvmlSystemGetCudaDriverVersion)
    serials = []
    for index in range(ask(unavailable, "gpus", nvml.nvmlDeviceGetCount) or 0):
        part = f"gpus[{index}]"
        gpu = ask(unavailable, part, lambda index=index: nvml.nvmlDeviceGetHandleByIndex(index))
        if gpu is None:
            continue

        def of(where: dict[str, str], name: str, question: str, *given: Any, gpu: Any = gpu) -> Any:
            return ask(where, name, lambda: getattr(nvml, question)(gpu, *given))

        memory = of(unavailable, f"{part}.memory_bytes", "nvmlDeviceGetMemoryInfo")
        capability = of(unavailable, f"{part}.compute_capability", "nvmlDeviceGetCudaComputeCapability")
        ecc = of(unavailable, f"{part}.ecc", "nvmlDeviceGetEccMode")
        mig = of(unavailable, f"{part}.mig", "nvmlDeviceGetMigMode")
        hardware.totals["gpus"].append(
            {
                "index": index,
                "name": _text(of(unavailable, f"{part}.name", "nvmlDeviceGetName")),
                "memory_bytes": None if memory is None else memory.total,
                "driver": driver,
                "cuda_driver": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
                "compute_capability": None if capability is None else f"{capability[0]}.{capability[1]}",
                "ecc": None if ecc is None else bool(ecc[0]),
                "mig": None if mig is None else bool(mig[0]),
            }
        )
        serials.append(_text(of(unavailable, f"{part}.uuid", "nvmlDeviceGetUUID")))
        if memory is not None:
            hardware.readings[f"gpu{index}_memory_free_bytes"] = float(memory.free)
        celsius = of(missing, f"gpu{index}_celsius", "nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        if celsius is not None:
            hardware.readings[f"gpu{index}_celsius"] = float(celsius)
        rates = of(missing, f"gpu{index}_utilization_percent", "nvmlDeviceGetUtilizationRates")
        if rates is not None:
            hardware.readings[f"gpu{index}_utilization_percent"] = float(rates.gpu)
    if serials:
        hardware.host["gpu_uuids"] = serials


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
