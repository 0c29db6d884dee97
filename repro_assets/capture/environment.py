"""The software and the machine that a run is executed on.

Laws: a capture never stops a run; what could not be had is in ``document["unavailable"]`` with the reason. Two captures
of an unchanged machine by processes with the same variables give the same document, whatever those processes have
imported, and nothing is imported for the capture's sake; so what only a loaded torch can tell is in `loaded`, outside
the document. Numbers that change from moment to moment are in `readings`. Variables are taken by allow list only, and
their values pass the secret scanner.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_assets.capture.hardware import Hardware, inspect_hardware, operating_system
from repro_assets.capture.level import Level
from repro_assets.capture.software import ask, describe_interpreter, describe_settings
from repro_assets.identity.canonical import digest_of
from repro_assets.identity.digest import Digest


@dataclass(frozen=True, slots=True)
class EnvironmentCapture:
    """What was captured.

    Parameters
    ----------
    document : dict
        JSON-able; `digest` is over this. Its member ``host`` names this one machine and can be left out of a copy.
    readings : dict
        Metrics at the moment of the capture; units are in the names or bytes.
    loaded : dict
        What a torch that was already imported says about itself; empty without one.
    missing : dict
        Which readings and which part of `loaded` could not be had, with the reason.
    """

    document: dict[str, Any]
    readings: dict[str, float] = field(default_factory=dict)
    loaded: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """Digest of the canonical encoding of `document`."""
        return digest_of(self.document)


def capture_environment(
    level: Level | str | int = Level.STANDARD,
    variables: Mapping[str, str] | None = None,
    disk: Path = Path("/"),
) -> EnvironmentCapture:
    """Capture this process's environment.

    Parameters
    ----------
    level : Level or its name or number
        ``basic``: Python, packages, operating system. ``standard``: also torch's build, hardware and variables.
    variables : mapping, optional
        Variables to choose from; by default those that this process was started with.
    disk : path
        A folder in the file system whose size counts.

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
        **describe_interpreter(unavailable),
    }
    if not level.takes(Level.STANDARD):
        return EnvironmentCapture(document)
    document.update(describe_settings(unavailable, variables))
    hardware: Hardware = ask(unavailable, "hardware", lambda: inspect_hardware(disk)) or Hardware()
    unavailable.update(hardware.unavailable)
    document["hardware"] = hardware.totals
    document["host"] = hardware.host
    missing = hardware.missing_readings
    loaded = ask(missing, "loaded", loaded_torch) or {}
    return EnvironmentCapture(document, hardware.readings, loaded, missing)


def loaded_torch() -> dict[str, Any]:
    """What the torch of this process says about itself; empty where it has not been imported."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "backends"):
        return {}
    configuration = torch.__config__.show()
    return {
        "version": str(torch.__version__),
        "configuration": configuration,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        "blas": _build_setting(configuration, "BLAS_INFO"),
        "lapack": _build_setting(configuration, "LAPACK_INFO"),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
    }


def _build_setting(configuration: str, name: str) -> str | None:
    _, found, rest = configuration.partition(f"{name}=")
    return rest.split(",")[0].strip() if found else None
