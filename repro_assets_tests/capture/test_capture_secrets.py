"""The scanner finds what must not be stored. Every secret here is put together while the test runs."""

from __future__ import annotations

import base64
import json
import random
import string
from pathlib import Path

import pytest

from repro_assets.capture.secrets import find_secrets, redact_text, redact_url
from repro_assets.capture.variables import allowed_variables

WORDS = string.ascii_letters + string.digits
PACKAGE = Path(__file__).parents[2] / "repro_assets"


def drawn(count: int, alphabet: str = WORDS, seed: int = 7) -> str:
    """Draw characters as a token has them: with a digit, and without a word in them."""
    generator = random.Random(f"{count}{alphabet}{seed}")
    return "".join(generator.choices(alphabet, k=count - 1)) + ("7" if "7" in alphabet else alphabet[-1])


def planted() -> dict[str, tuple[str, str, str]]:
    """Name to (kind, text, path)."""
    key = base64.b64encode(random.Random(1).randbytes(150)).decode()
    block = "\n".join(["-----BEGIN RSA " + "PRIVATE KEY-----", key, "-----END RSA " + "PRIVATE KEY-----"])
    part = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode().rstrip("=")
    base32 = string.ascii_uppercase + "234567"
    return {
        "private key": ("private-key", block, "deploy.txt"),
        "private key in JSON": ("private-key", json.dumps({"private_key": block}), "account.json"),
        "AWS key id": ("aws-access-key", "AK" + "IA" + drawn(16, base32), "settings.py"),
        "AWS secret": ("aws-secret-key", "aws_secret_" + "access_key = " + drawn(40), "config"),
        "GCP key": ("gcp-api-key", "AI" + "za" + drawn(35), "a.js"),
        "Azure storage": (
            "azure-storage-key",
            "Account" + "Key=" + base64.b64encode(random.Random(2).randbytes(64)).decode(),
            "a.cs",
        ),
        "GitHub": ("github-token", "gh" + "p_" + drawn(36), "a.py"),
        "GitHub fine-grained": ("github-token", "github" + "_pat_" + drawn(82), "a.py"),
        "GitLab": ("gitlab-token", "gl" + "pat-" + drawn(20), "ci.yml"),
        "Slack": ("slack-token", "xo" + "xb-" + drawn(12, string.digits) + "-" + drawn(24), "bot.py"),
        "Stripe": ("stripe-key", "sk_" + "live_" + drawn(24), "pay.py"),
        "OpenAI": ("openai-key", "sk-" + drawn(20) + "T3Blbk" + "FJ" + drawn(20), "chat.py"),
        "Anthropic": ("anthropic-key", "sk-" + "ant-api03-" + drawn(80), "chat.py"),
        "Hugging Face": ("huggingface-token", "h" + "f_" + drawn(34, string.ascii_letters), "load.py"),
        "npm": ("npm-token", "np" + "m_" + drawn(36), "a.txt"),
        "npmrc": ("npm-token", "//registry.example.org/:_auth" + "Token=" + drawn(36), ".npmrc"),
        "PyPI": ("pypi-token", "py" + "pi-AgEI" + drawn(100), "a.toml"),
        "JWT": ("jwt", f"{part}.{part}.{drawn(43)}", "session.txt"),
        "database": ("url-credentials", "postgres" + "ql://app:" + drawn(14) + "@db.internal/models", "a.py"),
        "URL": ("url-credentials", "https" + "://deploy:" + drawn(20) + "@git.internal/x.git", "a.cfg"),
        "ODBC": ("connection-string", "Server=db;User Id=app;Pass" + "word=" + drawn(12) + ";", "a.json"),
        "assignment": ("secret-assignment", "API_" + f'KEY = "{drawn(32)}"', "a.py"),
        "YAML assignment": ("secret-assignment", "client_" + f"secret: {drawn(32)}\n", "a.yaml"),
        "header": ("authorization-header", "Authori" + f"zation: Bearer {drawn(40)}", "notes.md"),
        "environment file": ("environment-file", "DB=" + "horse-battery\n", ".env"),
        "netrc": ("credentials-file", "machine a.internal login b", ".netrc"),
        "pypirc": ("credentials-file", "[pypi]", "home/.pypirc"),
        "ssh key by name": ("credentials-file", "anything", "keys/id_rsa"),
        "key store": ("key-store", "\0\1\2", "server.p12"),
    }


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
