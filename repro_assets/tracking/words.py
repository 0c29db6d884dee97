"""The words of a command line as they are recorded.

Laws: a word that looks like a credential, or stands under an option that says it is one, is replaced, and that is told;
what it was is not. Where the option says so, the whole word goes; else only what looks like a credential, so that code
among the words still reads.

Limit: that of `repro_assets.recording.redaction`; of the options ending in ``token`` those of known services count,
because ``--pad-token`` and its like hold no secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from repro_assets.capture.secrets import redact_text
from repro_assets.recording.redaction import SECRET_NAMES, redact

_TOKEN = re.compile(
    r"(?i)(?:(?:bot|gh|github|gitlab|hf|hub|huggingface|id|jwt|oauth|sas|security|session|wandb)[_-]?)?token"
)
_NAME = "access_token"
"""A name that redaction knows, for the options that are secret on a command line alone."""


def recorded_words(words: Sequence[str], path: str) -> tuple[list[str], list[str]]:
    """Replace the credentials among words.

    Parameters
    ----------
    words : sequence of str
        A program and its arguments.
    path : str
        What the words stand under in the record.

    Returns
    -------
    shown : list of str
        The same words where nothing was found.
    found : list of str
        A sentence for each word that was replaced, wholly or in part, with its place and the kind.
    """
    shown, found = [], []
    for index, word in enumerate(words):
        option, given, value = _assigned(words[index - 1] if index else "", word)
        name = _NAME if _TOKEN.fullmatch(option) else option
        redacted, part = str(redact(value, name)[0]), redact_text(word)
        if redacted == value and part == word:
            shown.append(word)
            continue
        kind = "credential" if redacted == value else redacted.removeprefix("<redacted: ").removesuffix(">")
        is_whole = part == word or SECRET_NAMES.search(name)
        shown.append(f"{given}{redacted}" if is_whole else part)
        found.append(f"{path}[{index}] is not recorded: it looks like a secret ({kind})")
    return shown, found


def _assigned(before: str, word: str) -> tuple[str, str, str]:
    """Return the option that a word is for, empty where there is none, what of the word says so, and the rest of it."""
    if word.startswith("-") and "=" in word:
        option, _, value = word.partition("=")
        return option.lstrip("-"), f"{option}=", value
    return (before.lstrip("-") if before.startswith("-") and "=" not in before else ""), "", word
