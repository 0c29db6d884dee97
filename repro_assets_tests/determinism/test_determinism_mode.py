"""The mode: applied, restored, recorded, and honest about what came too late."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from repro_assets.determinism.mode import (
    LateSetting,
    Mode,
    SettingWarning,
    applied,
    enable_deterministic_mode,
)
from repro_assets.determinism.process_start import hash_seed_in_effect
from repro_assets.determinism.settings import settings_record
from repro_assets.errors import CheckFailed, InvalidValue

PRODUCT = """
import hashlib, sys, torch
from repro_assets.determinism.mode import Mode, applied
with applied(Mode(threads=int(sys.argv[1]), instruction_set=sys.argv[2] or None)) as late:
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(300, 300, generator=generator) for _ in range(2))
    x = (left @ right).requires_grad_()
    torch.log_softmax(x, 1).pow(2).sum().backward()
    print(hashlib.sha256(x.grad.numpy().tobytes()).hexdigest(), [each.name for each in late])
"""


def python(program: str, *arguments: str, flags: tuple[str, ...] = (), **variables: str) -> str:
    environment = {"PATH": os.environ["PATH"], **variables}
    command = [sys.executable, "-W", "ignore", *flags, "-c", program, *arguments]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return ran.stdout.strip()


def unlike_everything() -> Mode:
    return Mode(deterministic=False, threads=2, tf32=True, cudnn_benchmark=True)


@pytest.mark.parametrize("mode", [Mode(), unlike_everything()])
def test_a_scope_leaves_every_setting_as_it_found_it(mode: Mode) -> None:
    import threadpoolctl  # noqa: F401  (sets KMP_DUPLICATE_LIB_OK when it is imported, whoever does that first)

    variables = dict(os.environ)
    with applied(Mode()):
        pass  # the inter-op count is set once and stays
    before = settings_record()
    with applied(mode):
        assert settings_record() != before
    assert settings_record() == before
    assert dict(os.environ) == variables
    with pytest.raises(ZeroDivisionError), applied(mode):
        1 / 0  # noqa: B018
    assert settings_record() == before
    assert dict(os.environ) == variables


def test_a_scope_within_a_scope_restores_the_outer_one() -> None:
    with applied(Mode(threads=2)):
        outer = settings_record()
        with applied(unlike_everything()):
            pass
        assert settings_record() == outer


def test_precision_set_by_the_person_is_restored_in_both_forms() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    try:
        record = settings_record()
        with applied(Mode()):
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cuda.matmul.allow_tf32 is False
            assert torch.backends.cudnn.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.allow_tf32 is before[1]
        assert settings_record() == record
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_precision_set_through_the_new_form_only_is_restored() -> None:
    program = """
import torch
from repro_assets.determinism.mode import Mode, applied
from repro_assets.determinism.settings import settings_record
torch.backends.cudnn.conv.fp32_precision = "ieee"
torch.backends.cuda.matmul.fp32_precision = "tf32"
before = settings_record()["float32_precision"]
with applied(Mode()):
    inside = settings_record()["float32_precision"]
print(settings_record()["float32_precision"] == before, inside["cuda.matmul"], before["cuda.matmul"])
"""
    assert python(program) == "True ieee tf32"


def test_numpy_products_take_the_thread_count_too() -> None:
    from threadpoolctl import threadpool_info

    with applied(Mode(threads=1)):
        assert {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"} == {1}


def test_an_operation_without_a_deterministic_form_is_refused_inside_only() -> None:
    def indeterminate() -> torch.Tensor:
        return torch.zeros(4).put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]), accumulate=False)

    with applied(Mode()), pytest.raises(RuntimeError, match="deterministic"):
        indeterminate()
    with applied(Mode(deterministic=False)):
        indeterminate()


def test_the_compiler_is_told_and_restored_and_not_loaded_for_it() -> None:
    program = """
import sys, torch
from repro_assets.determinism.mode import Mode, applied
with applied(Mode()):
    print("torch._inductor.config" in sys.modules)
    import torch._inductor.config as compiler
    print(compiler.deterministic)
print(compiler.deterministic)
with applied(Mode()):
    print(compiler.deterministic)
print(compiler.deterministic)
"""
    assert python(program).split() == ["False", "True", "False", "True", "False"]


def test_a_process_started_with_the_variables_has_no_late_setting() -> None:
    mode = Mode(instruction_set="avx2", mkl_cbwr="AVX2", hash_seed="7")
    program = (
        "from repro_assets.determinism.mode import *\n"
        "from repro_assets.determinism.settings import settings_record\n"
        "mode = Mode(instruction_set='avx2', mkl_cbwr='AVX2', hash_seed='7')\n"
        "with applied(mode, strict=True) as late: print(late, settings_record()['PYTHONHASHSEED'])"
    )
    assert python(program, **mode.environment()) == "[] 7"


def test_what_came_too_late_is_named_and_strict_refuses_it() -> None:
    program = """
import os, torch
from repro_assets.determinism.mode import *
from repro_assets.determinism.settings import settings_record
from repro_assets.errors import CheckFailed
os.environ["PYTHONHASHSEED"] = "0"
os.environ["MKL_CBWR"] = "AVX2"
torch.set_num_interop_threads(2)
mode = Mode(instruction_set="default", mkl_cbwr="AVX2")
with applied(mode) as late:
    print(sorted({each.name for each in late}))
before = settings_record()
try:
    with applied(mode, strict=True):
        print("entered")
except CheckFailed as error:
    print("MKL_CBWR" in str(error), settings_record() == before)
"""
    names = [
        "ATEN_CPU_CAPABILITY",
        "MKL_CBWR",
        "MKL_ENABLE_INSTRUCTIONS",
        "ONEDNN_MAX_CPU_ISA",
        "PYTHONHASHSEED",
        "interop_threads",
    ]
    assert python(program).splitlines() == [str(names), "True True"]


def test_variables_that_overrule_the_mode_are_named() -> None:
    program = """
from repro_assets.determinism.mode import *
for mode in (Mode(), Mode(tf32=True)):
    with applied(mode) as late:
        print(sorted(each.name for each in late))
"""
    variables = {
        **Mode().environment(),
        "NVIDIA_TF32_OVERRIDE": "1",
        "ONEDNN_DEFAULT_FPMATH_MODE": "bf16",
        "PYTORCH_TUNABLEOP_ENABLED": "1",
        "TORCHINDUCTOR_MAX_AUTOTUNE": "0",
    }
    found = ["NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE", "PYTORCH_TUNABLEOP_ENABLED"]
    assert python(program, **variables).splitlines() == [str(found), str(found[1:])]


def test_the_deterministic_mode_pins_and_restores_settings_and_generators() -> None:
    with applied(Mode()):
        pass  # the inter-op count is set once and stays
    before, state = settings_record(), torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with enable_deterministic_mode(Mode(hash_seed=hash_seed_in_effect() or "0"), seed=4):
            assert settings_record()["deterministic"] is True
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert settings_record() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_the_deterministic_mode_warns_where_the_person_wrote_it() -> None:
    seed = "7" if hash_seed_in_effect() != "7" else "8"
    with pytest.warns(SettingWarning, match="PYTHONHASHSEED") as caught:
        with enable_deterministic_mode(Mode(hash_seed=seed)) as late:
            assert [each.name for each in late] == ["PYTHONHASHSEED"]
    assert caught[0].filename == __file__
    with pytest.raises(CheckFailed, match="PYTHONHASHSEED"):
        with enable_deterministic_mode(Mode(hash_seed=seed), strict=True):
            pytest.fail("the scope was entered")


def test_strict_raises_here_too_unless_everything_was_set() -> None:
    if hash_seed_in_effect() == "1234567":
        pytest.skip("this process was started with the very seed")
    with pytest.raises(CheckFailed, match="PYTHONHASHSEED"), applied(Mode(hash_seed="1234567"), strict=True):
        pass


@pytest.mark.parametrize(
    ("variables", "flags", "seed"),
    [
        ({}, (), "None"),
        ({"PYTHONHASHSEED": "random"}, (), "None"),
        ({"PYTHONHASHSEED": "0"}, (), "0"),
        ({"PYTHONHASHSEED": "42"}, (), "42"),
        ({"PYTHONHASHSEED": "42"}, ("-E",), "None"),
    ],
)
def test_the_hash_seed_is_the_one_in_effect(variables: dict[str, str], flags: tuple[str, ...], seed: str) -> None:
    program = (
        "import os; os.environ['PYTHONHASHSEED'] = '9'\n"
        "from repro_assets.determinism.process_start import *; print(hash_seed_in_effect())"
    )
    assert python(program, flags=flags, **variables) == seed


def test_equal_modes_give_equal_bits_in_two_processes() -> None:
    mode = Mode()
    runs = {python(PRODUCT, "1", "", **mode.environment(), UNRELATED=str(run)) for run in range(2)}
    assert len(runs) == 1
    assert runs.pop().endswith("[]")


def test_the_cap_on_instructions_holds_and_changes_bits() -> None:
    digests = set()
    for instruction_set in ("default", "avx2"):
        mode = Mode(instruction_set=instruction_set)
        digest, late = python(PRODUCT, "1", instruction_set, **mode.environment()).split(" ", 1)
        assert late == "[]"
        digests.add(digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"threads": 0},
        {"interop_threads": -1},
        {"instruction_set": "sse"},
        {"hash_seed": "random"},
        {"hash_seed": "4294967296"},
        {"cublas_workspace": ":1:1"},
        {"threads": "x"},
        {"threads": True},
        {"tf32": "no"},
        {"hash_seed": 0},
        {"mkl_cbwr": 1},
    ],
)
def test_a_field_outside_its_range_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        Mode(**fields)


def test_a_late_setting_reads_as_a_sentence() -> None:
    said = [str(LateSetting("X", *values, "it is late")) for values in (("a number", None), (None, "1"), ("0", "1"))]
    assert said == [
        "X is not set, and should be a number: it is late",
        "X is 1, and should not be set: it is late",
        "X is 1, not 0: it is late",
    ]
