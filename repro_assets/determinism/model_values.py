"""What a model or a state holds beside its tensors, as text: numbers, texts, names of functions, and lists of them.

Laws: equal values have equal texts in every process, and values of another type or bit other ones; lists and tuples
count alike, because a state that was stored and loaded has the ones for the others; of anything else a digest stands
for the value, or it is named as unread, with its class; an address in memory never gets into a text.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import xxhash

from repro_assets.determinism.fingerprints import fingerprint_of
from repro_assets.determinism.leaves import DEEPEST, encoded, is_a
from repro_assets.errors import InvalidValue

_LONGEST = 200


class _Unread(Exception):
    """A value that has no form; the text is its class."""


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch, or an array of NumPy that holds numbers."""
    if is_a(value, "numpy", "ndarray"):
        return value.dtype.kind not in "OSUMmV" or value.dtype.name == "bfloat16"
    return is_a(value, "torch", "Tensor")


def tensors_in(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the tensors and arrays of a nested value by their dotted names.

    Raises
    ------
    InvalidValue
        If it holds itself.
    """
    if is_tensor(value):
        yield path, value
    elif isinstance(value, (Mapping, list, tuple)):
        _refuse_deep(path, depth)
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from tensors_in(item, f"{path}.{key}" if path else str(key), depth + 1)


@dataclass(frozen=True, slots=True)
class Beside:
    """Values by their dotted names.

    Parameters
    ----------
    read : dict
        Name to text.
    unread : dict
        Name to class, of what has no form.
    """

    read: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: Any, *, tensors: bool = True, whole: bool = False, depth: int = 0) -> None:
        """Add a value and all that it holds.

        Parameters
        ----------
        name : str
            What it is called.
        value : object
            Anything.
        tensors : bool
            Fingerprint the tensors, too; False where they are taken by their names elsewhere.
        whole : bool
            Have one text for a list or dictionary, in which tensors are left to elsewhere, and none for each member.

        Raises
        ------
        InvalidValue
            If two values have one name, or it holds itself.
        """
        if is_tensor(value) and not tensors:
            return
        nested = isinstance(value, (Mapping, list, tuple)) and len(value) > 0
        if nested and not whole:
            _refuse_deep(name, depth)
            for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
                self.add(f"{name}.{key}" if name else str(key), item, tensors=tensors, depth=depth + 1)
            return
        if name in self.read or name in self.unread:
            raise InvalidValue(f"there are two values named {name!r}", "name each once")
        try:
            self.read[name] = _text(value, name, 0)
        except _Unread as error:
            self.unread[name] = str(error)


def _text(value: Any, name: str, depth: int) -> str:
    _refuse_deep(name, depth)
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return _short(repr(value))
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, enum.Enum):
        return f"{kind}.{value.name}"
    if is_a(value, "torch", "dtype", "device"):
        return str(value)
    if is_a(value, "numpy", "generic") and value.dtype.kind in "biufc":
        return f"{value.dtype.name} {value.item()!r}"
    if is_tensor(value):
        # Of one inside an attribute the place: its content has its own fingerprint, by its own name.
        return "tensor" if depth else f"{value.dtype} {list(value.shape)} {fingerprint_of(value, name)}"
    if isinstance(value, (list, tuple)):
        return _short(f"[{', '.join(_text(item, name, depth + 1) for item in value)}]")
    if isinstance(value, Mapping):
        members = sorted((_text(key, name, depth + 1), _text(item, name, depth + 1)) for key, item in value.items())
        return _short(f"{{{', '.join(f'{key}: {item}' for key, item in members)}}}")
    if isinstance(value, functools.partial):
        return f"partial({_text([value.func, value.args, value.keywords], name, depth + 1)})"
    if callable(value) and isinstance(getattr(value, "__qualname__", None), str):
        named = f"{getattr(value, '__module__', None)}.{value.__qualname__}"
        if "<" in named:
            # Of a lambda or an inner function the name is not the whole: another one may have it.
            raise _Unread(f"function {named}")
        return named
    if is_a(value, "torch.nn", "Module"):
        raise _Unread(kind)
    try:
        return f"{kind} {xxhash.xxh3_128_hexdigest(encoded(value, name))}"
    except InvalidValue:
        raise _Unread(kind) from None


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    data = text.encode("utf-8", "surrogatepass")
    return f"{text[:40]}… {len(text)} characters {xxhash.xxh3_128_hexdigest(data)}"


def _refuse_deep(name: str, depth: int) -> None:
    if depth > DEEPEST:
        raise InvalidValue(f"{name[:80]}… is nested more than {DEEPEST} deep", "does the value hold itself?")
