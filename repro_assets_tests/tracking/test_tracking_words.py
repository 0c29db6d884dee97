"""Credentials among the words of a command line are replaced, and each replacement is told."""

from __future__ import annotations

import pytest

from repro_assets.tracking.words import recorded_words

TOKEN = "ghp_" + "q7Rz2LmX9vTbK4sWcY8nHdP3gJf6AeU1oVxQ"
NAMED = "<redacted: named-secret>"


@pytest.mark.parametrize(
    "option", ["--token", "-token", "--hf-token", "--hub_token", "--secret", "--api-key", "--password"]
)
@pytest.mark.parametrize("value", ["ghp_0123456789abcdefghij0123456789abcdef", "letmein"])
def test_an_option_that_says_so_hides_what_is_behind_it_whatever_that_looks_like(option: str, value: str) -> None:
    shown, found = recorded_words(["fit", option, value, "rows.csv"], "config.command")
    assert shown == ["fit", option, NAMED, "rows.csv"]
    assert found == ["config.command[2] is not recorded: it looks like a secret (named-secret)"]
    shown, found = recorded_words(["fit", f"{option}={value}", "rows.csv"], "config.command")
    assert shown == ["fit", f"{option}={NAMED}", "rows.csv"]
    assert found == ["config.command[1] is not recorded: it looks like a secret (named-secret)"]


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--pad-token", "[PAD]", "--max-tokens", "5", "--tokenizer", "bpe"],
        ["fit", "--token", "$TOKEN", "--token=${TOKEN}", "--token", "<token>", "--api-key="],
        ["token", "letmein"],
        ["python", "-c", "import token; print(token)"],
    ],
)
def test_words_that_hold_no_secret_stay_as_they_are(words: list[str]) -> None:
    assert recorded_words(words, "config.command") == (words, [])


def test_a_credential_within_a_word_is_told_and_the_rest_of_the_word_stays() -> None:
    shown, found = recorded_words(["sh", "-c", f"push {TOKEN} now"], "config.command")
    assert shown == ["sh", "-c", "push <github-token> now"]
    assert found == ["config.command[2] is not recorded: it looks like a secret (github-token)"]
    for words in (["push", "--token", TOKEN], ["push", f"--token={TOKEN}"]):
        shown, found = recorded_words(words, "config.command")
        assert "<redacted: github-token>" in shown[-1] and len(found) == 1
