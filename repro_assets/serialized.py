"""A document as the text of a file: JSON, and YAML that says the same.

Laws: both are made of what JSON has (`wording.plain`), so they read back equal; a text that a reader of YAML 1.1 or 1.2
would take for a number, a date or a truth value is quoted; what is no Unicode text, such as a file's name of other
bytes, is written as its escape.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from repro_assets.wording import plain

_NUMBERS_OF_YAML_1_2 = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+)\Z"
)
_FLOAT = "tag:yaml.org,2002:float"


def as_json(document: Any) -> bytes:
    """Return a document as the bytes of a JSON file."""
    text = json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def as_yaml(document: Any) -> bytes:
    """Return a document as the bytes of a YAML file."""
    written = plain(document)
    try:
        return _dumped(written, "CSafeDumper")
    except UnicodeEncodeError:
        # Half a character that stands alone: libyaml takes UTF-8, and the dumper in Python writes the escape.
        return _dumped(written, "SafeDumper")


def _dumped(document: Any, dumper: str) -> bytes:
    import yaml

    text: str = yaml.dump(document, Dumper=_dumper(dumper), sort_keys=False, allow_unicode=True, width=120)
    return text.encode()


@functools.cache
def _dumper(name: str) -> Any:
    import yaml

    # The one of libyaml is ten times as fast; PyYAML has it wherever libyaml was there when it was built.
    class Dumper(getattr(yaml, name, yaml.SafeDumper)):  # type: ignore[misc]
        """One whose resolvers are its own."""

    # YAML 1.1 wants a point in a float, so it reads 12e45 as text; YAML 1.2 reads a number.
    Dumper.add_implicit_resolver(_FLOAT, _NUMBERS_OF_YAML_1_2, list("-+.0123456789"))
    return Dumper
