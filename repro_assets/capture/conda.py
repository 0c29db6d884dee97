"""Packages that conda installed, read from its own records, so that conda is not started.

Laws: each file in ``conda-meta`` is one package; one that does not read is named with the reason. A channel's address
loses its credentials, and the token that Anaconda puts into the path (``/t/<token>/``).
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from repro_assets.capture.remembered import Stamps, stamps
from repro_assets.capture.secrets import redact_text, redact_url

_TOKEN = re.compile(r"/t/[^/]+/")
_listed: tuple[Stamps, tuple[list[dict[str, str]], dict[str, str]]] | None = None


def conda_folder() -> Path | None:
    """``conda-meta`` of this interpreter's environment, or of the one that is activated; None where there is none."""
    for prefix in (sys.prefix, os.environ.get("CONDA_PREFIX")):
        if prefix and Path(prefix, "conda-meta").is_dir():
            return Path(prefix, "conda-meta")
    return None


def conda_packages(folder: Path) -> tuple[list[dict[str, str]], dict[str, str]]:
    """List what conda installed.

    Parameters
    ----------
    folder : path
        What `conda_folder` found.

    Returns
    -------
    list of dict
        ``name``, ``version``, ``build`` and ``channel``, in order of the names.
    dict
        Name of a file that does not read to the reason.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    """
    global _listed
    files = sorted(folder.glob("*.json"))
    stamp = stamps([folder, *files])
    if _listed is None or _listed[0] != stamp:
        _listed = stamp, _read(files)
    return _listed[1]


def _read(files: list[Path]) -> tuple[list[dict[str, str]], dict[str, str]]:
    found: list[dict[str, str]] = []
    unreadable: dict[str, str] = {}
    for file in files:
        try:
            record = json.loads(file.read_text("utf-8"))
            package = {
                "name": str(record["name"]),
                "version": str(record["version"]),
                "build": str(record.get("build") or record.get("build_string") or ""),
                "channel": redact_text(_TOKEN.sub("/", redact_url(str(record.get("channel") or "")))),
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            unreadable[file.name] = f"{type(error).__name__}: {error}"
            continue
        found.append(package)
    return sorted(found, key=lambda each: (each["name"], each["version"])), unreadable
