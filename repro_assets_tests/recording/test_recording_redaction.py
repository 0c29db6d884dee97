"""No credential that a run is given reaches the store; what is none is recorded as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.artifacts import repository
from repro_assets.identity.canonical import digest_of
from repro_assets.journal import run_records
from repro_assets.recording import reuse
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.redaction import redact, redact_start
from repro_assets.store.home import Home

# Put together here, so that no scanner takes this file for one that holds them.
RANDOM = "q7Zt2LmX9vKp4Rw8Ys1Bd6Nf3Hg5Jc0aEuTi"
SECRETS = {
    "aws": "AKIA" + "QZ7LMX2VKP4RW3YS",
    "github": "ghp_" + RANDOM,
    "gitlab": "glpat-" + RANDOM[:24],
    "slack": "xoxb-" + "5839201746-" + RANDOM[:24],
    "openai": "sk-" + RANDOM + "T3BlbkFJ" + RANDOM[:20],
    "huggingface": "hf_" + "qZtLmXvKpRwYsBdNfHgJcaEuTiqZtLmXvK",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiJxN1p0Mkxt" + "." + RANDOM,
    "url": "postgresql://me:" + RANDOM[:14] + "@db.internal/x",
    "key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + RANDOM * 3 + "\n-----END " + "RSA PRIVATE KEY-----",
}
MEANINGFUL = RANDOM[3:25]
"""Random text that is a secret only because of the name that it stands under."""
PLAIN = "correct horse battery staple"
"""Words that are a secret only because their name says "password"."""


def planted(kind: str) -> str:
    return SECRETS[kind]


def in_store(home: Home, text: str) -> list[str]:
    """Files of the whole store that hold `text` as it is, or as JSON writes it."""
    forms = {text.encode(), text.replace("\n", "\\n").encode()}
    forms |= {text[8:24].encode()}
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(form in path.read_bytes() for form in forms)]


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "plant",
    [
        lambda secret: {"config": {"model": {"layers": [1, {"x": secret}]}}},
        lambda secret: {"config": {secret: 1}},
        lambda secret: {"plan": {"run_config": {"ops": {"a": {"config": {"x": secret}}}}}},
        lambda secret: {"plan": {"argv": ["train", "--where", secret]}},
        lambda secret: {"tags": ["trial", secret]},
        lambda secret: {"settings": {"a": (secret,)}},
        lambda secret: {"mode": {"a": secret}},
        lambda secret: {"experiment": f"sweep {secret}"},
        lambda secret: {"name": f"sweep {secret}"},
    ],
)
def test_no_secret_in_a_start_reaches_the_store(home: Home, kind: str, plant: Callable[[str], Any]) -> None:
    fields: dict[str, Any] = {"name": "one", **plant(planted(kind))}
    run = begin(home, run_records.RunStarted("0" * 16, "script", **fields))
    run.end()
    assert in_store(home, planted(kind)) == []
    assert any("not recorded" in warning for warning in run.warnings)
    assert run.started.warnings == run.warnings


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_that_a_run_logs_reaches_the_store(
    home: Home, kind: str, records_of: Callable[..., list[Any]]
) -> None:
    secret = planted(kind)
    run = begin(home, run_records.RunStarted("0" * 16, "script", "one"))
    with pytest.raises(RuntimeError), recorded(run):
        run.log_params({"a": [secret], "b": {"c": secret}, "kept": "yes", secret: 1})
        run.log_check("check", passed=False, said=f"refused: {secret}")
        product = run.log_output("out", [1], name="out")
        reuse.remember(home, digest_of(1), run.run_id, {"out": product}, {"params": run.params, "note": secret})
        raise RuntimeError(f"cannot connect with {secret} today")
    assert in_store(home, secret) == []
    assert run.params["kept"] == "yes"
    assert any("params.a[0]" in warning for warning in run.warnings)
    (ended,) = records_of(run_records.RunEnded)
    assert "cannot connect with" in ended.error["message"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"api_key": MEANINGFUL}, "config.api_key"),
        ({"db": {"password": PLAIN}}, "config.db.password"),
        ({"db": {"DB_PASSWORD": "hunter-of-deer"}}, "config.db.DB_PASSWORD"),
        ({"auth-token": [MEANINGFUL]}, "config.auth-token[0]"),
        ({"argv": ["--password", PLAIN, "--epochs", "3"]}, "config.argv[1]"),
        ({"argv": [f"--client-secret={MEANINGFUL}"]}, "config.argv[0]"),
        ({"env": [f"API_TOKEN={MEANINGFUL}"]}, "config.env[0]"),
        ({"credentials": {"passwd": PLAIN}}, "config.credentials.passwd"),
        ({"token_for_db": MEANINGFUL}, "config.token_for_db"),
    ],
)
def test_a_name_makes_a_text_a_secret(home: Home, given: dict[str, Any], path: str) -> None:
    run = begin(home, run_records.RunStarted("0" * 16, "script", "one", config=given))
    run.end()
    assert [warning for warning in run.warnings if warning.startswith(f"{path} is not recorded")]
    assert in_store(home, MEANINGFUL) == in_store(home, PLAIN) == in_store(home, "hunter-of-deer") == []


def test_what_is_redacted_is_told_with_its_kind_and_never_with_itself() -> None:
    value, found = redact({"a": {"b": [1, planted("github")]}}, "config")
    assert value == {"a": {"b": [1, "<redacted: github-token>"]}}
    assert found == ["config.a.b[1] is not recorded: it looks like a secret (github-token)"]
    assert redact(value, "config") == (value, [])


def test_what_was_given_is_not_changed() -> None:
    config = {"a": [planted("github")]}
    redact_start(run_records.RunStarted("0" * 16, "script", "one", config=config))
    assert config == {"a": [planted("github")]}


@pytest.mark.parametrize(
    "value",
    [
        {"password": "${DB_PASSWORD}", "api_key": "<your key>", "secret": "", "token": "{{ token }}"},
        {"tokenizer": "gpt2", "max_tokens": 128, "token_count": "1024", "key": "val/loss", "keys": ["a", "b"]},
        {"commit": "f66d413a7aa70d01c4e9f7b3a5d8e2c6f1b0a9d8", "digest": "sha256:" + "0f" * 32},
        {"password": None, "secret": 5, "credentials": {"user": "me"}},
        {"argv": ["python", "train.py", "--seed", "7", "--lr=3e-4", "--tokenizer", "bpe"]},
        {"url": "https://example.org/path?x=1", "mail": "someone@example.org", "path": "/a/b/secrets.toml"},
        {"optimizer": {"betas": (0.9, 0.95), "name": "adamw"}, "text": "the password is wrong"},
    ],
)
def test_an_ordinary_configuration_is_recorded_as_it_is(value: dict[str, Any]) -> None:
    shown, found = redact(value, "config")
    assert found == []
    assert shown is value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=6), items, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(value=JSON, at=st.integers(0, 20))
def test_a_secret_anywhere_in_any_value_is_replaced(value: Any, at: int) -> None:
    shown, found = redact(value, "x")
    if not found:
        assert shown is value
    places: list[tuple[Any, Any]] = []

    def walk(item: Any) -> None:
        if isinstance(item, list):
            places.extend((item, index) for index in range(len(item)))
            for child in item:
                walk(child)
        elif isinstance(item, dict):
            places.extend((item, name) for name in item)
            for child in item.values():
                walk(child)

    holder = [value]
    walk(holder)
    container, place = places[at % len(places)]
    container[place] = f"before {planted('github')} after"
    shown, found = redact(holder, "x")
    assert RANDOM not in repr(shown)
    assert found


def test_what_is_no_secret_can_be_found_in_the_store(home: Home) -> None:
    # The search of these tests must be able to find something.
    run = begin(home, run_records.RunStarted("0" * 16, "script", "one", config={"note": "an ordinary sentence"}))
    repository.put(home, {"value": "another sentence"})
    run.end()
    assert in_store(home, "an ordinary sentence")
    assert in_store(home, "another sentence")
