"""Whether an environment meets what somebody needs.

Laws: required packages are PEP 508 specifications, compared as versions; a GPU with too little memory, or a CUDA that
is too old, is an error and never a warning; where no GPU is seen and one is needed, the error says why none was. What
was not captured does not count as met. A gigabyte is 10^9 bytes, as in the names of the cards.

Limit: GPUs are those that the driver lists, whatever ``CUDA_VISIBLE_DEVICES`` chooses among them; only that it hides
all of them is seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from repro_assets.capture.packages import normalised
from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

_WHY_NO_GPU = (
    ("library not found", "no NVIDIA driver is installed on this machine"),
    ("driver not loaded", "an NVIDIA driver is installed and not loaded"),
    ("version mismatch", "the NVIDIA driver was updated and its old kernel module is still loaded"),
    ("no module named", "pynvml, which asks the driver, is not installed"),
)


@dataclass(frozen=True, slots=True)
class Validation:
    """What an environment lacks.

    Parameters
    ----------
    is_valid : bool
        Whether there is no error.
    errors, warnings : tuple of str
        One sentence each.
    """

    is_valid: bool
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def validate_environment(
    required_packages: Iterable[str] = (),
    min_gpu_memory_gb: float | None = None,
    min_cuda_version: str | None = None,
    document: Mapping[str, Any] | None = None,
) -> Validation:
    """Hold an environment against requirements.

    Parameters
    ----------
    required_packages : iterable of str
        PEP 508 specifications, such as ``numpy>=2,<3``; one whose marker is not for this interpreter is left out.
    min_gpu_memory_gb : float, optional
        Memory that at least one GPU must have, in 10^9 bytes.
    min_cuda_version : str, optional
        The least CUDA that both the installed torch is built with and the driver offers.
    document : mapping, optional
        A captured environment; that of this process if left out.

    Raises
    ------
    InvalidValue
        If a specification or a version does not read, or the memory is no positive number.
    """
    if isinstance(required_packages, str):
        required_packages = [required_packages]
    requirements = [_requirement(text) for text in required_packages]
    if min_gpu_memory_gb is not None and not (math.isfinite(min_gpu_memory_gb) and min_gpu_memory_gb > 0):
        raise InvalidValue(f"the GPU memory {min_gpu_memory_gb} is no positive number of gigabytes")
    cuda = None if min_cuda_version is None else _asked_version(min_cuda_version)
    if document is None:
        from repro_assets.capture.environment import capture_environment

        document = capture_environment().document
    errors: list[str] = []
    warnings: list[str] = []
    for requirement in requirements:
        _check_package(requirement, document, errors, warnings)
    if min_gpu_memory_gb is not None or cuda is not None:
        _check_gpus(min_gpu_memory_gb, cuda, document, errors, warnings)
    return Validation(not errors, tuple(errors), tuple(warnings))


def _requirement(text: str) -> Requirement:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0]
        raise InvalidValue(f"{text!r} names no package: {why}", "write it like: numpy>=2,<3") from error


def _asked_version(text: str) -> Version:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion as error:
        raise InvalidValue(f"{text!r} is no CUDA version", "write it like: 12.4") from error


def _check_package(
    requirement: Requirement, document: Mapping[str, Any], errors: list[str], warnings: list[str]
) -> None:
    from packaging.version import InvalidVersion, Version

    if requirement.marker is not None and not requirement.marker.evaluate():
        warnings.append(f"{requirement} was not looked at: its marker is not for this interpreter")
        return
    name = normalised(requirement.name)
    package = next((each for each in document.get("packages") or [] if normalised(each["name"]) == name), None)
    unavailable = document.get("unavailable") or {}
    if package is None:
        reason = unavailable.get("packages") or next(
            (why for place, why in unavailable.items() if _is_metadata_of(name, place)), None
        )
        errors.append(f"{requirement.name} is not installed" if reason is None else f"{requirement.name}: {reason}")
        return
    version = str(package.get("version"))
    try:
        # What is installed counts, be it a pre-release.
        met = requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        errors.append(f"{requirement.name} has the version {version!r}, which cannot be compared")
        return
    if not met:
        errors.append(f"{requirement.name} is {version}, and {requirement.specifier} is required")
    if requirement.url is not None and package.get("origin") != requirement.url:
        origin = package.get("origin") or "an index or a folder"
        errors.append(f"{requirement.name} is from {origin}, and {requirement.url} is required")
    if requirement.extras:
        warnings.append(f"whether {requirement.name} has what {', '.join(sorted(requirement.extras))} needs is unknown")
    for hidden in document.get("shadowed_packages") or []:
        if normalised(hidden["name"]) == name:
            warnings.append(f"{requirement.name} {hidden['version']} is installed too, and hidden by {version}")


def _is_metadata_of(name: str, place: str) -> bool:
    folder = place.removeprefix("packages.")
    return folder != place and normalised(folder.partition("-")[0].removesuffix(".dist").removesuffix(".egg")) == name


def _check_gpus(
    memory_gb: float | None,
    cuda: Version | None,
    document: Mapping[str, Any],
    errors: list[str],
    warnings: list[str],
) -> None:
    gpus = (document.get("hardware") or {}).get("gpus") or []
    hidden = (document.get("variables") or {}).get("CUDA_VISIBLE_DEVICES")
    if not gpus:
        errors.append(f"no GPU: {_why_no_gpu(document)}")
    elif hidden is not None and hidden.strip() in ("", "-1", "NoDevFiles"):
        errors.append(f"no GPU: CUDA_VISIBLE_DEVICES={hidden!r} hides all {len(gpus)}")
    elif memory_gb is not None:
        _check_memory(memory_gb, gpus, errors, warnings)
    if cuda is not None:
        _check_cuda(cuda, gpus, document, errors, warnings)


def _why_no_gpu(document: Mapping[str, Any]) -> str:
    unavailable = document.get("unavailable") or {}
    reason = unavailable.get("gpus") or unavailable.get("hardware")
    if reason is None:
        if document.get("hardware") is None:
            return f"GPUs were not captured at level {document.get('level', 'basic')}"
        return "the driver lists none"
    known = next((meaning for part, meaning in _WHY_NO_GPU if part in reason.lower()), None)
    return reason if known is None else f"{known} ({reason})"


def _check_memory(memory_gb: float, gpus: list[Mapping[str, Any]], errors: list[str], warnings: list[str]) -> None:
    sizes = [(float(gpu.get("memory_bytes") or 0) / 1e9, f"GPU {gpu.get('index')} ({gpu.get('name')})") for gpu in gpus]
    largest, name = max(sizes)
    if largest < memory_gb:
        errors.append(f"{name} has {largest:.1f} GB of memory, and {memory_gb:g} GB are required")
        return
    for size, small in sizes:
        if size < memory_gb:
            warnings.append(f"{small} has only {size:.1f} GB of memory")


def _check_cuda(
    cuda: Version,
    gpus: list[Mapping[str, Any]],
    document: Mapping[str, Any],
    errors: list[str],
    warnings: list[str],
) -> None:
    from packaging.version import Version

    torch = document.get("torch")
    if torch is None:
        warnings.append("torch is not installed, so only the driver's CUDA was looked at")
    elif not torch.get("cuda"):
        errors.append(f"torch {torch.get('version')} is built without CUDA, and {cuda} is required")
    elif Version(torch["cuda"]) < cuda:
        errors.append(f"torch {torch.get('version')} is built with CUDA {torch['cuda']}, and {cuda} is required")
    offered = next((gpu.get("cuda_driver") for gpu in gpus), None)
    if offered is not None and Version(offered) < cuda:
        driver = gpus[0].get("driver")
        errors.append(f"the driver {driver} offers CUDA {offered}, and {cuda} is required")
