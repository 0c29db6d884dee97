"""The arguments of a call, complete and by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repro_assets.capture.secrets import redact_text
from repro_assets.errors import InvalidValue
from repro_assets.tracking.configuration import config_of, plain_argument


def bound(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by parameter, defaults included, as they are.

    Raises
    ------
    TypeError
        As the call itself would.
    """
    found = inspect.signature(function).bind(*args, **kwargs)
    found.apply_defaults()
    return dict(found.arguments)


def source_of(function: Callable[..., Any]) -> str | None:
    """Return the text of a function without credentials; None where it was typed where no text is kept."""
    try:
        return redact_text(inspect.getsource(function))
    except OSError:
        return None


def described(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as a record holds them: whole, or by type and digest; none is dropped.

    A lone configuration (a mapping, a dataclass, a model …) keeps its own names.
    """
    given = {name: value for name, value in arguments.items() if name not in ("self", "cls")}
    if len(given) == 1:
        (only,) = given.values()
        if not isinstance(only, (str, bytes)):
            try:
                return config_of(only) if only is not None else {}
            except InvalidValue:
                pass
    return {name: plain_argument(value) for name, value in arguments.items()}
