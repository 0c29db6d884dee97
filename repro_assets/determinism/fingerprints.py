"""Cheap digests of tensors.

Laws: a fingerprint is XXH3-128 over the dtype, the shape and every element's bytes, little-endian and in C order, so it
does not depend on strides, device or library (torch or NumPy), and any changed bit, any swap of two elements and any
other shape or dtype changes it. Bits count, not values: 0.0 and -0.0 differ, and so do two NaNs with other payloads. It
finds differences; it is no protection against somebody who makes two tensors collide.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xxhash

from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    import numpy
    import torch

ALGORITHM = "xxh3-128"


def fingerprint(tensors: Mapping[str, torch.Tensor | numpy.ndarray[Any, Any]]) -> dict[str, str]:
    """Fingerprint each tensor.

    Parameters
    ----------
    tensors : mapping
        Name to dense tensor or array of booleans, integers, floats (bfloat16 too) or complex numbers, of any shape.

    Returns
    -------
    dict
        Name to ``xxh3-128:<32 hex>``, in the mapping's order.

    Raises
    ------
    InvalidValue
        If a tensor is sparse, quantized, on the meta device, or of a dtype whose bytes are not its value.
    """
    return {name: fingerprint_of(tensor, name) for name, tensor in tensors.items()}


def fingerprint_of(tensor: torch.Tensor | numpy.ndarray[Any, Any], name: str = "tensor") -> str:
    """Fingerprint of one tensor; `name` is for the error."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        dtype, data = _of_torch(tensor, name)
    else:
        dtype, data = _of_numpy(tensor, name)
    # The header's length is fixed by its two newlines, so no header and data run into each other.
    state = xxhash.xxh3_128(f"{dtype}\n{','.join(map(str, tensor.shape))}\n".encode())
    state.update(data)
    return f"{ALGORITHM}:{state.hexdigest()}"


def _of_torch(tensor: Any, name: str) -> tuple[str, Any]:
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        raise InvalidValue(f"{name} is not a dense tensor with data", "fingerprint its dense parts")
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    data = plain.reshape(-1).view(torch.uint8).numpy()
    if sys.byteorder == "big":
        parts = 2 if plain.is_complex() else 1
        data = data.reshape(-1, plain.element_size() // parts)[:, ::-1].copy().reshape(-1)
    return str(plain.dtype).removeprefix("torch."), data.data


def _of_numpy(tensor: Any, name: str) -> tuple[str, Any]:
    import numpy

    array = numpy.asarray(tensor)
    extended = array.dtype.kind in "fc" and array.dtype.name in ("longdouble", "clongdouble", "float128", "complex256")
    bfloat16 = array.dtype.name in ("bfloat16",) and array.dtype.itemsize == 2
    if (array.dtype.kind not in "biufc" and not bfloat16) or extended:
        raise InvalidValue(f"{name} has the dtype {array.dtype}", "booleans, integers, floats or complex numbers")
    little = array if bfloat16 else array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.dtype.name, numpy.ascontiguousarray(little).reshape(-1).view(numpy.uint8).data
