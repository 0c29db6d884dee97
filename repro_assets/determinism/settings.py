"""The settings that decide bits, as a record.

Laws: what is recorded is what holds now, not what was asked for; nothing is imported for it, so of a library that has
not been loaded nothing is said.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from repro_assets.determinism.process_start import hash_seed_in_effect, variables_at_start
from repro_assets.determinism.torch_settings import processor_name, torch_settings

RECORDED_VARIABLES = (
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DYNAMIC",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "OMP_DYNAMIC",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "ATEN_CPU_CAPABILITY",
    "CUBLASLT_WORKSPACE_SIZE",
    "DISABLE_ADDMM_CUDA_LT",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "PYTORCH_TUNABLEOP_ENABLED",
    "TORCH_COMPILE_DISABLE",
    "TORCHINDUCTOR_MAX_AUTOTUNE",
    "NCCL_ALGO",
    "NCCL_PROTO",
    "NCCL_NVLS_ENABLE",
    "NCCL_COLLNET_ENABLE",
    "NCCL_MIN_NCHANNELS",
    "NCCL_MAX_NCHANNELS",
)
"""Variables that libraries read when they start and that choose their kernels, or the order of their sums."""


def settings_record() -> dict[str, Any]:
    """Every setting that changes bits, as it is now; of torch and NumPy where they have been imported.

    Returns
    -------
    dict
        JSON-able. Two runs with equal code, inputs and seeds whose records are equal are comparable bit for bit.
    """
    start = variables_at_start()
    of_torch = torch_settings() if "torch" in sys.modules else {"device": processor_name(), "device_type": "cpu"}
    return {
        **of_torch,
        "machine": platform.machine(),
        **({"numpy": _numpy_settings()} if "numpy" in sys.modules else {}),
        "python": platform.python_version(),
        "PYTHONHASHSEED": hash_seed_in_effect(),
        "variables": {name: start[name] for name in RECORDED_VARIABLES if name in start},
    }


def _numpy_settings() -> dict[str, str]:
    import numpy

    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload, index, unused-ignore]
    return {"version": numpy.__version__, "blas": f"{blas.get('name')} {blas.get('version')}"}
