"""torch's global settings that change bits: set in a scope and restored after it, and read for the record.

Law: each scope reads before it writes, and puts back what it read.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repro_assets.determinism.process_start import variables_at_start

_PRECISIONS = (
    ("generic", "all"),
    ("cuda", "all"),
    ("cuda", "matmul"),
    ("cuda", "conv"),
    ("cuda", "rnn"),
    ("mkldnn", "all"),
    ("mkldnn", "matmul"),
    ("mkldnn", "conv"),
    ("mkldnn", "rnn"),
)


@contextmanager
def restoring_threads(threads: int, interop_threads: int) -> Iterator[int | None]:
    """Set torch's thread counts.

    Yields
    ------
    int or None
        The inter-op count that holds where it can no longer be set; None where it is as asked. It is not restored:
        torch refuses to set it twice.
    """
    import torch

    before = torch.get_num_threads()
    refused = None
    if torch.get_num_interop_threads() != interop_threads:
        try:
            torch.set_num_interop_threads(interop_threads)
        except RuntimeError:
            refused = torch.get_num_interop_threads()
    torch.set_num_threads(threads)
    try:
        yield refused
    finally:
        torch.set_num_threads(before)


@contextmanager
def restoring_deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Refuse operations without a deterministic implementation, or allow them.

    `torch.use_deterministic_algorithms` does the same and imports the compiler for it, which takes more than a second
    and sets variables of its own; here the compiler is told only where it is loaded, and otherwise learns it from
    TORCHINDUCTOR_DETERMINISTIC, one of the mode's variables.
    """
    import torch
    from torch.utils import deterministic as module

    deterministic: Any = module
    native: Any = torch._C
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = deterministic.fill_uninitialized_memory
    compiler: Any = sys.modules.get("torch._inductor.config")
    at_start = variables_at_start().get("TORCHINDUCTOR_DETERMINISTIC") == "1"
    compiled = at_start if compiler is None else compiler.deterministic
    native._set_deterministic_algorithms(wanted, warn_only=False)
    deterministic.fill_uninitialized_memory = wanted
    if compiler is not None:
        compiler.deterministic = wanted
    try:
        yield
    finally:
        compiler = sys.modules.get("torch._inductor.config")
        if compiler is not None:
            compiler.deterministic = compiled
        deterministic.fill_uninitialized_memory = filled
        native._set_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def restoring_backends(deterministic: bool, benchmark: bool) -> Iterator[None]:
    """Set cuDNN's and oneDNN's choice of kernels."""
    import torch

    cudnn: Any = torch.backends.cudnn
    onednn: Any = torch.backends.mkldnn
    before = cudnn.deterministic, cudnn.benchmark, onednn.deterministic
    cudnn.deterministic, cudnn.benchmark, onednn.deterministic = deterministic, benchmark, deterministic
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark, onednn.deterministic = before


@contextmanager
def float32_precision(tf32: bool) -> Iterator[None]:
    """Set the inner precision of float32 products and convolutions: IEEE, or TF32 on GPUs that have it."""
    import torch

    legacy = _legacy_precision()
    before = {place: _precision(*place) for place in _PRECISIONS}
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    for backend, operation in _PRECISIONS:
        # bf16 and TF32 on the CPU are another matter than TF32 on the GPU, and never asked for here.
        allowed = tf32 and backend == "cuda" and operation != "all"
        _set_precision(backend, operation, "tf32" if allowed else "none" if operation == "all" else "ieee")
    try:
        yield
    finally:
        if legacy is not None:
            torch.set_float32_matmul_precision(legacy[0])
            torch.backends.cudnn.allow_tf32 = legacy[1]
        for place, value in before.items():
            _set_precision(*place, value)


def _legacy_precision() -> tuple[str, bool] | None:
    """Older form of the same settings; None where the program has mixed both forms, which makes torch refuse to say."""
    import torch

    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None


def _precision(backend: str, operation: str) -> str:
    import torch

    return str(torch._C._get_fp32_precision_getter(backend, operation))


def _set_precision(backend: str, operation: str, value: str) -> None:
    import torch

    torch._C._set_fp32_precision_setter(backend, operation, value)


def cuda_runs() -> bool:
    """Whether this process has started CUDA; asking does not start it."""
    import torch

    cuda: Any = torch.cuda
    return bool(cuda.is_initialized())


def torch_settings() -> dict[str, Any]:
    """Everything in torch that changes bits, as it is now; JSON-able."""
    import torch

    gpu = torch.cuda.is_available()
    cuda: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    return {
        "torch": str(torch.__version__),
        "torch_build": "sha256:" + hashlib.sha256(torch.__config__.show().encode()).hexdigest(),
        "device": torch.cuda.get_device_name() if gpu else processor_name(),
        "device_type": "cuda" if gpu else "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "world_size": _world_size(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "deterministic_warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "flush_denormal": _flushes_denormals(),
        "autocast": {device: _autocast(device) for device in ("cpu", "cuda")},
        "float32_precision": {
            f"{backend}.{operation}": _precision(backend, operation) for backend, operation in _PRECISIONS
        },
        "cudnn": {
            "version": cudnn.version() if cudnn.is_available() else None,
            "enabled": cudnn.enabled,
            "deterministic": cudnn.deterministic,
            "benchmark": cudnn.benchmark,
        },
        "cublas": {
            "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
            "fp16_reduced_precision": _plain(cuda.matmul.allow_fp16_reduced_precision_reduction),
            "bf16_reduced_precision": _plain(cuda.matmul.allow_bf16_reduced_precision_reduction),
            "fp16_accumulation": cuda.matmul.allow_fp16_accumulation,
            "library": str(cuda.preferred_blas_library()) if gpu else None,
        },
        "attention": {
            "flash": cuda.flash_sdp_enabled(),
            "memory_efficient": cuda.mem_efficient_sdp_enabled(),
            "math": cuda.math_sdp_enabled(),
            "cudnn": cuda.cudnn_sdp_enabled(),
            "math_reduced_precision": cuda.fp16_bf16_reduction_math_sdp_allowed(),
        },
        "onednn": {
            "enabled": torch.backends.mkldnn.enabled,
            "deterministic": torch.backends.mkldnn.deterministic,
        },
        "opt_einsum": torch.backends.opt_einsum.enabled,
    }


def processor_name() -> str:
    """Model of the CPU, by which libraries choose their kernels."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _world_size() -> int:
    import torch

    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    return int(os.environ.get("WORLD_SIZE", "1"))


def _flushes_denormals() -> bool:
    import torch

    # torch has a setter and no getter; the smallest float64 of all survives a copy but not a flushed product.
    return bool((torch.full((1,), 5e-324, dtype=torch.float64) * 1.0).item() == 0.0)


def _autocast(device: str) -> str | None:
    """Type to which operations are cast; None where they are not."""
    import torch

    if not torch.is_autocast_enabled(device):
        return None
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.")


def _plain(value: Any) -> Any:
    """Return a flag as JSON; some torch versions answer with a pair (allowed, allowed with split-K)."""
    return list(value) if isinstance(value, tuple) else value
