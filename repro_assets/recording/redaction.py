"""Keeping secrets out of what a run records about itself.

Laws: every text in a configuration, plan, list of tags or set of parameters is looked at, with the name that it stands
under; one that looks like a credential is replaced whole by ``<redacted: kind>``; where that was done is told, what it
was is not. A text under a name that says "password" (`SECRET_NAMES`) is replaced whatever it looks like, unless it is
a documented placeholder such as ``${DB_PASSWORD}``. What holds no secret comes back as it was.

Limit: that of `repro_assets.capture.secrets`; a secret that looks like an ordinary word, under a name that says
nothing, stays.
"""

from __future__ import annotations

import dataclasses
import re
import traceback
from collections.abc import Mapping
from typing import Any

from repro_assets.capture.secrets import find_secrets, redact_text
from repro_assets.journal.run_records import RunStarted

FIELDS = ("name", "experiment", "tags", "mode", "settings", "config", "plan")
SECRET_NAMES = re.compile(
    r"(?i)(?:^|[^a-z])(?:passwords?|passwd|passphrase|pwd|secrets?|(?:api|access|account|private|secret)[_-]?keys?"
    r"|client[_-]?secret|credentials?|(?:api|auth|access|bearer|refresh)[_-]?token)$"
)
_ASSIGNED = re.compile(r"(?P<name>[\w.-]+)(?P<between>[\"']?\s*=\s*)(?P<value>[^\s,;]+)")
_PLACEHOLDER = re.compile(r"(?s)\s*|\$\{.*\}|\$[A-Z_]+|<.*>|\{\{.*\}\}")


def redact(value: Any, path: str) -> tuple[Any, list[str]]:
    """Replace the credentials in a JSON-like value.

    Parameters
    ----------
    value : object
        Dictionaries, lists and tuples of scalars; anything else is returned as it is.
    path : str
        The name that the value stands under; its last part is the context of a text.

    Returns
    -------
    value : object
        The same value where nothing was found, else a copy with ``<redacted: kind>`` in it; a tuple becomes a list.
    found : list of str
        A sentence for each replaced text, with its path and kind.
    """
    found: list[str] = []
    redacted = _walk(value, path, path.rpartition(".")[2], found)
    return (redacted, found) if found else (value, found)


def redact_message(text: str) -> str:
    """Return free text, such as an error's, without credentials and without what is assigned to a name of one."""

    def shown(match: re.Match[str]) -> str:
        if SECRET_NAMES.search(match["name"]) and not _PLACEHOLDER.fullmatch(match["value"]):
            return f"{match['name']}{match['between']}<redacted: named-secret>"
        return match[0]

    return _ASSIGNED.sub(shown, redact_text(text))


def redact_start(started: RunStarted) -> RunStarted:
    """Return the record of a run's start without credentials; what was redacted is among its warnings."""
    changed: dict[str, Any] = {}
    warnings: list[str] = []
    for name in FIELDS:
        value, found = redact(getattr(started, name), name)
        if found:
            changed[name] = value
            warnings += found
    if not changed:
        return started
    return dataclasses.replace(started, **changed, warnings=[*started.warnings, *warnings])


def describe(error: BaseException) -> dict[str, str]:
    """Return type, message and whole trace of an error, past the secret scanner."""
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": redact_text(str(error)),
        "trace": redact_text("".join(traceback.format_exception(error))),
    }


def _walk(value: Any, path: str, name: str, found: list[str]) -> Any:
    if isinstance(value, str):
        kind = _kind_of_secret(value, name)
        if kind is None:
            return value
        found.append(f"{path} is not recorded: it looks like a secret ({kind})")
        return f"<redacted: {kind}>"
    if isinstance(value, Mapping):
        walked = {}
        for key, item in value.items():
            shown = _walk(key, f"a name in {path}", "", found) if isinstance(key, str) else key
            walked[shown] = _walk(item, f"{path}.{shown}", str(shown), found)
        return walked
    if isinstance(value, (list, tuple)):
        items: list[Any] = []
        before = ""
        for index, item in enumerate(value):
            # In a command line an option names the argument behind it.
            option = before.lstrip("-") if before.startswith("-") and "=" not in before else name
            items.append(_walk(item, f"{path}[{index}]", option, found))
            before = item if isinstance(item, str) else ""
        return items
    return value


def _kind_of_secret(text: str, name: str) -> str | None:
    if not text or text.startswith("<redacted: "):
        return None
    data = text.encode("utf-8", "surrogatepass")
    # On their own line breaks are kept: a private key has several. As a value they would end the assignment.
    findings = find_secrets(data, "value")
    if not findings and name:
        findings = find_secrets(f"{name} = ".encode("utf-8", "surrogatepass") + b'"' + data + b'"', "value.py")
    if findings:
        return findings[0].kind
    named, separator, assigned = text.partition("=")
    for label, content in ((name, text), (named.lstrip("-"), assigned if separator else "")):
        if SECRET_NAMES.search(label) and not _PLACEHOLDER.fullmatch(content):
            return "named-secret"
    return None
