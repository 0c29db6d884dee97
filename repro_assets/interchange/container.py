"""The file of a bundle, read and written from its beginning to its end.

Laws: a bundle has no names of files in it: what it holds is known by its digest, so there is no path, link or device to
refuse; it has one order, so equal content is equal bytes, and nothing can be in it twice; every length is told before
what it is of, none is believed further than the file reaches, and only what stands in one of `CODECS` is ever made
larger, to `LARGEST` bytes or `RATIO` times its own at most; the last 32 bytes are the SHA-256 of all others. Whoever
reads takes memory for one object at a time.

The bytes, numbers little-endian::

    8  magic "reproBU1"
    8  length of the document
    …  the document: canonical JSON
    …  the segments, one after the other, as long as the document says
    …  the objects: those that are no manifests, then the manifests, each in the order of their digests:
         104 the header of a pack's entry (`repro_assets.store.layout`), then the stored bytes
    32 SHA-256 of everything before

The document has ``format`` (1), ``runs`` and ``artifacts`` (what was asked for), ``anonymized``, ``segments`` (each
``name``, ``size``, ``sha256``), ``parts`` and ``manifests`` (how many objects), and ``wheels`` (each ``environment``,
``artifact`` and what is ``missing``).
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import xxhash

from repro_assets.errors import InvalidInput, ReproError, UnsupportedFormat, from_os_error
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.interchange.formats import IMPORTS
from repro_assets.store import codecs
from repro_assets.store.durable import BLOCK
from repro_assets.store.layout import HEADER_SIZE, RAW, Form, header, read_header

FORMAT = 1
LARGEST = 64 << 20
RATIO = 256
PARQUET = "parquet"
CODECS = (RAW, codecs.ZSTD, codecs.PLANES, codecs.ROWS, PARQUET)
OTHERS = (
    "name one, which repro export RUN --to FILE --format bundle writes, or say --format "
    f"{', '.join(name for name in IMPORTS if name != 'bundle')} for what another tool wrote"
)
_MAGIC = b"reproBU"
_LENGTH = struct.Struct("<Q")
_SEAL = 32
_SHOWN = 300


def may_hold(form: Form) -> bool:
    """Tell whether a bundle may hold an object in this form."""
    if form.codec == RAW:
        return form.size == form.stored_size
    if form.codec == PARQUET:
        return form.size <= max(LARGEST, RATIO * form.stored_size)
    return form.codec in CODECS and form.size <= LARGEST


class Writer:
    """Writes a bundle.

    Parameters
    ----------
    file : binary file
        Where to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._seal = hashlib.sha256()

    def begin(self, document: dict[str, Any]) -> None:
        """Write what comes before the segments."""
        data = canonical.encode(document)
        self.write(b"%b%d" % (_MAGIC, FORMAT))
        self.write(_LENGTH.pack(len(data)))
        self.write(data)

    def write(self, data: bytes) -> None:
        """Write a piece of a segment, or of an object's stored bytes."""
        self._seal.update(data)
        self._file.write(data)

    def write_object(self, digest: Digest, form: Form, blocks: Iterable[bytes]) -> None:
        """Write one object; `blocks` are its stored bytes, which the caller has verified."""
        self.write(header(digest, form))
        for block in blocks:
            self.write(block)

    def end(self) -> Digest:
        """Write the seal and return the digest of the whole file."""
        self.write(self._seal.digest())
        return Digest(self._seal.hexdigest())


class Reader:
    """Reads a bundle once, in order: `document`, the segments, the objects, `end`.

    Parameters
    ----------
    file : binary file
        The bundle; it is read from its beginning.
    path : Path
        What it is called, for errors.

    Raises
    ------
    InvalidInput
        If it is no bundle, or is cut short. So do all methods, and where bytes are not what the bundle says.
    UnsupportedFormat
        If a newer version wrote it.
    """

    def __init__(self, file: io.BufferedIOBase, path: Path) -> None:
        self.path = path
        self._file = file
        self._seal = hashlib.sha256()
        self._left = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = self._file.read(len(_MAGIC) + 1)
        if not start.startswith(_MAGIC) or len(start) != len(_MAGIC) + 1:
            raise InvalidInput(f"{path} is not a bundle", OTHERS)
        self._seal.update(start)
        self._left -= len(start)
        if start != b"%b%d" % (_MAGIC, FORMAT):
            raise self._newer(start[len(_MAGIC) :].decode("ascii", "backslashreplace"))
        self.document = self._document()

    def segment(self, size: int) -> bytes:
        """Return the bytes of the next segment."""
        return self._take(size)

    def objects(self, count: int) -> Iterator[tuple[Digest, Form, Iterator[bytes]]]:
        """Yield digest, form and stored bytes in blocks of the next objects; each is read to its end before the next.

        The blocks end only where the stored bytes have their checksum.
        """
        last: Digest | None = None
        for _ in range(count):
            try:
                found = read_header(self._take(HEADER_SIZE))
            except UnicodeDecodeError:
                found = None
            if found is None:
                raise self.wrong("the head of an object is damaged")
            digest, form = found
            if last is not None and digest <= last:
                raise self.wrong(f"the object {digest} is there twice, or out of its place")
            if form.codec not in CODECS:
                raise self.wrong(f"the object {digest} has the codec {form.codec!r}, which no bundle has")
            if not may_hold(form):
                raise self.wrong(f"the object {digest} would be {form.size} bytes out of {form.stored_size}")
            last = digest
            yield digest, form, self._blocks(digest, form)

    def end(self) -> None:
        """Check that the bundle is whole, and that nothing is behind its end."""
        seal = self._seal.digest()
        if self._take(_SEAL) != seal:
            raise self.wrong("its bytes do not match its seal")
        if self._left:
            raise self.wrong(f"{self._left} bytes are behind its end")

    def wrong(self, what: str) -> InvalidInput:
        """Return the error that refuses the bundle; where its seal shows damage, it tells of nothing else."""
        remedy = "export it again"
        if not self._is_sealed():
            what = "it was cut short or changed after it was written, for its bytes do not match its seal"
            remedy = "copy it again, or export it again"
        return InvalidInput(f"{self.path} is refused and nothing of it was taken: {what}", remedy)

    def unread(self, what: str, error: Exception) -> InvalidInput:
        """Return the error that refuses the bundle because of what was raised where a part of it was read."""
        if isinstance(error, ReproError):
            said = error.message
        else:
            said = f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        return self.wrong(f"{what}: {' '.join(said.split())[:_SHOWN]}")

    def _is_sealed(self) -> bool:
        """Whether the file ends in the digest of all that comes before, read once more from its beginning."""
        left = self._file.seek(0, os.SEEK_END) - _SEAL
        self._file.seek(0)
        seal = hashlib.sha256()
        while left > 0 and (block := self._file.read(min(left, BLOCK))):
            seal.update(block)
            left -= len(block)
        return left == 0 and self._file.read() == seal.digest()

    def _document(self) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        data = self._take(length)
        try:
            document = canonical.decode(data)
            version = document["format"]
            if type(version) is int and version > FORMAT and self._is_sealed():
                raise self._newer(str(version))
            if version != FORMAT or canonical.encode(document) != data:
                raise ValueError("it is not canonical")
        except UnsupportedFormat:
            raise
        except (ReproError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.unread("its document does not read", error) from error
        return dict(document)

    def _newer(self, version: str) -> UnsupportedFormat:
        return UnsupportedFormat(f"{self.path} is a bundle of the format {version}", "use a newer repro-assets")

    def _blocks(self, digest: Digest, form: Form) -> Iterator[bytes]:
        check, left = xxhash.xxh3_128(), form.stored_size
        while left:
            block = self._take(min(left, BLOCK))
            check.update(block)
            left -= len(block)
            yield block
        if check.digest() != form.check:
            raise self.wrong(f"the bytes of the object {digest} do not match their checksum")

    def _take(self, size: int) -> bytes:
        # Before memory is taken for what is not there.
        if size > self._left:
            raise self.wrong("it is cut short")
        data = self._file.read(size)
        if len(data) != size:
            raise self.wrong("it is cut short")
        self._left -= size
        self._seal.update(data)
        return data


def open_bundle(path: Path) -> io.BufferedReader:
    """Open the file of a bundle.

    Raises
    ------
    InvalidInput
        If it is not there, or no regular file.
    MachineError
        If it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidInput(f"there is no file {path}", OTHERS) from error
    except OSError as error:
        raise from_os_error(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{path} is no regular file, so it is not a bundle", OTHERS)
    return os.fdopen(descriptor, "rb")
