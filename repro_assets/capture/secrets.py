"""Finding credentials in bytes, so that none of them enters the store.

Laws: a finding says the kind and the line, never the value. A file is scanned whole, never sampled. Documented
placeholders (``AKIA…EXAMPLE``, ``${PASSWORD}``, ``<token>``) are no findings. A file that by its name exists to hold
credentials counts without a look at its content, and a ``.env``-like file counts as soon as it sets any variable that
is not on the allow list of `variables`.

Limits: nothing is unpacked (archives, compressed columns), and a secret that looks like an ordinary word, in a name
that says nothing, is not found.
"""

from __future__ import annotations

import codecs
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from repro_assets.capture.variables import is_allowed

RULES_VERSION = 1
"""Part of every cache key: changed rules scan everything again."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One credential that was found.

    Parameters
    ----------
    kind : str
        What it looks like, such as ``github-token``.
    line : int
        Line number from 1; 0 where the file's name is the reason.
    """

    kind: str
    line: int


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: str
    literals: tuple[
        bytes, ...
    ]  # one of them must be in the data, or the pattern is not tried: `in` is ten times faster
    pattern: re.Pattern[bytes]
    accept: Callable[[re.Match[bytes]], bool] = lambda _: True


def _rule(
    kind: str,
    literals: str,
    pattern: str,
    accept: Callable[[re.Match[bytes]], bool] = lambda _: True,
) -> _Rule:
    return _Rule(kind, tuple(literals.encode().split()), re.compile(pattern.encode()), accept)


_PLACEHOLDER = re.compile(
    rb"""(?ix) ^ (?: \W* | .* (?: \$\{ | \{\{ | \{[a-z_.]*\} | \$\( | %\( | %s | <[^>]*> | \.\.\. | \*\*\* | xxxx
    | example | placeholder | change.?me | your[-_.]? | dummy | redacted | insert | replace.?me | 012345 | 123456
    | abcdef ) .*
    | \$[A-Z_]+ | pass(?:word|wd|phrase)? | pw | pwd | secret | token | credentials? | user(?:name)?
    | tiger | hunter2 | foo\w* | bar | baz | test\w* | none | null | true | false | default | root | admin | guest
    | postgres | mysql | mypass\w* | my[-_]?(?:secret|token|password)\w* | s3cr3t | p4ssw0rd | airflow | minio\w* ) $"""
)


def _is_real(value: bytes) -> bool:
    return _PLACEHOLDER.match(value) is None


def _mixed(value: bytes, entropy: float) -> bool:
    """Whether `value` has letters and digits and at least `entropy` bits a character (Shannon, over its bytes)."""
    if not (re.search(rb"[0-9]", value) and re.search(rb"[A-Za-z]", value)):
        return False
    return _entropy(value) >= entropy


def _entropy(value: bytes) -> float:
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def _random_token(match: re.Match[bytes]) -> bool:
    return _is_real(match[0]) and _entropy(match[0]) >= 3.0


def _random_group(match: re.Match[bytes]) -> bool:
    return _is_real(match[1]) and _mixed(match[1], 3.0)


def _not_example(match: re.Match[bytes]) -> bool:
    return b"EXAMPLE" not in match[0] and _random_token(match)


_B64 = "A-Za-z0-9+/"
_RULES = (
    _rule(
        "private-key",
        "PRIVATE",
        rf"-----BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(?=[\s\S]{{0,300}}?[{_B64}]{{40}})",
    ),
    _rule("private-key", "PuTTY-User-Key-File", r"PuTTY-User-Key-File-\d: \S"),
    _rule("private-key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _rule("aws-access-key", "AKIA ASIA ABIA ACCA", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", _not_example),
    _rule(
        "aws-secret-key",
        "aws_secret aws-secret AWS_SECRET secretAccessKey SecretAccessKey",
        rf"(?i)(?:aws.?secret|secret.?access).{{0,20}}?[\"'\s:=]([{_B64}]{{40}})(?![{_B64}=])",
        _not_example,
    ),
    _rule("gcp-api-key", "AIza", r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])", _random_token),
    _rule("gcp-client-secret", "GOCSPX-", r"\bGOCSPX-[0-9A-Za-z_-]{28}", _random_token),
    _rule("gcp-access-token", "ya29.", r"\bya29\.[0-9A-Za-z_-]{30,}", _random_token),
    _rule(
        "azure-storage-key",
        "AccountKey SharedAccessKey",
        rf"(?:AccountKey|SharedAccessKey)=([{_B64}]{{43,86}}={{1,2}})",
        _random_group,
    ),
    _rule("azure-client-secret", "Q~", r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])", _random_token),
    _rule("azure-sas", "sig=", r"[?&]sig=([A-Za-z0-9%+/]{40,}(?:%3D|=))", _random_group),
    _rule("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,}", _random_token),
    _rule("github-token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{50,}", _random_token),
    _rule(
        "gitlab-token",
        "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glagent- glimt- gloas-",
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt|oas)-[A-Za-z0-9_-]{20,}",
        _random_token,
    ),
    _rule("slack-token", "xox xapp-", r"\bx(?:ox[abeoprs]|app)-[A-Za-z0-9-]{20,}", _random_token),
    _rule("slack-webhook", "hooks.slack.com", r"hooks\.slack\.com/services/(T\w{6,}/B\w{6,}/\w{20,})", _random_group),
    _rule(
        "discord-webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/(\d{15,}/[\w-]{50,})", _random_group
    ),
    _rule(
        "stripe-key", "_live_ _test_ whsec_", r"\b(?:[srp]k_live_|[sr]k_test_|whsec_)([A-Za-z0-9]{20,})", _random_group
    ),
    _rule("openai-key", "T3BlbkFJ", r"\bsk-[A-Za-z0-9_-]{16,}T3BlbkFJ[A-Za-z0-9_-]{16,}", _random_token),
    _rule("openai-key", "sk-", r"(?<![\w-])sk-(?:proj-|svcacct-|admin-)?([A-Za-z0-9_]{40,})", _random_group),
    _rule("anthropic-key", "sk-ant-", r"\bsk-ant-([A-Za-z0-9_-]{30,})", _random_group),
    _rule("huggingface-token", "hf_", r"\bhf_([A-Za-z]{34})(?![A-Za-z0-9_])", _random_token),
    _rule("npm-token", "npm_", r"\bnpm_([A-Za-z0-9]{36})(?![A-Za-z0-9_])", _random_group),
    _rule("npm-token", "_authToken", r"_authToken\s*=\s*[\"']?([A-Za-z0-9_=./+-]{16,})", _random_group),
    _rule("pypi-token", "pypi-Ag", r"\bpypi-Ag[EI][A-Za-z0-9_-]{50,}", _random_token),
    _rule("jwt", "eyJ", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}", _random_token),
    _rule("sendgrid-key", "SG.", r"\bSG\.[\w-]{22}\.[\w-]{43}", _random_token),
    _rule("telegram-token", ":AA", r"\b\d{8,10}:AA[\w-]{33}(?![\w-])", _random_token),
    _rule("digitalocean-token", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b", _random_token),
    _rule("databricks-token", "dapi", r"\bdapi[a-f0-9]{32}\b", _random_token),
    _rule("docker-token", "dckr_", r"\bdckr_(?:pat|oat)_[\w-]{27,}", _random_token),
    _rule("vault-token", "hvs. hvb.", r"\bhv[sb]\.[\w-]{24,}", _random_token),
    _rule("groq-key", "gsk_", r"\bgsk_[A-Za-z0-9]{52}", _random_token),
    _rule("replicate-token", "r8_", r"\br8_[A-Za-z0-9]{37}\b", _random_token),
    _rule("shopify-token", "shp", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b", _random_token),
    _rule(
        "url-credentials",
        "://",
        r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/?#@\"'<>\[\](){},]*:([^\s/?#@\"'<>,]{3,})@[\w\[${<%]",
        lambda match: _is_real(match[1]),
    ),
    _rule(
        "connection-string",
        "Password= PASSWORD= password= Pwd= PWD= pwd=",
        r"(?i)(?:server|data source|host|driver|user id|uid)\s*=[^;\r\n\"']+;(?:[^\r\n\"']*;)?\s*"
        r"(?:password|pwd)\s*=\s*([^;\s\"']{4,})",
        lambda match: _is_real(match[1]),
    ),
    _rule(
        "authorization-header",
        "uthorization UTHORIZATION",
        r"(?i)authorization[\"']?\s*[:=,]\s*[\"']?(?:basic|bearer|token)\s+([A-Za-z0-9+/=._~-]{16,})",
        _random_group,
    ),
)

_QUALIFIED_KEY = "(?:api|access|auth|private|account|encryption|signing|master|license)[-_]?key"
_WORDS = tuple(
    (literal.encode(), re.compile(pattern.encode()))
    for literal, pattern in (
        ("passw", "passw(?:or)?d"),
        ("passphrase", "passphrase"),
        ("pwd", "pwd"),
        ("secret", "secret"),
        ("token", "token"),
        ("credential", "credential"),
        ("key", _QUALIFIED_KEY),
    )
)
_QUOTED = re.compile(
    rb"[\w.-]{0,40}[\"']?\]?\s{0,8}(?::[^=\n\"']{0,30})?(?:=>|:=|=|:)\s{0,8}[bruf]{0,2}(?P<q>[\"'`])(?P<value>[^\"'`\s\\]{8,200})(?P=q)"
)
_BARE = re.compile(
    rb"[\w.-]{0,40}[\"']?[ \t]{0,8}(?:=|:)[ \t]{0,8}(?P<value>[^\s\"'`,;#(){}\[\]<>]{8,200})[ \t]*(?:\r?\n|\Z|[ \t]#)"
)
_CONFIGURATION = frozenset(
    {
        ".ini",
        ".cfg",
        ".conf",
        ".config",
        ".properties",
        ".yaml",
        ".yml",
        ".toml",
        ".env",
        ".sh",
        ".bash",
        ".zsh",
        ".envrc",
    }
)
_IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*(?:[.:/-][A-Za-z_0-9]+)*")

_HOLDERS = frozenset(
    {
        ".netrc", "_netrc", ".pypirc", ".git-credentials", ".pgpass", ".my.cnf", ".htpasswd", ".s3cfg", ".boto",
        "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", ".vault-token", "kubeconfig",
    }
)  # fmt: skip
_HOLDER_PATHS = (
    ".aws/credentials",
    ".docker/config.json",
    ".kube/config",
    ".config/gh/hosts.yml",
    ".cargo/credentials",
)
_HOLDER_SUFFIXES = frozenset({".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk"})
_TEMPLATES = frozenset({".example", ".sample", ".template", ".dist", ".tmpl"})


def find_secrets(data: bytes, path: str | PurePosixPath) -> list[Finding]:
    """Find credentials.

    Parameters
    ----------
    data : bytes
        The whole content. UTF-16 with a byte order mark is read as such, anything else as ASCII with unknown bytes.
    path : str or path
        Where it comes from; its name decides about files that exist to hold credentials, and about how strictly
        assignments are read.

    Returns
    -------
    list of Finding
        In order of the lines, one per kind and line; empty where nothing was found.
    """
    place = PurePosixPath(path)
    found: set[Finding] = set()
    kind = _holder(place)
    if kind is not None:
        found.add(Finding(kind, 0))
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    for kind, start, _ in _spans(data, place):
        found.add(Finding(kind, data.count(b"\n", 0, start) + 1))
    return sorted(found, key=lambda finding: (finding.line, finding.kind))


def told(findings: Sequence[Finding]) -> str:
    """Say what was found and where, as the reason why a file is left out."""
    places = ", ".join(f"{each.kind} in line {each.line}" if each.line else each.kind for each in findings)
    return f"secret scanner: {places}"


def redact_text(text: str) -> str:
    """Replace the credentials in free text, such as an error's message and trace, by ``<kind>``.

    Returns
    -------
    str
        `text`, unchanged where nothing was found.
    """
    data = text.encode("utf-8", "surrogatepass")
    spans = sorted((start, -end, kind) for kind, start, end in _spans(data, PurePosixPath("text.py")))
    kept, position = [], 0
    for start, negative_end, kind in spans:
        if -negative_end > position:
            kept += [data[position : max(start, position)], f"<{kind}>".encode()] if start >= position else []
            position = -negative_end
    return b"".join([*kept, data[position:]]).decode("utf-8", "surrogatepass")


def redact_url(url: str) -> str:
    """Drop the credentials from an address.

    Returns
    -------
    str
        `url` without user name, password and query values; an scp-like ``user@host:path`` keeps its user, which is
        part of the address there and no secret.
    """
    match = re.match(r"(?s)([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)(.*)", url)
    if match is None:
        return url
    scheme, authority, rest = match.groups()
    user, at, host = authority.rpartition("@")
    if at and scheme.lower() in ("ssh://", "git+ssh://") and ":" not in user:
        host = authority
    rest = re.sub(r"([?&][^=&#]*=)[^&#]+", r"\1", rest)
    return scheme + host + rest


def _holder(place: PurePosixPath) -> str | None:
    name = place.name.lower()
    if place.suffix.lower() in _HOLDER_SUFFIXES:
        return "key-store"
    if name in _HOLDERS or str(place).lower().endswith(_HOLDER_PATHS):
        return "credentials-file"
    return None


def _is_env_like(place: PurePosixPath) -> bool:
    name = place.name.lower()
    if any(name.endswith(suffix) for suffix in _TEMPLATES):
        return False
    return name in (".env", ".envrc") or name.startswith(".env.") or name.endswith(".env")


def _spans(data: bytes, place: PurePosixPath) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of everything that looks like a credential."""
    for rule in _RULES:
        if any(literal in data for literal in rule.literals):
            for match in rule.pattern.finditer(data):
                if rule.accept(match):
                    start, end = match.span(1 if rule.pattern.groups else 0)
                    yield rule.kind, start, _end_of_key(data, end) if rule.kind == "private-key" else end
    if b"\0" not in data[:8192]:
        yield from _assignments(data, place)
        if _is_env_like(place):
            yield from _unlisted_variables(data)


def _end_of_key(data: bytes, position: int) -> int:
    """End of the block that opens before `position`; the end of the data where it is not closed."""
    closing = data.find(b"-----END", position)
    closed = data.find(b"KEY", closing) if closing >= 0 else -1
    return closed + len(b"KEY-----") if closed >= 0 else len(data)


def _assignments(data: bytes, place: PurePosixPath) -> Iterator[tuple[str, int, int]]:
    """High-entropy values that are given to a name which says that it holds a secret."""
    bare = place.suffix.lower() in _CONFIGURATION or _is_env_like(place) or place.suffix == ""
    lower = data.lower()
    for literal, pattern in _WORDS:
        if literal not in lower:
            continue
        for word in pattern.finditer(lower):
            match = _QUOTED.match(data, word.end()) or (_BARE.match(data, word.end()) if bare else None)
            if match is not None and _looks_random(match["value"]):
                yield "secret-assignment", match.start("value"), match.end("value")


def _looks_random(value: bytes) -> bool:
    if not _is_real(value) or b"://" in value:
        return False
    if _IDENTIFIER.fullmatch(value) and _words_share(value) > 0.6:
        return False  # a name of something, such as "token_2_of_batch"
    return _mixed(value, 3.0) if len(value) >= 16 else _mixed(value, 2.7) and not _IDENTIFIER.fullmatch(value)


def _words_share(value: bytes) -> float:
    """Share of `value` that lies in runs of four or more letters of one case, as words do and random text does not."""
    return sum(len(run) for run in re.findall(rb"[a-z]{4,}|[A-Z]{4,}|[A-Z][a-z]{3,}", value)) / len(value)


def _unlisted_variables(data: bytes) -> Iterator[tuple[str, int, int]]:
    line = re.compile(rb"(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*?)[ \t\r]*$")
    for match in line.finditer(data):
        value = match[2].strip(b"\"'")
        if value.lower() not in (b"", b"0", b"1", b"true", b"false") and not is_allowed(match[1].decode()):
            yield "environment-file", match.start(2), match.end(2)
