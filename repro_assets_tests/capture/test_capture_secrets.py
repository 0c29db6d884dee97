"""The scanner finds what must not be stored. Every secret here is put together while the test runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_secrets import drawn, planted

from repro_assets.capture.secrets import find_secrets, redact_text, redact_url
from repro_assets.capture.variables import allowed_variables

PACKAGE = Path(__file__).parents[2] / "repro_assets"


@pytest.mark.parametrize("name", planted())
def test_a_planted_secret_is_found_with_its_kind_and_line(name: str) -> None:
    kind, text, path = planted()[name]
    data = ("first line\n\n" + text + "\nlast line\n").encode()
    findings = find_secrets(data, path)
    assert kind in {finding.kind for finding in findings}
    lines = {finding.line for finding in findings if finding.kind == kind}
    assert lines & {0, 3}


def test_at_least_twenty_kinds_are_known() -> None:
    assert len({kind for kind, _, _ in planted().values()}) >= 20


def test_a_secret_in_utf_16_or_between_binary_bytes_is_found() -> None:
    token = "gh" + "p_" + drawn(36)
    assert find_secrets(token.encode("utf-16"), "a.txt")
    assert find_secrets(b"\0\xff\n" + token.encode() + b"\n\0", "a.bin")


@pytest.mark.parametrize(
    "text",
    [
        'password = os.environ["DB_PASSWORD"]',
        'token = "<your token here>"',
        'password: str = Field(default="changeme-please")',
        "postgresql://user:password@localhost/db",
        "postgresql://${USER}:${PASSWORD}@localhost/db",
        "AKIAIOSFODNN7" + "EXAMPLE",
        'secret_name = "projects/team/secrets/registry-reader/versions/latest"',
        "tokens = tokenizer.encode(text)[:max_tokens_per_batch_2]",
        'API_KEY = "' + "0" * 32 + '"',
        "if b'PRIVATE KEY-----' in data:",
        'pattern = "-----BEGIN PRIVATE KEY-----"',
        "sha256:" + "0123456789abcdef" * 4,
    ],
)
def test_ordinary_source_is_no_finding(text: str) -> None:
    assert find_secrets(text.encode(), "module.py") == []


def test_an_environment_file_with_allowed_variables_only_is_no_finding() -> None:
    assert find_secrets(b"# pinned\nPYTHONHASHSEED=0\nexport CUBLAS_WORKSPACE_CONFIG=:4096:8\nEMPTY=\n", ".env") == []
    assert find_secrets(b"NAME=anything\n", ".env.example") == []


def test_this_package_raises_no_false_alarm() -> None:
    alarms = {
        str(file): found for file in PACKAGE.rglob("*.py") if (found := find_secrets(file.read_bytes(), file.name))
    }
    assert alarms == {}


def test_an_address_loses_its_credentials_and_nothing_else() -> None:
    secret = drawn(20)
    assert redact_url(f"https://me:{secret}@host.org/a/b.git") == "https://host.org/a/b.git"
    assert redact_url(f"https://{secret}@host.org/a.git") == "https://host.org/a.git"
    assert redact_url(f"https://host.org/a?token={secret}&x=1") == "https://host.org/a?token=&x="
    assert redact_url("git@host.org:a/b.git") == "git@host.org:a/b.git"
    assert redact_url("ssh://git@host.org/a.git") == "ssh://git@host.org/a.git"
    assert redact_url("/srv/git/a.git") == "/srv/git/a.git"


@pytest.mark.parametrize("name", [name for name, (_, _, path) in planted().items() if path.endswith(".py")])
def test_redacted_text_holds_no_secret_and_keeps_the_rest(name: str) -> None:
    _, text, _ = planted()[name]
    redacted = redact_text(f"Traceback, line 3 é\n{text} and more\n")
    assert find_secrets(redacted.encode(), "trace.py") == []
    assert text not in redacted
    assert redacted.startswith("Traceback, line 3 é\n")
    assert redacted.endswith(" and more\n")


def test_a_redacted_private_key_loses_its_body() -> None:
    _, block, _ = planted()["private key"]
    redacted = redact_text(f"before\n{block}\nafter")
    assert redacted == "before\n<private-key>\nafter"


def test_only_allowed_variables_are_taken() -> None:
    given = {"OMP_NUM_THREADS": "1", "AWS_SECRET_ACCESS_KEY": "x", "HOME": "/root", "MKL_CBWR": "AVX2", "OMP_X=": "1"}
    assert allowed_variables(given) == {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "1"}
