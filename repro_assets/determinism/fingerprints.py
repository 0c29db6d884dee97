"""Cheap digests of tensors.

Laws: a fingerprint is XXH3-128 over the dtype, the shape and every element's bytes, little-endian and in C order, so it
does not depend on strides, device or library (torch or NumPy), and any changed bit, any swap of two elements and any
other shape or dtype changes it. Bits count, not values: 0.0 and -0.0 differ, and so do two NaNs with other payloads. It
finds differences; it is no protection against somebody who makes two tensors collide.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash

from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    import numpy
    import torch

ALGORITHM = "xxh3-128"
PIECE_BYTES = 64 << 20


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
    numbers = numbers_of(tensor, name)
    state = opened(numbers.dtype, numbers.shape)
    for piece in numbers.pieces():
        state.update(piece)
    return written(state)


def opened(dtype: str, shape: Sequence[int]) -> xxhash.xxh3_128:
    """Begin the fingerprint of something whose bytes follow."""
    # The header's length is fixed by its two newlines, so no header and data run into each other.
    return xxhash.xxh3_128(f"{dtype}\n{','.join(map(str, shape))}\n".encode())


def written(state: xxhash.xxh3_128) -> str:
    """Return the one form in which fingerprints are written."""
    return f"{ALGORITHM}:{state.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The elements of a tensor or array as bytes, little-endian and in C order.

    Parameters
    ----------
    dtype : str
        Name of the dtype.
    shape : tuple of int
        The shape.
    width : int
        Bytes of one number: of a complex element, of each of its two parts.
    pieces : callable
        Yields the bytes, flat arrays of uint8 of at most `PIECE_BYTES`; only one piece of a tensor on a GPU is in
        memory at a time.
    """

    dtype: str
    shape: tuple[int, ...]
    width: int
    pieces: Callable[[], Iterator[Any]]


def numbers_of(tensor: torch.Tensor | numpy.ndarray[Any, Any], name: str = "tensor") -> Numbers:
    """Return the numbers of a tensor or array.

    Raises
    ------
    InvalidValue
        If it has no bytes that are its value; `name` is named.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        return _of_torch(tensor, name)
    return _of_numpy(tensor, name)


def _of_torch(tensor: Any, name: str) -> Numbers:
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        raise InvalidValue(f"{name} is not a dense tensor with data", "fingerprint its dense parts")
    width = tensor.element_size() // (2 if tensor.is_complex() else 1)

    def pieces() -> Iterator[Any]:
        plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        step = PIECE_BYTES // plain.element_size()
        for start in range(0, plain.numel(), step):
            yield _little(plain[start : start + step].view(torch.uint8).cpu().numpy(), width)

    return Numbers(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), width, pieces)


def _little(data: Any, width: int) -> Any:
    return data if sys.byteorder == "little" else data.reshape(-1, width)[:, ::-1].copy().reshape(-1)


def _of_numpy(tensor: Any, name: str) -> Numbers:
    import numpy

    array = numpy.asarray(tensor)
    extended = array.dtype.kind in "fc" and array.dtype.name in ("longdouble", "clongdouble", "float128", "complex256")
    bfloat16 = array.dtype.name in ("bfloat16",) and array.dtype.itemsize == 2
    if (array.dtype.kind not in "biufc" and not bfloat16) or extended:
        raise InvalidValue(f"{name} has the dtype {array.dtype}", "booleans, integers, floats or complex numbers")
    width = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)

    def pieces() -> Iterator[Any]:
        little = array if bfloat16 else array.astype(array.dtype.newbyteorder("<"), copy=False)
        data = numpy.ascontiguousarray(little).reshape(-1).view(numpy.uint8)
        for start in range(0, data.size, PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]

    return Numbers(array.dtype.name, tuple(array.shape), width, pieces)
