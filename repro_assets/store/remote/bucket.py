"""A bucket, or a folder that serves as one: files under paths, each whole or not there.

Laws: a file shows only when all of its bytes have arrived; `create` never replaces one; what was put is looked at
again and has the size that was sent; in a folder it is also on the disk. Every request ends within a bounded time, and
failed ones are repeated a bounded number of times. An error names the remote and says what helps; it never shows a
credential. Credentials come from the service's standard environment variables and are never part of an address.

S3 itself refuses an upload whose bytes do not match the SHA-256 that each request is signed with.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from repro_assets.errors import CorruptObject, InvalidValue, MachineError, RequestError, UnknownName, from_os_error
from repro_assets.store import durable

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Service

SCHEMES = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage", "file": "a folder"}
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY",
}
CONNECT_SECONDS = 5
REQUEST_SECONDS = 120
RETRIES = 3
_PART = 8 << 20
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist", "bucket does not exist")
_REFUSED = (
    "401 Unauthorized", "403 Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied",
    "169.254.169.254", "metadata.google.internal", "MissingCredentials", "credential",
)  # fmt: skip


class Listed(NamedTuple):
    """A file of a bucket: its path, its size, and the tag that the service changes with its content, if it has one."""

    path: str
    size: int
    tag: str | None


class Bucket:
    """The files under one address.

    Parameters
    ----------
    address : str
        ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``, ``file:///folder`` or a folder.

    Raises
    ------
    InvalidValue
        If the address is none of these, or holds a credential.
    UnknownName
        If the folder is not there.
    RequestError
        If the library for remotes is not installed.
    """

    def __init__(self, address: str) -> None:
        self.url = canonical_url(address)
        self.scheme = self.url.partition(":")[0]
        self.folder = folder_of(self.url)
        self._service: Service = self._open()

    def __str__(self) -> str:
        return self.url

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield every file below the folder `prefix`, in no order.

        Raises
        ------
        MachineError, UnknownName
            If the remote does not answer, refuses, or has no such bucket.
        """
        import obstore

        with self._named():
            for group in obstore.list(self._service, prefix=prefix):
                for meta in group:
                    yield Listed(meta["path"], meta["size"], meta["e_tag"])

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes | None:
        """Return a file's bytes, or `size` of them from `start`; None if it is not there.

        Fewer bytes come back where the file ends early.

        Raises
        ------
        MachineError, UnknownName
            As `list`.
        """
        import obstore

        with self._named():
            try:
                if size is None:
                    return bytes(obstore.get(self._service, path).bytes())
                if size == 0:
                    return b""
                return bytes(obstore.get_range(self._service, path, start=start, length=size))
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None
            except obstore.exceptions.BaseError as error:
                # A range that begins behind the end of a file that was cut short.
                if "InvalidRange" in str(error) or "416 " in str(error):
                    return b""
                raise

    def size(self, path: str) -> int | None:
        """Return a file's size; None if it is not there.

        Raises
        ------
        MachineError, UnknownName
            As `list`.
        """
        import obstore

        with self._named():
            try:
                return obstore.head(self._service, path)["size"]
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None

    def put(self, path: str, data: bytes | Iterable[bytes], size: int) -> None:
        """Write a file of `size` bytes, replacing one that is there.

        Raises
        ------
        CorruptObject
            If what arrived has another size.
        MachineError, UnknownName
            As `list`.
        """
        import obstore

        with self._named(), self._settled(path):
            obstore.put(self._service, path, data, chunk_size=_PART, max_concurrency=2)
        arrived = self.size(path)
        if arrived != size:
            raise CorruptObject(
                f"{self.url}/{path} has {arrived} bytes after {size} were sent", "check the remote and push again"
            )

    def create(self, path: str, data: bytes) -> bool:
        """Write a file that is not there; False if it is.

        Raises
        ------
        MachineError, UnknownName
            As `list`.
        """
        import obstore

        with self._named():
            try:
                with self._settled(path):
                    obstore.put(self._service, path, data, mode="create", use_multipart=False)
            except (FileExistsError, obstore.exceptions.AlreadyExistsError):
                return False
        return True

    @contextlib.contextmanager
    def _settled(self, path: str) -> Iterator[None]:
        if self.folder is None:
            yield
            return
        target = self.folder / path
        durable.ensure_folder(target.parent)
        yield
        # The library renames files of a folder into place without forcing them to the disk.
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            durable.sync_descriptor(descriptor)
        finally:
            os.close(descriptor)
        durable.sync_folder(target.parent)

    def _open(self) -> Service:
        try:
            import obstore.store
        except ImportError as error:
            raise RequestError(
                f"{self.url} needs the library obstore", "pip install 'repro-assets[remote]' (or: pip install obstore)"
            ) from error
        if self.folder is not None:
            return obstore.store.LocalStore(self.folder)
        options: Any = {"connect_timeout": f"{CONNECT_SECONDS}s", "timeout": f"{REQUEST_SECONDS}s"}
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        if self.scheme == "s3" and endpoint.startswith("http://"):
            # Whoever names such an address in the variable has asked for it.
            options["allow_http"] = True
        with self._named():
            return obstore.store.from_url(
                self.url,
                client_options=options,
                retry_config={
                    "max_retries": RETRIES,
                    "retry_timeout": datetime.timedelta(seconds=REQUEST_SECONDS),
                    "backoff": {
                        "init_backoff": datetime.timedelta(seconds=0.2),
                        "max_backoff": datetime.timedelta(seconds=5),
                        "base": 2,
                    },
                },
            )

    def _check_bucket(self, error: FileNotFoundError) -> None:
        if any(word in str(error) for word in _NO_BUCKET):
            raise error

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.errno is not None:
                raise from_os_error(error, error.filename or self.url) from error
            raise self._meaning(error) from error

    def _meaning(self, error: Exception) -> Exception:
        text = str(error)
        if any(word in text for word in _NO_BUCKET):
            return UnknownName(f"there is no bucket for {self.url}", "make it first, or correct the address")
        if isinstance(error, PermissionError) or any(word in text for word in _REFUSED):
            variables = _VARIABLES.get(self.scheme)
            remedy = f"set {variables}" if variables else "check the owner and mode of the folder"
            return MachineError(f"{self.url} refuses the credentials or the right to do this", remedy)
        # Only the first lines are for people; an address may carry a signature in its query.
        said = re.sub(r"\?\S*", "", " ".join(text.partition("Debug source")[0].partition("<?xml")[0].split()))
        return MachineError(f"{self.url} does not answer as it should: {said[:300]}", "check the connection; try again")


def canonical_url(address: str) -> str:
    """Return the one form of a remote's address.

    Raises
    ------
    InvalidValue
        If it is no address of a remote, or holds a credential.
    """
    if "://" not in address:
        if not address or "\0" in address:
            raise InvalidValue(f"{address!r} is no address of a remote", "a URL or a folder")
        return Path(address).expanduser().absolute().as_uri().rstrip("/")
    parts = urllib.parse.urlsplit(address)
    if parts.username or parts.password or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidValue(
            f"the address {parts.scheme}://… must not hold credentials or options",
            "credentials come from the environment; see docs/remotes.md",
        )
    if parts.scheme not in SCHEMES:
        raise InvalidValue(f"{address!r} is no address of a remote", f"one of {', '.join(SCHEMES)}, or a folder")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.strip("/"):
            raise InvalidValue(f"{address!r} names no folder", "write it as file:///path/of/the/folder")
        return f"file://{parts.path.rstrip('/')}"
    if not parts.netloc or not re.fullmatch(r"[A-Za-z0-9._-]+", parts.netloc):
        raise InvalidValue(f"{address!r} names no bucket", f"write it as {parts.scheme}://bucket/prefix")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def folder_of(url: str) -> Path | None:
    """Return the folder that a canonical address means, which is there; None for a bucket.

    Raises
    ------
    UnknownName
        If the folder is not there. It is never made: the disk that it lies on may not be mounted.
    """
    if not url.startswith("file:"):
        return None
    folder = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
    if not folder.is_dir():
        raise UnknownName(f"there is no folder {folder}", "make it, mount its disk, or correct the address")
    return folder
