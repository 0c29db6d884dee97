"""The objects of a remote.

Laws: a remote has the layout of a store (``objects/ab/<62 hex>``, ``packs/<id>.pack`` and ``<id>.idx``) and the same
formats (`layout`, `packs`), and only codecs that need no other object. Nothing in it is ever changed, but for an object
that is put again because its bytes were wrong. What crossed the network counts only when its SHA-256 over the
uncompressed bytes is right; wrong bytes are never returned, and the error names digest and remote. An index is sent
before its pack, and one that does not match its seal is made again from the pack.

Packs and their indexes never change, so an index is fetched once and kept in the cache of the store.
"""

from __future__ import annotations

import concurrent.futures
import re
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import xxhash

from repro_assets.errors import CorruptObject, IntegrityError, MissingObject, ReproError, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.store import codecs, durable
from repro_assets.store.decoding import Decoder
from repro_assets.store.home import Home
from repro_assets.store.layout import HEADER_SIZE, RAW, RESTORE, TRAILER_SIZE, Form, read_header, read_trailer, trailer
from repro_assets.store.pack_index import index_of, is_sound_index, read_index
from repro_assets.store.pack_writing import encode_pack
from repro_assets.store.remote.bucket import Bucket

STANDALONE = frozenset({RAW, codecs.ZSTD, codecs.PLANES})
"""Codecs of the store itself that need nothing but the stored bytes."""
LANES = 8
_LOOSE = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{62})")
_PACK = re.compile(r"packs/([0-9a-f]{32})\.pack")


class Place(NamedTuple):
    """Where an object is in a remote: alone, or as the entry at `offset` of a pack. `size` is that of its file there.

    An entry's size counts its header, that of a lone object its trailer.
    """

    size: int
    pack: str | None = None
    offset: int = 0


class Fetched(NamedTuple):
    """A verified object: its form, its stored bytes, and the uncompressed ones."""

    form: Form
    stored: bytes
    data: bytes


class RemoteObjects:
    """The object store of a remote.

    Parameters
    ----------
    bucket : Bucket
        Where it is.
    decoders : mapping, optional
        How to get the uncompressed bytes back, for each codec beside those of the store itself.
    home : Home, optional
        The store in whose cache indexes are kept.
    """

    def __init__(self, bucket: Bucket, decoders: Mapping[str, Decoder] | None = None, home: Home | None = None) -> None:
        self.bucket = bucket
        self.home = home
        self._decoders = dict(decoders or {})
        self._lock = threading.Lock()
        self._places: dict[Digest, list[Place]] | None = None
        self._packs: dict[str, list[tuple[Digest, Place]]] = {}

    @property
    def cache(self) -> Path | None:
        """The folder for what is remembered of this remote."""
        if self.home is None:
            return None
        return self.home.cache / "remotes" / xxhash.xxh3_128_hexdigest(self.bucket.url.encode())

    def portable(self, codec: str) -> bool:
        """Tell whether objects of this codec can be sent as they are stored."""
        return codec in STANDALONE or codec in self._decoders

    def put(self, data: bytes | memoryview) -> Digest:
        """Store bytes alone and return their digest; what is there already and wrong is replaced.

        Raises
        ------
        MachineError, UnknownName
            If the remote does not answer, refuses, or has no such bucket.
        """
        data = bytes(data)
        digest = Digest.of(data)
        try:
            self.read(digest)
        except IntegrityError:
            codec, stored = codecs.encode(data)
            self.put_loose(digest, Form(codec, len(data), len(stored), xxhash.xxh3_128_digest(stored)), [bytes(stored)])
        return digest

    def has(self, digest: Digest) -> bool:
        """Tell whether bytes are stored under `digest`, without reading them."""
        if self.bucket.size(loose_path(digest)) is not None:
            return True
        if not any(place.pack is not None for place in self._known().get(digest, [])):
            self.refresh()
        return any(place.pack is not None for place in self._known().get(digest, []))

    def read(self, digest: Digest) -> bytes:
        """Return the verified bytes.

        Raises
        ------
        MissingObject
            If the remote has nothing under `digest`.
        CorruptObject
            If what it has is not what the digest says.
        MachineError, UnknownName
            As `put`.
        """
        return self.fetch(digest).data

    def digests(self) -> Iterator[Digest]:
        """Yield every stored digest, in order."""
        self.refresh()
        yield from sorted(self._known())

    def refresh(self) -> None:
        """List the remote: every object that lies alone, and the indexes of packs that are new.

        Raises
        ------
        MachineError, UnknownName
            As `put`.
        """
        found: dict[Digest, list[Place]] = {}
        for item in self.bucket.list("objects"):
            match = _LOOSE.fullmatch(item.path)
            if match:
                found.setdefault(Digest(match[1] + match[2]), []).append(Place(item.size))
        packs = {match[1]: item.size for item in self.bucket.list("packs") if (match := _PACK.fullmatch(item.path))}
        new = [(pack, size) for pack, size in packs.items() if pack not in self._packs]
        with concurrent.futures.ThreadPoolExecutor(LANES, thread_name_prefix="repro-remote") as pool:
            for (pack, _), entries in zip(new, pool.map(lambda item: self._entries(*item), new), strict=True):
                self._packs[pack] = entries
        for pack in packs:
            for digest, place in self._packs[pack]:
                found.setdefault(digest, []).append(place)
        with self._lock:
            self._places = found

    def places(self, digest: Digest) -> list[Place]:
        """Return where an object is, as far as the last look tells; those that lie alone first."""
        return sorted(self._known().get(digest, []), key=lambda place: place.pack is not None)

    def neighbours(self, place: Place, limit: int) -> list[tuple[Digest, Place]]:
        """Return the entries that follow one in its pack, it included, as far as `limit` bytes reach."""
        if place.pack is None:
            return []
        return [
            (digest, other)
            for digest, other in sorted(self._packs[place.pack], key=lambda item: item[1].offset)
            if place.offset <= other.offset and other.offset + other.size <= place.offset + max(limit, place.size)
        ]

    def fetch(self, digest: Digest) -> Fetched:
        """Fetch and verify one object, from wherever it is whole.

        Raises
        ------
        MissingObject, CorruptObject, UnsupportedFormat, MachineError, UnknownName
            As `read`.
        """
        whole = self.bucket.read(loose_path(digest))
        failure: ReproError | None = None
        if whole is not None:
            try:
                return self.opened(digest, Place(len(whole)), whole)
            except (CorruptObject, UnsupportedFormat) as error:
                failure = error
        if self._places is None or not any(place.pack for place in self.places(digest)):
            self.refresh()
        for place in self.places(digest):
            if place.pack is None:
                continue
            data = self.bucket.read(f"packs/{place.pack}.pack", place.offset, place.size)
            try:
                if data is not None:
                    return self.opened(digest, place, data)
            except (CorruptObject, UnsupportedFormat) as error:
                failure = error
        raise failure or MissingObject(f"{self.bucket} has no bytes for {digest}", "push them from where they are")

    def opened(self, digest: Digest, place: Place, data: bytes) -> Fetched:
        """Verify an object as it lies in the remote, header or trailer included.

        Raises
        ------
        CorruptObject
            If it is not what the digest says.
        UnsupportedFormat
            If nothing here decodes it.
        """
        if place.pack is None:
            form = self._form(digest, data)
            stored = data[:-TRAILER_SIZE]
        else:
            head = read_header(data[:HEADER_SIZE])
            if head is None or head[0] != digest or len(data) != HEADER_SIZE + head[1].stored_size:
                raise self.wrong(digest)
            form, stored = head[1], data[HEADER_SIZE:]
        if xxhash.xxh3_128_digest(stored) != form.check:
            raise self.wrong(digest)
        plain = self._decoded(digest, form, stored)
        if Digest.of(plain) != digest:
            raise self.wrong(digest)
        return Fetched(form, stored, plain)

    def wrong(self, digest: Digest) -> CorruptObject:
        """Say that the remote has wrong bytes under a digest."""
        return CorruptObject(
            f"{self.bucket} has wrong bytes under {digest}",
            "from where it is whole: repro store push --verify; or remove it there",
        )

    def put_loose(self, digest: Digest, form: Form, blocks: Iterable[bytes]) -> None:
        """Send the stored bytes of one object, which then lies alone.

        Raises
        ------
        CorruptObject
            If `blocks` are not the bytes that `form` describes; nothing shows then.
        MachineError, UnknownName
            As `put`.
        """

        def checked() -> Iterator[bytes]:
            seen = xxhash.xxh3_128()
            for block in blocks:
                seen.update(block)
                yield block
            if seen.digest() != form.check:
                raise CorruptObject(f"the bytes stored under {digest} do not match", RESTORE)
            yield trailer(digest, form)

        self.bucket.put(loose_path(digest), checked(), form.stored_size + TRAILER_SIZE)
        self._add(digest, Place(form.stored_size + TRAILER_SIZE))

    def put_pack(self, entries: list[tuple[Digest, Form, bytes]]) -> None:
        """Send objects together, as one new pack.

        Raises
        ------
        MachineError, UnknownName
            As `put`.
        """
        pack = uuid.uuid4().hex
        data, index = encode_pack(pack, entries)
        self.bucket.put(f"packs/{pack}.idx", index, len(index))
        self.bucket.put(f"packs/{pack}.pack", data, len(data))
        self._packs[pack] = list(_read(pack, index))
        for digest, place in self._packs[pack]:
            self._add(digest, place)

    def _add(self, digest: Digest, place: Place) -> None:
        with self._lock:
            if self._places is not None:
                self._places.setdefault(digest, []).append(place)

    def _known(self) -> dict[Digest, list[Place]]:
        if self._places is None:
            self.refresh()
        assert self._places is not None
        return self._places

    def _form(self, digest: Digest, data: bytes) -> Form:
        try:
            return read_trailer(data[-TRAILER_SIZE:], digest, len(data))
        except CorruptObject as error:
            raise self.wrong(digest) from error

    def _decoded(self, digest: Digest, form: Form, stored: bytes) -> bytes:
        try:
            if form.codec in self._decoders:
                return self._decoders[form.codec](stored)
            if form.codec in STANDALONE:
                if form.codec == RAW and form.size == len(stored):
                    return stored
                out = bytearray(form.size)
                codecs.decode_into(form.codec, memoryview(stored), memoryview(out))
                return bytes(out)
        except ValueError as error:
            raise self.wrong(digest) from error
        raise UnsupportedFormat(f"{self.bucket} has {digest} under the codec {form.codec!r}, which is not known here")

    def _entries(self, pack: str, size: int) -> list[tuple[Digest, Place]]:
        """Return the entries of a pack: from the cached index, the remote's, or the pack itself."""
        cached = self.cache / f"{pack}.idx" if self.cache is not None else None
        if cached is not None and cached.is_file():
            data = cached.read_bytes()
            if is_sound_index(data, pack, size):
                return list(_read(pack, data))
        fetched = self.bucket.read(f"packs/{pack}.idx")
        if fetched is None or not is_sound_index(fetched, pack, size):
            fetched = self._made_again(pack, size)
        if cached is not None and self.home is not None:
            durable.replace_file(cached, [fetched], self.home.temporary)
        return list(_read(pack, fetched))

    def _made_again(self, pack: str, size: int) -> bytes:
        with tempfile.TemporaryDirectory(prefix="repro-remote-") as folder:
            path = Path(folder) / "pack"
            with path.open("wb") as file:
                for start in range(0, size, 8 * durable.BLOCK):
                    file.write(
                        self.bucket.read(f"packs/{pack}.pack", start, min(8 * durable.BLOCK, size - start)) or b""
                    )
            return index_of(pack, path)


def loose_path(digest: Digest) -> str:
    """Return the path of an object that lies alone."""
    return f"objects/{digest.hex[:2]}/{digest.hex[2:]}"


def _read(pack: str, index: bytes) -> Iterator[tuple[Digest, Place]]:
    for digest, offset, stored in read_index(index):
        yield Digest(digest.hex()), Place(HEADER_SIZE + stored, pack, offset)
