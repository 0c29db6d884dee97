"""Fingerprints: every bit, every place, every shape and dtype; nothing else."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.determinism.fingerprints import fingerprint, fingerprint_of
from repro_assets.errors import InvalidValue

DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64, torch.complex64, torch.complex128,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_element_counts(dtype: torch.dtype) -> None:
    base = torch.zeros(1000, dtype=dtype)
    seen = {fingerprint_of(base)}
    for position in range(0, 1000, 37):
        changed = base.clone()
        changed[position] = 1
        seen.add(fingerprint_of(changed))
    assert len(seen) == 1 + len(range(0, 1000, 37))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=40), st.data())
def test_a_flipped_bit_and_a_permutation_change_it(values: list[float], data: st.DataObject) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    position = data.draw(st.integers(0, len(values) * 32 - 1))
    flipped = tensor.clone()
    flipped.view(torch.int32)[position // 32] ^= -(2**31) if position % 32 == 31 else 1 << (position % 32)
    assert fingerprint_of(flipped) != fingerprint_of(tensor)
    turned = tensor.flip(0)
    same = torch.equal(turned.view(torch.int32), tensor.view(torch.int32))
    assert (fingerprint_of(turned) == fingerprint_of(tensor)) is same


def test_dtype_and_shape_count() -> None:
    tensors = {
        "vector": torch.zeros(4),
        "matrix": torch.zeros(2, 2),
        "column": torch.zeros(4, 1),
        "scalar": torch.zeros(()),
        "one": torch.zeros(1),
        "int32": torch.zeros(4, dtype=torch.int32),
        "half": torch.zeros(8, dtype=torch.float16),
        "bfloat16": torch.zeros(8, dtype=torch.bfloat16),
        "bytes": torch.zeros(16, dtype=torch.uint8),
        "empty": torch.zeros(0),
        "empty row": torch.zeros(0, 3),
        "empty column": torch.zeros(3, 0),
    }
    assert len(set(fingerprint(tensors).values())) == len(tensors)


def test_signs_of_zero_and_payloads_of_nan_count() -> None:
    nans = torch.tensor([0x7FC00000, 0x7FC00001], dtype=torch.int32).view(torch.float32)
    zeros = torch.tensor([0.0, -0.0])
    assert len({fingerprint_of(each) for each in (*nans, *zeros)}) == 4


def test_strides_library_and_byte_order_do_not_count() -> None:
    tensor = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    array = tensor.numpy()
    expected = fingerprint_of(tensor)
    assert fingerprint_of(tensor.T.contiguous().T) == expected
    assert fingerprint_of(torch.stack([tensor, tensor])[1]) == expected
    assert fingerprint_of(array) == expected
    assert fingerprint_of(numpy.asfortranarray(array)) == expected
    assert fingerprint_of(array.astype(">f4")) == expected
    assert fingerprint_of(tensor.clone().requires_grad_()) == expected
    assert fingerprint_of(torch.nn.Parameter(tensor)) == expected
    assert fingerprint_of(tensor[:, ::2]) == fingerprint_of(array[:, ::2]) != expected
    conjugate = torch.tensor([1 + 2j, 3 - 1j]).conj()
    assert fingerprint_of(conjugate) == fingerprint_of(conjugate.resolve_conj().numpy())


def test_the_form_is_fixed_for_ever() -> None:
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    assert fingerprint({"w": tensor}) == {"w": "xxh3-128:47179b771f6f072bd86ebed35ecc05f7"}


def test_what_has_no_bytes_of_its_own_is_refused_by_name() -> None:
    for wrong in (
        torch.eye(3).to_sparse(),
        torch.zeros(3, device="meta"),
        numpy.array([object()]),
        numpy.array(["a"]),
        numpy.zeros(2, dtype=numpy.longdouble),
    ):
        with pytest.raises(InvalidValue, match="weight"):
            fingerprint({"weight": wrong})


def test_arrays_are_fingerprinted_without_torch() -> None:
    program = (
        "import sys, numpy\nfrom repro_assets.determinism.fingerprints import fingerprint\n"
        "fingerprint({'a': numpy.zeros(3)}); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "False"
