"""The container that a process runs in, as far as it can be known from inside.

Laws: no daemon and no network is asked. ``unknown`` is an answer: Docker tells its image to nobody inside. What
changes from one start of the same container to the next (the path of its control group) is apart from what does not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro_assets.capture.secrets import redact_text
from repro_assets.identity.digest import Digest

_DEFINITIONS = ("Dockerfile", "Containerfile", "Dockerfile.*", "*.Dockerfile", "*.dockerfile", "Singularity", "*.def")
_CGROUP_WORDS = (
    ("kubepods", "kubernetes"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("containerd", "containerd"),
    ("lxc", "lxc"),
)


def inspect_container(
    project: Path | None = None, root: Path = Path("/"), variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Say what is known of the container.

    Parameters
    ----------
    project : path, optional
        Folder whose container definitions count.
    root : path
        The file system's root.
    variables : mapping, optional
        This process's variables.

    Returns
    -------
    dict
        ``runtime`` (``none`` where nothing hints at a container), ``image`` (name, or ``unknown``; None without a
        container), ``image_id``, ``limits`` (``cpus`` and ``memory_bytes`` of the control group; None is no limit) and
        ``definitions`` (file name to the digest of its bytes).
    """
    given = os.environ if variables is None else variables
    runtime, image, image_id = _runtime(root, given)
    return {
        "runtime": runtime,
        "image": None if runtime == "none" else redact_text(image) if image else "unknown",
        "image_id": image_id,
        "limits": _limits(root),
        "definitions": {} if project is None else definitions(project),
    }


def control_group(root: Path = Path("/")) -> str | None:
    """Path of this process's control group; None where the kernel has none."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    unified = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    named = [line.split(":", 2)[2] for line in lines if line.count(":") >= 2]
    return max([*unified, *named], key=len, default=None)


def definitions(project: Path) -> dict[str, str]:
    """Digests of the container definitions in a folder."""
    files = {file for pattern in _DEFINITIONS for file in project.glob(pattern) if file.is_file()}
    return {file.name: str(Digest.of(file.read_bytes())) for file in sorted(files)}


def _runtime(root: Path, variables: Mapping[str, str]) -> tuple[str, str | None, str | None]:
    for name in ("APPTAINER", "SINGULARITY"):
        if variables.get(f"{name}_CONTAINER") or variables.get(f"{name}_NAME"):
            place = variables.get(f"{name}_CONTAINER") or variables[f"{name}_NAME"]
            return name.lower(), Path(place).name, None
    if (root / ".singularity.d").is_dir():
        return "apptainer", None, None
    podman = _text(root / "run/.containerenv")
    if podman is not None:
        facts = dict(re.findall(r'^(\w+)="(.*)"$', podman, re.MULTILINE))
        return "podman", facts.get("image"), facts.get("imageid")
    if variables.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes", None, None
    if (root / ".dockerenv").exists():
        return "docker", None, None
    told = _text(root / "run/systemd/container")
    if told:
        return told.strip(), None, None
    group = control_group(root) or ""
    return next((runtime for word, runtime in _CGROUP_WORDS if word in group), "none"), None, None


def _limits(root: Path) -> dict[str, float | int | None]:
    groups = root / "sys/fs/cgroup"
    quota = (_text(groups / "cpu.max") or "").split() or [
        (_text(groups / f"cpu/cpu.cfs_{name}_us") or "").strip() for name in ("quota", "period")
    ]
    cpus = None
    if len(quota) == 2 and all(part.isdigit() for part in quota) and int(quota[1]):
        cpus = int(quota[0]) / int(quota[1])
    memory = (_text(groups / "memory.max") or _text(groups / "memory/memory.limit_in_bytes") or "").strip()
    # Version 1 writes "no limit" as the greatest multiple of a page in 63 bits.
    bounded = memory.isdigit() and int(memory) < 1 << 62
    return {"cpus": cpus, "memory_bytes": int(memory) if bounded else None}


def _text(file: Path) -> str | None:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return None
