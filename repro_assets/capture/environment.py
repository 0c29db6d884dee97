"""The software and the machine that a run is executed on.

Laws: a capture never stops a run; what could not be had is in ``document["unavailable"]`` with the reason. Two captures
of an unchanged machine by processes with the same variables give the same document, whatever those processes have
imported, and nothing is imported for the capture's sake; so what only a loaded library can tell is in `loaded`, outside
the document. There is one exception: ``shared_libraries`` of the complete level says what this process had loaded.
Numbers that change from moment to moment are in `readings`. Variables are taken by allow list only, and
their values pass the secret scanner.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.capture.cloud import identify_cloud
from repro_assets.capture.container import control_group, inspect_container
from repro_assets.capture.edited_packages import edited_packages
from repro_assets.capture.hardware import Hardware, inspect_hardware, operating_system
from repro_assets.capture.level import Level
from repro_assets.capture.libraries import installed_libraries, loaded_libraries
from repro_assets.capture.machine_speed import durable_writing, processor_and_memory
from repro_assets.capture.packages import installed_packages
from repro_assets.capture.remembered import Remembered
from repro_assets.capture.shared_libraries import shared_libraries
from repro_assets.capture.software import ask, describe_interpreter, describe_settings
from repro_assets.identity.canonical import encode
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest


@dataclass(frozen=True, slots=True)
class EnvironmentCapture:
    """What was captured.

    Parameters
    ----------
    document : dict
        JSON-able; `digest` is that of this as an artifact. Its member ``host`` names this one machine and can be left
        out of a copy.
    readings : dict
        Metrics at the moment of the capture; units are in the names or bytes.
    loaded : dict
        What only this process can say: ``torch`` (if it was imported already) and ``libraries`` about themselves, and
        at the complete level ``control_group``; empty at the basic level.
    missing : dict
        Which readings and which part of `loaded` could not be had, with the reason.
    """

    document: dict[str, Any]
    readings: dict[str, float] = field(default_factory=dict)
    loaded: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """Digest of the artifact as which a store holds `document`; `repro env capture` prints the same."""
        data = encode(self.document)
        return Digest.of(Manifest("json", (Entry("value", len(data), (Digest.of(data),)),)).encode())


def capture_environment(
    level: Level | str | int = Level.STANDARD,
    variables: Mapping[str, str] | None = None,
    disk: Path = Path("/"),
    project: Path | None = None,
    cache: Path | None = None,
    scratch: Path | None = None,
) -> EnvironmentCapture:
    """Capture this process's environment.

    Parameters
    ----------
    level : Level or its name or number
        ``basic``: Python, packages (conda's too), operating system. ``standard``: also torch's build, hardware,
        mathematical libraries and variables. ``complete``: also container, shared libraries, edited packages, cloud and
        the machine's speed.
    variables : mapping, optional
        Variables to choose from; by default those that this process was started with.
    disk : path
        A folder in the file system whose size counts.
    project : path, optional
        The project's folder, whose container definitions are named.
    cache : path, optional
        A folder where it is remembered what is installed, and which of its files were compared.
    scratch : path, optional
        A folder into which writing is measured at the complete level.

    Raises
    ------
    InvalidValue
        If `level` is no level. Nothing else is raised: see the module's laws.
    """
    level = Level.parse(level)
    unavailable: dict[str, str] = {}
    document: dict[str, Any] = {
        "format": 1,
        "level": str(level),
        "os": ask(unavailable, "os", operating_system),
        "unavailable": unavailable,
        **describe_interpreter(unavailable, cache),
    }
    if not level.takes(Level.STANDARD):
        return EnvironmentCapture(document)
    document.update(describe_settings(unavailable, variables))
    installed = installed_packages(cache).installed
    document["libraries"] = ask(unavailable, "libraries", lambda: installed_libraries(installed))
    hardware: Hardware = ask(unavailable, "hardware", lambda: inspect_hardware(disk)) or Hardware()
    unavailable.update(hardware.unavailable)
    document["hardware"] = hardware.totals
    document["host"] = hardware.host
    missing = hardware.missing_readings
    loaded = {
        "torch": ask(missing, "loaded.torch", loaded_torch),
        "libraries": ask(missing, "loaded.libraries", loaded_libraries),
    }
    captured = EnvironmentCapture(document, hardware.readings, loaded, missing)
    if level.takes(Level.COMPLETE):
        _complete(captured, unavailable, project, cache, scratch)
    return captured


def _complete(
    captured: EnvironmentCapture,
    unavailable: dict[str, str],
    project: Path | None,
    cache: Path | None,
    scratch: Path | None,
) -> None:
    document, missing = captured.document, captured.missing
    remembered = Remembered(cache, "environment")
    document["container"] = ask(unavailable, "container", lambda: inspect_container(project))
    document["cloud"] = ask(unavailable, "cloud", identify_cloud)
    document["shared_libraries"] = ask(unavailable, "shared_libraries", lambda: shared_libraries(remembered))
    edited, unverified = ask(unavailable, "edited_packages", lambda: edited_packages(remembered)) or (None, {})
    document["edited_packages"] = edited
    unavailable.update({f"edited_packages.{name}": reason for name, reason in unverified.items()})
    captured.loaded["control_group"] = control_group()
    captured.readings.update(ask(missing, "benchmark", processor_and_memory) or {})
    written = None
    if scratch is not None:
        written = ask(missing, "benchmark_store_write_mb_per_s", lambda: durable_writing(scratch))
    if written is not None:
        captured.readings["benchmark_store_write_mb_per_s"] = written
    # Only time is lost where this cannot be kept.
    ask(missing, "remembered", remembered.save)


def loaded_torch() -> dict[str, Any] | None:
    """What the torch of this process says about itself; None where it has not been imported."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "backends"):
        return None
    configuration = torch.__config__.show()
    return {
        "version": str(torch.__version__),
        "configuration": configuration,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        "nccl": _nccl(torch),
        "blas": _build_setting(configuration, "BLAS_INFO"),
        "lapack": _build_setting(configuration, "LAPACK_INFO"),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
    }


def _nccl(torch: Any) -> str | None:
    if torch.version.cuda is None or not torch.distributed.is_available() or not torch.distributed.is_nccl_available():
        return None
    return ".".join(str(part) for part in torch.cuda.nccl.version())


def _build_setting(configuration: str, name: str) -> str | None:
    _, found, rest = configuration.partition(f"{name}=")
    return rest.split(",")[0].strip() if found else None
