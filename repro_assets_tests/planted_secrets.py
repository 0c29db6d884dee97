"""Credentials of every kind that the scanner knows, put together while a test runs, so that none is in a file."""

from __future__ import annotations

import base64
import json
import random
import re
import string

WORDS = string.ascii_letters + string.digits


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


def core(text: str) -> str:
    """The part of a planted text that must be found nowhere."""
    return max(re.findall(r"[A-Za-z0-9_-]{12,}", text), key=len)
