"""Attestations: a statement that others read, a signature that nothing gets past, and no store needed to verify."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bundled import Stored, fill

from repro_assets.artifacts import names, repository
from repro_assets.errors import InvalidInput, InvalidValue, ReusedElsewhere, UnknownName
from repro_assets.interchange import attestation, signing
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import make_store
from repro_assets.store.opening import open_objects


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> signing.KeyPair:
    return signing.make_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def attested(stored: Stored, keys: signing.KeyPair, tmp_path: Path) -> Path:
    path = tmp_path / "train.json"
    attestation.attest(stored.home, [stored.data, stored.train], keys.private, path)
    return path


def payload(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))
    return said


def test_a_statement_has_subjects_materials_and_verdicts_by_digest(stored: Stored, attested: Path) -> None:
    said = payload(attested)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert json.loads(attested.read_text())["payloadType"] == "application/vnd.in-toto+json"
    model, table = (names.version(stored.home, name, 1).digest.hex for name in ("model-small", "dataset-small"))
    assert said["subject"] == [
        {"name": f"dataset-{stored.data}", "digest": {"sha256": table}},
        {"name": f"model-{stored.train}", "digest": {"sha256": model}},
    ]
    build, details = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert {"buildType", "externalParameters", "resolvedDependencies"} <= build.keys()
    materials = {item["name"]: item["digest"]["sha256"] for item in build["resolvedDependencies"]}
    assert materials["input dataset"] == table and {"source", "environment"} <= materials.keys()
    assert [run["run_id"] for run in build["externalParameters"]["runs"]] == [stored.data, stored.train]
    assert build["externalParameters"]["runs"][1]["seed"] == 3
    (replay,) = details["byproducts"]
    assert replay["annotations"] == {"run": stored.train, "verdict": "identical"}
    assert json.loads(base64.b64decode(replay["content"]))["replay_run"] == "repl000055555555"
    assert details["builder"]["id"] and details["metadata"]["finishedOn"].endswith("Z")
    assert "sturdy-host" not in json.dumps(said)


def test_a_parent_stands_for_its_runs_and_the_same_runs_give_the_same_statement(
    stored: Stored, keys: signing.KeyPair, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(2)]
    for path in paths:
        done = attestation.attest(stored.home, ["pare000000000000"], keys.private, path)
    assert done.runs == [stored.data, stored.train, stored.later, stored.other]
    assert len(done.subjects) == 4
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_it_is_verified_with_nothing_but_the_file_and_the_key(attested: Path, keys: signing.KeyPair) -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*given, **named): raise AssertionError('a network was asked')\n"
        "socket.socket.connect = refuse\n"
        "from repro_assets.cli.app import main\n"
        "sys.exit(main(['attest', 'verify', sys.argv[1], '--public-key', sys.argv[2], '--json']))\n"
    )
    asked = [sys.executable, "-c", program, str(attested), str(keys.public)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verified"] is True and [item["stored"] for item in found["subjects"]] == [None, None]
    assert found["keyid"] == keys.keyid and found["replays"][0]["verdict"] == "identical"


def test_securesystemslib_and_a_plain_ed25519_key_agree_on_the_signature(attested: Path, keys: signing.KeyPair) -> None:
    """The envelope is what DSSE says, not only what the library that wrote it reads."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    envelope = json.loads(attested.read_text())
    body, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)
    (signature,) = envelope["signatures"]
    key: Any = load_pem_public_key(keys.public.read_bytes())
    key.verify(base64.b64decode(signature["sig"]), signed)


def test_what_was_changed_or_signed_by_another_is_not_verified(
    stored: Stored, attested: Path, keys: signing.KeyPair, tmp_path: Path
) -> None:
    assert attestation.verify(attested, keys.public).verified
    other = signing.make_key(tmp_path / "other.pem")
    found = attestation.verify(attested, other.public)
    assert not found.verified and found.subjects == [] and "did not sign" in str(found.reason)
    envelope = json.loads(attested.read_text())
    said = payload(attested)
    said["subject"][0]["digest"]["sha256"] = "0" * 64
    wrong = base64.b64encode(json.dumps(said).encode()).decode()
    flipped = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    flipped[7] ^= 1
    signature = {**envelope["signatures"][0], "sig": base64.b64encode(bytes(flipped)).decode()}
    for change in ({"payload": wrong}, {"signatures": [signature]}):
        path = tmp_path / "changed.json"
        path.write_text(json.dumps({**envelope, **change}))
        assert not attestation.verify(path, keys.public).verified
    for change in ({"signatures": []}, {"payload": 3}, {"payloadType": "text/plain"}, {"signatures": [{}]}):
        path.write_text(json.dumps({**envelope, **change}))
        with pytest.raises(InvalidInput):
            attestation.verify(path, keys.public)


NO_ENVELOPES: dict[str, tuple[bytes, str]] = {
    "a picture": (b"\x89PNG\r\n\x1a\n\xff", "no signed attestation: it is no JSON"),
    "a list": (b"[1, 2]", "no signed attestation: it has no member 'payload'"),
    "too deep": (b"[" * 200_000, "no signed attestation: it is no JSON"),
    "a member short": (b'{"payload": "", "signatures": []}', "it has no member 'payloadType'"),
    "other types": (b'{"payload": 3, "payloadType": "x", "signatures": 4}', "its payload or its signatures do not"),
    "unsigned": (b'{"payload": "", "payloadType": "x", "signatures": []}', "nobody signed it"),
    "of another type": (
        b'{"payload": "", "payloadType": "text/plain", "signatures": [{"keyid": "ab", "sig": "YQ=="}]}',
        "its payload is of the type 'text/plain', not application/vnd.in-toto",
    ),
}


@pytest.mark.parametrize("name", NO_ENVELOPES)
def test_what_is_no_envelope_is_said_without_the_words_of_a_decoder(
    name: str, keys: signing.KeyPair, tmp_path: Path
) -> None:
    content, match = NO_ENVELOPES[name]
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=match) as raised:
        attestation.verify(path, keys.public)
    assert "repro attest RUN" in raised.value.remedy
    assert not [word for word in ("indices", "codec", "Error", "column") if word in str(raised.value)]


def test_a_signed_statement_of_something_else_is_refused(keys: signing.KeyPair, tmp_path: Path) -> None:
    for said in (b"not JSON", b"{}", b"[]", b'{"_type":"https://in-toto.io/Statement/v1","predicateType":"other"}'):
        path = tmp_path / "other.json"
        path.write_bytes(signing.sign(said, keys.private)[0])
        with pytest.raises(InvalidInput, match="no attestation of runs"):
            attestation.verify(path, keys.public)


def test_products_that_the_store_has_are_hashed_again(tmp_path: Path, keys: signing.KeyPair) -> None:
    stored = fill(tmp_path / "store")
    path = tmp_path / "a.json"
    attestation.attest(stored.home, [stored.data, stored.train], keys.private, path)
    found = attestation.verify(path, keys.public, stored.home)
    assert found.verified and [item["stored"] for item in found.subjects] == [True, True]
    model = repository.by_name(stored.home, "model-small:v1")
    assert model is not None
    part = max(model.manifest.objects(), key=lambda digest: open_objects(stored.home).placement(digest).size)
    place = stored.home.objects / part.hex[:2] / part.hex[2:]
    data = bytearray(place.read_bytes())
    data[100] ^= 1
    place.write_bytes(data)
    found = attestation.verify(path, keys.public, stored.home)
    assert not found.verified and [item["stored"] for item in found.subjects] == [True, False]
    assert "the bytes of model-" in str(found.reason)


def test_what_cannot_be_attested_and_what_is_no_key_is_one_error(
    stored: Stored, keys: signing.KeyPair, tmp_path: Path
) -> None:
    home = make_store(tmp_path / "store")
    begin(home, RunStarted("goes000011111111", "script", "goes"))
    begin(home, RunStarted("made000011111111", "script", "made")).end()
    to = tmp_path / "a.json"
    for run, kind, match in (
        ("nothing", UnknownName, "no run nothing"),
        ("goes000011111111", InvalidValue, "is RUNNING"),
        ("made000011111111", InvalidValue, "made nothing"),
    ):
        with pytest.raises(kind, match=match):
            attestation.attest(home, [run], keys.private, to)
    bad = tmp_path / "bad.pem"
    for content in (b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        bad.write_bytes(content)
        with pytest.raises(InvalidInput, match="no private key"):
            attestation.attest(stored.home, [stored.train], bad, to)
    with pytest.raises(InvalidInput, match=f"is a public key, which cannot sign .name the private one: {keys.private}"):
        attestation.attest(stored.home, [stored.train], keys.public, to)
    with pytest.raises(InvalidInput, match="no file"):
        attestation.attest(stored.home, [stored.train], tmp_path / "none.pem", to)
    with pytest.raises(InvalidInput, match="no public key"):
        attestation.verify(keys.private, keys.private)
    assert not to.exists()
    with pytest.raises(ReusedElsewhere):
        signing.make_key(keys.private)
    assert keys.private.stat().st_mode & 0o777 == 0o600
