"""What a run that did not complete says to a person, in one line for each failure, and to a script, as one number.

Nothing of Dagster is needed to read an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from repro_assets import errors
from repro_assets.errors import ReproError
from repro_assets.orchestration.request import RunAnswer

INTERRUPTED_CODE = 130
_SEVEREST_FIRST = (3, 2, INTERRUPTED_CODE, 1)
# pydantic writes the field on a line of its own, then the rule, then "[type=…, input_value=…, input_type=…]".
_FIELD = re.compile(
    r"^(?P<field>\S.*)\n +(?P<rule>.*?) \[type=\w+, input_value=(?P<given>.*), input_type=\w+\]", re.MULTILINE
)
_SCHEMA = re.compile(r" ?Expected: \"\{(?P<members>.*)\}\"\.?$")
_MEMBER = re.compile(r"(\w+)\??:")


def exit_code(answers: Iterable[RunAnswer]) -> int:
    """Return the exit code of one or several runs: 0 if all completed, else the severest, 3 before 2 before 1."""
    codes = {code for answer in answers for code in _codes(answer)}
    return next((code for code in _SEVEREST_FIRST if code in codes), 0)


def lines(answer: RunAnswer) -> list[str]:
    """Return one line for each failure, with its step and what the person can do."""
    if answer.state == "INTERRUPTED":
        return [f"the run was interrupted; its record is kept (see: repro runs show {answer.run_id})"]
    found = [_line(error) for error in answer.errors]
    if not found and answer.state == "FAILED":
        found = [f"the run failed without saying why (see: repro runs show {answer.run_id})"]
    return found


def root_cause(error: Any) -> Any:
    """Return what a failure that Dagster wrapped comes from: the first error of this project's own, else the innermost.

    An error of ours names the thing and the remedy; what the system said is only its cause.

    Parameters
    ----------
    error : SerializableErrorInfo or None
        With ``cls_name`` and ``cause``.
    """
    innermost = error
    while error is not None:
        known = getattr(errors, error.cls_name or "", None)
        if isinstance(known, type) and issubclass(known, ReproError):
            return error
        innermost, error = error, error.cause
    return innermost


def fields_in_one_line(name: str, message: str) -> str:
    """Return pydantic's message about fields as one line without its address; any other message as it is."""
    fields = [
        f"{m['field']} is {m['given']}: {m['rule'].removeprefix('Value error, ')}" for m in _FIELD.finditer(message)
    ]
    return "; ".join(fields) if name == "ValidationError" and fields else message.strip()


def _codes(answer: RunAnswer) -> set[int]:
    if answer.state == "COMPLETED":
        return set()
    if answer.state == "INTERRUPTED":
        return {INTERRUPTED_CODE}
    return {int(error["exit_code"]) for error in answer.errors} or {1}


def _line(error: dict[str, Any]) -> str:
    message = str(error["message"])
    text = fields_in_one_line(error["type"], message)
    if text == message.strip():
        text = _SCHEMA.sub(_known_members, " ".join(message.split()))
        text = text if error["type"] in text or int(error["exit_code"]) != 1 else f"{error['type']}: {text}"
    return f"{error['step']}: {text}" if error["step"] else text


def _known_members(match: re.Match[str]) -> str:
    # Dagster's schema of a field nests braces; only names of the outermost level are fields of the asset.
    depth, outer = 0, ""
    for letter in match["members"]:
        depth += (letter in "{([") - (letter in "})]")
        outer += letter if depth == 0 else ""
    return f" (there are {', '.join(_MEMBER.findall(outer))})"
