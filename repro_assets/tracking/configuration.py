"""A configuration or an argument of any form, as JSON has it.

Laws: nothing is dropped and nothing is cut: what JSON cannot hold is described in its place by its type and its text
where that is the whole of it (a time, a decimal number), else the SHA-256 of its content where that is known (arrays,
tables, sets, what has a ``state_dict``), else that of its `repr`; a form that is not known is refused by its type. A
foreign library is only looked at where it has been imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import decimal
import enum
import fractions
import hashlib
import json
import re
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.wording import type_in_words

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DEPTH = 100
_SHOWN = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, fractions.Fraction, uuid.UUID)
_MEMBERS = frozenset({"type", "dtype", "shape", "sha256", "repr_sha256", "repr_failed", "value"})


def config_of(given: Any) -> dict[str, Any]:
    """Return a configuration as a dictionary that JSON can hold.

    Parameters
    ----------
    given : object
        A mapping, a dataclass, a pydantic model, an `argparse.Namespace`, an OmegaConf or Hydra configuration, or the
        path of a YAML or JSON file; None for none.

    Raises
    ------
    InvalidValue
        If it is none of these.
    InvalidInput
        If a file cannot be read, or does not hold a mapping.
    """
    if given is None:
        return {}
    if isinstance(given, (str, PurePath)):
        return _read(Path(given))
    found = _fields(given)
    if found is None:
        raise InvalidValue(
            f"a configuration cannot be {type_in_words(given)}",
            "give a dict, a dataclass, a pydantic model, a namespace, an OmegaConf, or a YAML or JSON file",
        )
    return {str(name): plain_argument(value) for name, value in found.items()}


def plain_argument(value: Any, *, _depth: int = 0) -> Any:
    """Return a value as JSON can hold it, whole, or what describes it.

    Returns
    -------
    object
        Scalars, lists and dictionaries as they are; of anything else a dictionary with ``type`` and, of a time or a
        decimal number, ``value``; of an array ``dtype``, ``shape`` and ``sha256`` of its bytes; of what else has a
        known content (`repro_assets.determinism.leaves`) ``sha256`` of that; and ``repr_sha256`` of its `repr` without
        addresses where the content is not known, or is the state of an object.
    """
    if value is None or isinstance(value, (bool, str)):
        return value if not isinstance(value, enum.Enum) else plain_argument(value.value)
    if isinstance(value, enum.Enum):
        return plain_argument(value.value, _depth=_depth + 1)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if _depth > _DEPTH:
        return _described(value)
    fields = _fields(value)
    if fields is not None:
        return {str(name): plain_argument(item, _depth=_depth + 1) for name, item in fields.items()}
    if isinstance(value, (list, tuple)):
        return [plain_argument(item, _depth=_depth + 1) for item in value]
    if isinstance(value, _SHOWN):
        text = value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)
        return {"type": _type(value), "value": text}
    array = _array(value)
    return array if array is not None else _described(value)


def is_described(plain: Any) -> bool:
    """Tell whether what `plain_argument` returned is a description in the place of a value."""
    return isinstance(plain, dict) and "type" in plain and len(plain) > 1 and plain.keys() <= _MEMBERS


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the configuration {path} cannot be read: {error}", "give a YAML or JSON file") from error
    try:
        if path.suffix == ".json":
            found = json.loads(text)
        elif path.suffix in (".yaml", ".yml"):
            import yaml

            found = yaml.safe_load(text)
        else:
            raise InvalidInput(
                f"the configuration {path} is neither .yaml, .yml nor .json", "rename it, or give a dict"
            )
    except ValueError as error:
        raise InvalidInput(f"the configuration {path} does not read: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise InvalidInput(f"the configuration {path} does not read: {' '.join(str(error).split())}") from error
        raise
    if not isinstance(found, dict):
        raise InvalidInput(f"the configuration {path} holds no mapping", "write names and values")
    return {str(name): plain_argument(value) for name, value in found.items()}


def _fields(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        omegaconf = sys.modules.get("omegaconf")
        if omegaconf is not None and isinstance(value, omegaconf.DictConfig):
            return _resolved(omegaconf, value)
        return value
    if isinstance(value, argparse.Namespace):
        return vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    # A module that another thread is importing at this moment has no such class yet.
    pydantic_model: Any = getattr(sys.modules.get("pydantic"), "BaseModel", ())
    if isinstance(value, pydantic_model):
        fields: dict[str, Any] = value.model_dump(mode="python")
        return fields
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and isinstance(value, omegaconf.DictConfig):
        return _resolved(omegaconf, value)
    return None


def _resolved(omegaconf: Any, value: Any) -> Mapping[Any, Any]:
    try:
        found: Mapping[Any, Any] = omegaconf.OmegaConf.to_container(value, resolve=True, throw_on_missing=False)
    except omegaconf.errors.OmegaConfBaseException as error:
        raise InvalidInput(f"the configuration does not resolve: {' '.join(str(error).split())}") from error
    return found


def _array(value: Any) -> Any:
    """Describe an array or a tensor by its bytes; a NumPy scalar is the number that it is."""
    numpy: Any = sys.modules.get("numpy")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        held = value.detach().cpu().contiguous()
        data = held.reshape(-1).view(torch.uint8).numpy().tobytes()
        return _content(value, str(value.dtype), list(value.shape), data)
    # A module that another thread is importing at this moment has no such class yet.
    if not isinstance(value, (getattr(numpy, "generic", ()), getattr(numpy, "ndarray", ()))):
        return None
    if isinstance(value, numpy.generic) and not isinstance(value, numpy.void):
        item = value.item()
        return None if isinstance(item, numpy.generic) else plain_argument(item)
    if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return _content(value, str(value.dtype), list(value.shape), value.tobytes())
    return None


def _content(value: Any, dtype: str, shape: list[int], data: bytes) -> dict[str, Any]:
    return {"type": _type(value), "dtype": dtype, "shape": shape, "sha256": hashlib.sha256(data).hexdigest()}


def _described(value: Any) -> dict[str, Any]:
    """Describe what JSON cannot hold; where it lies in memory is no part of what it is."""
    content = _content_digest(value)
    if content is not None and not hasattr(value, "state_dict"):
        return {"type": _type(value), "sha256": content}
    # A state is not all of an object: how it was made, such as the rate of a dropout, is in its text.
    known = {} if content is None else {"sha256": content}
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 (the object's own method may raise anything; it is said)
        return {"type": _type(value), **known, "repr_failed": f"{type(error).__name__}: {error}"}
    shown = _ADDRESS.sub("", text).encode("utf-8", "surrogatepass")
    return {"type": _type(value), **known, "repr_sha256": hashlib.sha256(shown).hexdigest()}


def _content_digest(value: Any) -> str | None:
    """Return the SHA-256 of what a value holds; None where that is not known, or its own methods fail."""
    from repro_assets.determinism.leaves import leaves

    found = hashlib.sha256()
    try:
        for leaf in leaves(value):
            found.update(leaf.encoded())
    except Exception:  # noqa: BLE001 (its `repr` stands for it, and says so by its name)
        return None
    return found.hexdigest()


def _type(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
