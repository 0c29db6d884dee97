"""Data manifests of folders, and what verifying them says."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from repro_assets.capture.data_manifest.creation import create_manifest, write_manifest
from repro_assets.capture.data_manifest.verification import FAILURES, Verification, verify_manifest


def made(path: Path, output: Path, **asked: Any) -> Path:
    """Create a manifest and write it."""
    write_manifest(create_manifest(path, output=output, **asked), output)
    return output


def told(found: Verification) -> set[str]:
    """Names of the lists in which a verification found something."""
    return {name for name in FAILURES if getattr(found, name)}


def verdict(manifest: Path, path: Path | None = None) -> set[str]:
    found = verify_manifest(manifest, path)
    assert found.valid == (not told(found))
    return told(found)


def sums(path: Path, algorithms: Sequence[str]) -> dict[str, str]:
    return {name: hashlib.new(name, path.read_bytes()).hexdigest() for name in algorithms}


@contextlib.contextmanager
def without_roots_rights() -> Iterator[None]:
    """Give up the right to read everything, where the tests have it; every thread does."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
