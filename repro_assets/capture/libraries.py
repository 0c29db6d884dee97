"""The mathematical libraries that are installed: BLAS, CUDA's, cuDNN, NCCL, read without loading them.

Laws: versions are those of the distributions that bring the libraries, because that is what a loader will find first;
which of them are loaded, and with how many threads, only the process can say (`loaded_libraries`).
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from repro_assets.capture.packages import Package, normalised
from repro_assets.capture.remembered import stamps

# Distribution name, without the toolkit's number, to the library that it brings.
_BRINGS = {
    "nvidia-cublas": "cublas", "nvidia-cuda-runtime": "cuda_runtime", "nvidia-cuda-nvrtc": "nvrtc",
    "nvidia-cudnn": "cudnn", "nvidia-nccl": "nccl", "nvidia-cufft": "cufft", "nvidia-curand": "curand",
    "nvidia-cusolver": "cusolver", "nvidia-cusparse": "cusparse", "nvidia-cusparselt": "cusparselt",
    "mkl": "mkl", "intel-openmp": "openmp", "triton": "triton", "onednn": "onednn",
}  # fmt: skip
_TOOLKIT = re.compile(r"-cu\d+$")


def installed_libraries(packages: Iterable[Package]) -> dict[str, Any]:
    """Return the libraries that packages bring.

    Returns
    -------
    dict
        Library to version; under ``numpy_blas`` what numpy was built with (``name``, ``version``), None without numpy.

    Raises
    ------
    OSError, ValueError
        If numpy is there and its configuration does not read.
    """
    found: dict[str, Any] = {}
    for package in packages:
        library = _BRINGS.get(_TOOLKIT.sub("", normalised(package.name)))
        if library is not None:
            found[library] = package.version
    return {**dict(sorted(found.items())), "numpy_blas": _numpy_blas()}


def loaded_libraries() -> list[dict[str, Any]]:
    """Return the BLAS and OpenMP libraries that this process has loaded, with version and threads, by their names."""
    if not {"numpy", "torch", "scipy", "sklearn"} & set(sys.modules):
        return []
    import threadpoolctl  # type: ignore[import-untyped]

    return sorted(
        (
            {
                "library": Path(each["filepath"]).name,
                **{name: each.get(name) for name in ("internal_api", "version", "num_threads", "architecture")},
            }
            for each in threadpoolctl.threadpool_info()
        ),
        key=lambda each: str(each["library"]),
    )


def _numpy_blas() -> dict[str, str] | None:
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        return None
    return _configured_blas(tuple(map(tuple, stamps([Path(spec.origin).with_name("__config__.py")]))), spec.origin)


@lru_cache(maxsize=1)
def _configured_blas(_stamp: tuple[Any, ...], origin: str) -> dict[str, str]:
    text = Path(origin).with_name("__config__.py").read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Dict):
            continue
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "blas" and isinstance(value, ast.Dict):
                # Some of its members are calls; the two that count are text.
                members = {
                    name.value: item.value
                    for name, item in zip(value.keys, value.values, strict=True)
                    if isinstance(name, ast.Constant) and isinstance(item, ast.Constant)
                }
                return {name: str(members.get(name, "unknown")) for name in ("name", "version")}
    raise ValueError("numpy's configuration names no BLAS")
