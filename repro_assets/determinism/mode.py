"""The settings that decide bits: applied in a scope, restored after it.

Laws: `applied` leaves every setting as it found it, also when the body raises; the number of inter-op threads is the
one exception, because torch sets it once per process. A setting that came too late to have an effect is said, never
assumed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields

from repro_assets.determinism.process_start import hash_seed_in_effect, variables_at_start
from repro_assets.determinism.process_variables import variables_set
from repro_assets.determinism.torch_settings import (
    cuda_runs,
    float32_precision,
    restoring_backends,
    restoring_deterministic_algorithms,
    restoring_threads,
)
from repro_assets.errors import CheckFailed, InvalidValue

_INSTRUCTION_SETS = {
    # ATen, MKL and oneDNN choose their kernels on their own, so each needs its own cap.
    "default": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    },
}
_KERNEL_VARIABLES = frozenset({"MKL_CBWR", *_INSTRUCTION_SETS["avx2"]})

_TIMED = "kernels are chosen by timing them, which may choose others the next time"
_OVERRULING = {
    # What each must be where it is set at all; None for what the mode says about TF32.
    "NVIDIA_TF32_OVERRIDE": (None, "CUDA's libraries obey it above every setting"),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("STRICT", "oneDNN reads it when it starts, and rounds its inputs by it"),
    "PYTORCH_TUNABLEOP_ENABLED": ("0", _TIMED),
    "TORCHINDUCTOR_MAX_AUTOTUNE": ("0", _TIMED),
}

_KINDS = {"bool": "True or False", "int": "a whole number", "str": "a text", "str | None": "a text, or None"}
_DETERMINISTIC_WORKSPACES = (":4096:8", ":16:8")


class SettingWarning(UserWarning):
    """A setting that changes bits is not pinned, or came too late to have effect."""


@dataclass(frozen=True, slots=True)
class LateSetting:
    """A setting that does not hold as the mode asks, because it had to be made before the process or CUDA started.

    Parameters
    ----------
    name : str
        Environment variable or torch setting.
    wanted, found : str or None
        What the mode asks for, and what holds; None for unset.
    reason : str
        When it would have had to be set.
    """

    name: str
    wanted: str | None
    found: str | None
    reason: str

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.name} is not set, and should be {self.wanted}: {self.reason}"
        if self.wanted is None:
            return f"{self.name} is {self.found}, and should not be set: {self.reason}"
        return f"{self.name} is {self.found}, not {self.wanted}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Mode:
    """What the person asks for.

    Parameters
    ----------
    deterministic : bool
        Refuse operations that have no deterministic implementation.
    threads : int
        Threads within an operation; another number gives other bits.
    interop_threads : int
        Threads across operations.
    instruction_set : str or None
        Cap on the processor's instructions: ``default``, ``avx2``, ``avx512``; None for the machine's own.
    tf32 : bool
        Allow TF32 in matrix products and convolutions.
    cudnn_benchmark : bool
        Let cuDNN choose kernels by timing them, which may choose others the next time.
    hash_seed : str
        PYTHONHASHSEED.
    cublas_workspace : str
        CUBLAS_WORKSPACE_CONFIG.
    mkl_cbwr : str or None
        MKL_CBWR, MKL's conditional numerical reproducibility; None for unset.

    Raises
    ------
    InvalidValue
        If a field is outside what is allowed.
    """

    deterministic: bool = True
    threads: int = 1
    interop_threads: int = 1
    instruction_set: str | None = None
    tf32: bool = False
    cudnn_benchmark: bool = False
    hash_seed: str = "0"
    cublas_workspace: str = ":4096:8"
    mkl_cbwr: str | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value, kind = getattr(self, each.name), str(each.type)
            if type(value).__name__.removesuffix("Type") not in kind.split(" | "):
                raise InvalidValue(f"{each.name} of the mode is {value!r}", f"give {_KINDS[kind]}")
        for name in ("threads", "interop_threads"):
            if getattr(self, name) < 1:
                raise InvalidValue(f"{name} is {getattr(self, name)}", "at least 1")
        if self.instruction_set is not None and self.instruction_set not in _INSTRUCTION_SETS:
            raise InvalidValue(
                f"{self.instruction_set!r} is not an instruction set", f"one of {', '.join(_INSTRUCTION_SETS)}, or none"
            )
        if not (self.hash_seed.isascii() and self.hash_seed.isdigit() and int(self.hash_seed) <= 2**32 - 1):
            raise InvalidValue(f"{self.hash_seed!r} is not a PYTHONHASHSEED that pins anything", "0 to 4294967295")
        if self.deterministic and self.cublas_workspace not in _DETERMINISTIC_WORKSPACES:
            raise InvalidValue(
                f"cuBLAS is not deterministic with the workspace {self.cublas_workspace!r}",
                f"one of {', '.join(_DETERMINISTIC_WORKSPACES)}",
            )

    def environment(self) -> dict[str, str]:
        """Variables that must be set before Python and CUDA start for this mode to hold in full."""
        threads = str(self.threads)
        variables = {
            "PYTHONHASHSEED": self.hash_seed,
            "CUBLAS_WORKSPACE_CONFIG": self.cublas_workspace,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_DYNAMIC": "FALSE",
            "MKL_DYNAMIC": "FALSE",
            "TORCHINDUCTOR_DETERMINISTIC": "1" if self.deterministic else "0",
        }
        if self.instruction_set is not None:
            variables.update(_INSTRUCTION_SETS[self.instruction_set])
        if self.mkl_cbwr is not None:
            variables["MKL_CBWR"] = self.mkl_cbwr
        return variables


@contextmanager
def applied(mode: Mode, *, strict: bool = False) -> Iterator[list[LateSetting]]:
    """Apply a mode to this process for the length of a scope.

    The variables of `Mode.environment` are set in the scope too, for the processes that are started in it; those by
    which a library of this process might still change its kernels halfway are not.

    Parameters
    ----------
    mode : Mode
        What shall hold.
    strict : bool
        Raise where a setting came too late, instead of yielding it.

    Yields
    ------
    list of LateSetting
        What does not hold; empty where everything does.

    Raises
    ------
    CheckFailed
        If `strict` and something came too late.
    """
    with ExitStack() as restored:
        late = _late_variables(mode)
        restored.enter_context(
            _variables({name: value for name, value in mode.environment().items() if name not in _KERNEL_VARIABLES})
        )
        restored.enter_context(_blas_threads(mode.threads))
        interop = restored.enter_context(restoring_threads(mode.threads, mode.interop_threads))
        if interop is not None:
            late.append(
                LateSetting(
                    "interop_threads",
                    str(mode.interop_threads),
                    str(interop),
                    "torch takes it once per process, before its first parallel work",
                )
            )
        restored.enter_context(restoring_deterministic_algorithms(mode.deterministic))
        restored.enter_context(float32_precision(mode.tf32))
        restored.enter_context(restoring_backends(mode.deterministic, mode.cudnn_benchmark))
        if strict and late:
            refuse(late)
        yield late


@contextmanager
def enable_deterministic_mode(
    mode: Mode | None = None, *, seed: int | None = None, strict: bool = False
) -> Iterator[list[LateSetting]]:
    """Compute deterministically in a scope, and say what cannot be pinned any more.

    ``with enable_deterministic_mode(seed=7):`` applies the mode, seeds the global generators, and leaves settings and
    generators as it found them.

    Parameters
    ----------
    mode : Mode, optional
        What shall hold; `Mode()` if left out.
    seed : int, optional
        Root seed of the global generators, which are left alone without it.
    strict : bool
        Raise where a setting came too late, instead of warning.

    Yields
    ------
    list of LateSetting
        What does not hold; empty where everything does.

    Raises
    ------
    CheckFailed
        If `strict` and something came too late.
    InvalidValue
        If the seed is out of range.

    Warns
    -----
    SettingWarning
        For each setting that came too late.
    """
    from repro_assets.determinism.global_rng import seeded_globals
    from repro_assets.determinism.seeds import Seeds

    with ExitStack() as restored:
        late = restored.enter_context(applied(mode or Mode(), strict=strict))
        if seed is not None:
            restored.enter_context(seeded_globals(Seeds(seed)))
        for item in late:
            # Two frames of contextlib lie between here and the person's line.
            warnings.warn(str(item), SettingWarning, stacklevel=3)
        yield late


def refuse(late: Sequence[LateSetting]) -> None:
    """Raise for settings that do not hold.

    Raises
    ------
    CheckFailed
        Always; each of them is named.
    """
    raise CheckFailed(
        "the mode does not hold: " + "; ".join(map(str, late)),
        "set the variables before Python starts: repro run and the file .env do",
    )


def _late_variables(mode: Mode) -> list[LateSetting]:
    start = variables_at_start()
    late = []
    found = hash_seed_in_effect()
    if found != mode.hash_seed:
        late.append(LateSetting("PYTHONHASHSEED", mode.hash_seed, found, "Python reads it when it starts"))
    if start.get("MKL_CBWR") != mode.mkl_cbwr:
        late.append(LateSetting("MKL_CBWR", mode.mkl_cbwr, start.get("MKL_CBWR"), "MKL reads it at its first call"))
    for name, (value, reason) in _OVERRULING.items():
        wanted = str(int(mode.tf32)) if value is None else value
        if start.get(name, wanted).upper() != wanted:
            late.append(LateSetting(name, wanted, start[name], reason))
    late += _late_instruction_set(mode, start)
    late += _late_workspace(mode, start)
    return late


def _late_instruction_set(mode: Mode, start: dict[str, str]) -> Iterator[LateSetting]:
    if mode.instruction_set is None:
        capped = [name for name in _INSTRUCTION_SETS["avx2"] if name in start]
        for name in capped:
            yield LateSetting(name, None, start[name], "the mode asks for the machine's own instructions")
        return
    import torch

    capability = torch.backends.cpu.get_cpu_capability().lower()
    if capability != mode.instruction_set:
        yield LateSetting(
            "ATEN_CPU_CAPABILITY",
            mode.instruction_set,
            capability,
            "torch reads it at its first operation, and this processor must have the instructions",
        )
    for name, value in _INSTRUCTION_SETS[mode.instruction_set].items():
        if name != "ATEN_CPU_CAPABILITY" and start.get(name) != value:
            yield LateSetting(name, value, start.get(name), "the library reads it at its first call")


_workspace_of_cuda: str | None = None
"""CUBLAS_WORKSPACE_CONFIG under which a scope of this process started CUDA."""


def _late_workspace(mode: Mode, start: dict[str, str]) -> Iterator[LateSetting]:
    if not cuda_runs():
        return  # the scope sets it in time
    found = _workspace_of_cuda or start.get("CUBLAS_WORKSPACE_CONFIG")
    if found != mode.cublas_workspace:
        yield LateSetting("CUBLAS_WORKSPACE_CONFIG", mode.cublas_workspace, found, "CUDA reads it when it starts")


@contextmanager
def _variables(wanted: dict[str, str]) -> Iterator[None]:
    global _workspace_of_cuda
    running = cuda_runs()
    try:
        with variables_set(wanted):
            yield
    finally:
        if cuda_runs() and not running:
            _workspace_of_cuda = wanted["CUBLAS_WORKSPACE_CONFIG"]


@contextmanager
def _blas_threads(threads: int) -> Iterator[None]:
    """Limit the BLAS libraries beside torch's: NumPy's and SciPy's products depend on their thread counts too."""
    import numpy  # noqa: F401  (only a loaded library can be limited)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=threads, user_api="blas"):
        yield
