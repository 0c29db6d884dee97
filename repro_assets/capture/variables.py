"""Which environment variables a capture may read.

Laws: by allow list only. A variable is on the list because it changes bits or how text is read; none of them is made to
hold a secret, and their values pass the secret scanner all the same. A person adds to the list with
``REPRO_CAPTURE_ALLOW`` and takes away with ``REPRO_CAPTURE_DENY``, names or patterns with ``*`` between commas; what is
denied is never taken, and neither is a name that says that it holds a secret. What counts is what the process was
started with: libraries set variables while they are imported, and scopes of this project set some for a while. On Linux
the kernel keeps those of the start; elsewhere they are read when this module is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

_ALLOWED = re.compile(
    r"""
    PYTHON(HASHSEED|OPTIMIZE|UTF8|IOENCODING|NOUSERSITE|SAFEPATH|MALLOC)
    | CUBLAS_WORKSPACE_CONFIG | CUBLASLT_[A-Z_]+ | CUDNN_[A-Z_]+
    | CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|LAUNCH_BLOCKING|MODULE_LOADING|DEVICE_MAX_CONNECTIONS)
    | NVIDIA_(TF32_OVERRIDE|VISIBLE_DEVICES)
    | NCCL_[A-Z0-9_]+ | GLOO_[A-Z_]+
    | TORCH_(ALLOW_TF32_CUBLAS_OVERRIDE|CUDNN_[A-Z0-9_]+|USE_[A-Z_]+|NCCL_[A-Z_]+)
    | TORCHINDUCTOR_[A-Z_]+ | TRITON_[A-Z_]+ | PYTORCH_[A-Z_]+
    | ATEN_[A-Z_]+ | OMP_[A-Z_]+ | GOMP_[A-Z_]+ | KMP_[A-Z_]+ | MKL_[A-Z_]+ | MKLDNN_[A-Z_]+ | (ONE)?DNNL_[A-Z_]+
    | ONEDNN_[A-Z_]+ | OPENBLAS_[A-Z_]+ | BLIS_[A-Z_]+ | GOTO_NUM_THREADS | VECLIB_MAXIMUM_THREADS
    | NUMEXPR_[A-Z_]+ | NPY_[A-Z_]+ | TBB_[A-Z_]+ | XLA_[A-Z_]+
    | TF_(DETERMINISTIC_OPS|ENABLE_ONEDNN_OPTS|FORCE_GPU_ALLOW_GROWTH|XLA_FLAGS)
    | WORLD_SIZE | LOCAL_WORLD_SIZE
    | MALLOC_[A-Z_]+ | GLIBC_TUNABLES | LD_PRELOAD | LD_LIBRARY_PATH | LD_BIND_NOW
    | LANG | LANGUAGE | LC_[A-Z]+ | TZ | SOURCE_DATE_EPOCH
    """,
    re.VERBOSE,
)


_DENIED = re.compile(r"(?i).*(TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE|AUTH|COOKIE).*")
ALLOW = "REPRO_CAPTURE_ALLOW"
DENY = "REPRO_CAPTURE_DENY"


def is_allowed(name: str) -> bool:
    """Whether the variable `name` is on the list that holds for everybody."""
    return _ALLOWED.fullmatch(name) is not None and _DENIED.fullmatch(name) is None


def allowed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of `environment` that may be recorded, in order of their names."""
    more, less = (
        [pattern.strip() for pattern in environment.get(name, "").split(",") if pattern.strip()]
        for name in (ALLOW, DENY)
    )

    def taken(name: str) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in less) or _DENIED.fullmatch(name):
            return False
        return is_allowed(name) or any(fnmatchcase(name, pattern) for pattern in more)

    return {name: environment[name] for name in sorted(environment) if taken(name)}


_AT_IMPORT = dict(os.environ)


@lru_cache(maxsize=1)
def variables_at_start() -> dict[str, str]:
    """Environment variables as they were when this process was started; of a forked child, its parent's."""
    kept = Path("/proc/self/environ")
    if not kept.exists():
        return _AT_IMPORT
    pairs = (entry.partition("=") for entry in os.fsdecode(kept.read_bytes()).split("\0"))
    return {name: value for name, separator, value in pairs if separator}
