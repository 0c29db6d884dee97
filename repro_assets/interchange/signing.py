"""Ed25519 keys in files, and statements signed with them as DSSE envelopes.

Laws: a private key is made in a file that only its owner can read, and nothing that is there is replaced; a key is a
PEM file, as other programs read it; what is verified is the envelope's payload, byte for byte, and nothing is asked of
a network or a store. Signing and verifying are securesystemslib's.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_assets.errors import CheckFailed, InvalidInput, MachineError, ReusedElsewhere, from_os_error
from repro_assets.store import durable

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PRIVATE, PUBLIC = "attest.pem", ".pub"
_INSTALL = "pip install 'repro-assets[attest]'"
MADE_BY = "one is made by: repro attest RUN --key FILE --to FILE"
"""What to do where a file is no attestation."""
_LARGEST = 64 << 20
_MEMBERS = ("payload", "payloadType", "signatures")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The files of a key, and its id."""

    private: Path
    public: Path
    keyid: str


def make_key(to: Path) -> KeyPair:
    """Make a private key, and the public one beside it.

    Parameters
    ----------
    to : Path
        The file of the private key, or a folder for it; the public key gets the same name and ``.pub``.

    Raises
    ------
    ReusedElsewhere
        If one of the files is there.
    InvalidInput
        If their folder is not there.
    MachineError
        If they cannot be written, or the extra is not installed.
    """
    crypto, signer_of = _crypto(), _signers()
    private = to / PRIVATE if to.is_dir() else to
    public = private.with_name(private.name + PUBLIC)
    if not private.absolute().parent.is_dir():
        raise InvalidInput(f"the folder of {private} is not there", "name a file in a folder that is there")
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise ReusedElsewhere(f"{path} is there already", "name another: a key is never replaced")
    signer = signer_of.generate_ed25519()
    keys: Any = crypto.load_pem_private_key(signer.private_bytes, None)
    text = keys.public_key().public_bytes(crypto.Encoding.PEM, crypto.PublicFormat.SubjectPublicKeyInfo)
    for path, data, mode in ((private, signer.private_bytes, 0o600), (public, text, 0o644)):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
            try:
                durable.write_all(descriptor, [data])
                durable.sync_descriptor(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise from_os_error(error, path) from error
    return KeyPair(private, public, signer.public_key.keyid)


def sign(payload: bytes, key: Path) -> tuple[bytes, str]:
    """Return the envelope of a payload as JSON, and the id of the key.

    Raises
    ------
    InvalidInput
        If the file of the private key is none.
    MachineError
        If the extra is not installed.
    """
    crypto = _crypto()
    from securesystemslib.dsse import Envelope

    data = _read(key)
    try:
        private: Any = crypto.load_pem_private_key(data, None)
    except (ValueError, TypeError, crypto.UnsupportedAlgorithm) as error:
        if b"-----BEGIN PUBLIC KEY-----" in data:
            other = f"{key.with_suffix('')}" if key.suffix == PUBLIC else "the file without .pub"
            raise InvalidInput(f"{key} is a public key, which cannot sign", f"name the private one: {other}") from error
        raise InvalidInput(f"{key} is no private key without a password", "make one: repro attest keygen") from error
    if not isinstance(private, crypto.Ed25519PrivateKey):
        raise InvalidInput(f"{key} is no Ed25519 key", "make one: repro attest keygen")
    signer = _signers()(private)
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), indent=1).encode() + b"\n", signer.public_key.keyid


def verified(file: Path, public_key: Path) -> tuple[bytes, str]:
    """Return the payload of an envelope, once its signature by a key was verified, and the id of the key.

    Raises
    ------
    CheckFailed
        If the key did not sign this payload.
    InvalidInput
        If one of the files is not there, or not what it should be.
    MachineError
        If the extra is not installed.
    """
    key = _public(public_key)
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    data = _read(file)

    def no_envelope(what: str) -> InvalidInput:
        return InvalidInput(f"{file} is no signed attestation: {what}", MADE_BY)

    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise no_envelope("it is no JSON") from error
    lacking = [name for name in _MEMBERS if not isinstance(raw, dict) or name not in raw]
    if lacking:
        raise no_envelope(f"it has no member {lacking[0]!r}")
    try:
        envelope = Envelope.from_dict(raw)
    except Exception as error:
        # Whatever the library's decoders raise means a file that is no envelope.
        raise no_envelope("its payload or its signatures do not read") from error
    if not envelope.signatures:
        raise no_envelope("nobody signed it")
    if envelope.payload_type != PAYLOAD_TYPE:
        raise InvalidInput(
            f"{file} is signed, and no attestation of runs: its payload is of the type {envelope.payload_type!r}, "
            f"not {PAYLOAD_TYPE}",
            MADE_BY,
        )
    try:
        envelope.verify([key], 1)
    except VerificationError as error:
        signers = ", ".join(envelope.signatures)
        raise CheckFailed(
            f"{file} is not verified: {public_key} did not sign what is in it",
            f"the key is {key.keyid[:16]}, signed by {signers[:80]}",
        ) from error
    return envelope.payload, key.keyid


def key_id(public_key: Path) -> str:
    """Return the id of a public key.

    Raises
    ------
    InvalidInput, MachineError
        As `verified`.
    """
    return str(_public(public_key).keyid)


def _public(path: Path) -> SSlibKey:
    crypto = _crypto()
    from securesystemslib.signer import SSlibKey

    try:
        key = crypto.load_pem_public_key(_read(path))
    except (ValueError, crypto.UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{path} is no public key", "it is the file that ends in .pub") from error
    if not isinstance(key, crypto.Ed25519PublicKey):
        raise InvalidInput(f"{path} is no Ed25519 key", "it is the file that ends in .pub")
    return SSlibKey.from_crypto(key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InvalidInput(f"there is no file {path}", "check the path") from error
    except OSError as error:
        raise from_os_error(error, path) from error
    if len(data) > _LARGEST:
        raise InvalidInput(f"{path} is larger than {_LARGEST} bytes", "it is neither a key nor an attestation")
    return data


class _Crypto:
    """What is used of cryptography, under one name, because it is imported late."""

    def __init__(self) -> None:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            PublicFormat,
            load_pem_private_key,
            load_pem_public_key,
        )

        self.UnsupportedAlgorithm = UnsupportedAlgorithm
        self.Ed25519PrivateKey, self.Ed25519PublicKey = Ed25519PrivateKey, Ed25519PublicKey
        self.Encoding, self.PublicFormat = Encoding, PublicFormat
        self.load_pem_private_key, self.load_pem_public_key = load_pem_private_key, load_pem_public_key


def _crypto() -> _Crypto:
    try:
        return _Crypto()
    except ImportError as error:
        raise MachineError("attestations need cryptography, which is not installed", _INSTALL) from error


def _signers() -> Any:
    try:
        from securesystemslib.signer import CryptoSigner
    except ImportError as error:
        raise MachineError("attestations need securesystemslib, which is not installed", _INSTALL) from error
    return CryptoSigner
