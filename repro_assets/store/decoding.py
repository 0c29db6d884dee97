"""From stored bytes to the content that they stand for.

Laws: stored bytes are verified before they are decoded; an object that is stored as a difference is read from all that
it `needs`, which is a chain of bounded length that leads to an object that is stored whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from repro_assets.errors import CorruptObject, MissingObject, UnsupportedFormat
from repro_assets.identity.digest import Digest
from repro_assets.store import codecs, delta
from repro_assets.store.filling import fill
from repro_assets.store.layout import RAW, Form
from repro_assets.store.places import Place, Places, load, mismatch

if TYPE_CHECKING:
    from concurrent.futures import Executor

_T = TypeVar("_T")
# More than any repack writes; a chain that is longer has been tampered with.
_MOST_LINKS = 4 * delta.LONGEST

Decoder = Callable[[bytes], bytes]
"""Returns the uncompressed bytes; a ValueError says that the stored ones are none of its codec."""


class Decoding:
    """Reads the content of objects, whatever form they are stored in.

    Parameters
    ----------
    places : Places
        Where they are.
    decoders : mapping
        How to get the uncompressed bytes back, for each codec beside those of the store itself.
    """

    def __init__(self, places: Places, decoders: Mapping[str, Decoder]) -> None:
        self.places = places
        self._decoders = dict(decoders)

    def read(self, digest: Digest) -> bytes:
        """Return the verified, uncompressed bytes.

        Raises
        ------
        MissingObject
            If nothing is stored under `digest`.
        CorruptObject
            If the stored bytes do not match (they are in quarantine then), or their decoder refuses them.
        UnsupportedFormat
            If nothing here decodes them.
        """
        return self.plain(digest, *self.places.twice(load, digest))

    def plain(self, digest: Digest, form: Form, stored: bytes) -> bytes:
        """Return the uncompressed bytes of what is stored in this form.

        Raises
        ------
        MissingObject, CorruptObject, UnsupportedFormat
            As `read`.
        """
        if form.codec == RAW and form.size == len(stored):
            return stored
        if form.codec in self._decoders:
            return self._decoded(digest, form, lambda: self._decoders[form.codec](stored))
        out = bytearray(form.size)
        if delta.is_difference(form.codec):
            self.read_into(digest, memoryview(out))
        else:
            self._decode_into(digest, form, stored, memoryview(out))
        return bytes(out)

    def read_into(self, digest: Digest, out: memoryview, helpers: Executor | None = None) -> None:
        """Write the verified, uncompressed bytes into memory of exactly their size.

        Parameters
        ----------
        digest : Digest
            The object.
        out : memoryview
            Where they go.
        helpers : Executor, optional
            Threads that take part. The calling one may not be among them.

        Raises
        ------
        MissingObject, CorruptObject, UnsupportedFormat
            As `read`; what `out` holds is worth nothing then.
        """

        links = [digest]
        while True:
            try:
                base = self._fill_or_base(links[-1], out, helpers)
            except (MissingObject, CorruptObject) as error:
                if len(links) == 1:
                    raise
                raise type(error)(f"{digest} is stored as a difference: {error.message}", error.remedy) from error
            if base is None:
                break
            links.append(base)
            if base in links[:-1] or len(links) > _MOST_LINKS:
                raise CorruptObject(f"the differences that {digest} is stored as lead nowhere")
        for link, base in zip(links[-2::-1], links[:0:-1], strict=True):
            form, stored = self.places.twice(load, link)
            if not delta.is_difference(form.codec) or form.size != len(out) or self._base(link, stored) != base:
                # It has been stored anew since the chain was followed.
                self.read_into(digest, out, helpers)
                return
            view = memoryview(stored)
            self._decoded(link, form, lambda form=form, view=view: delta.apply(form.codec, view, out))  # type: ignore[misc]

    def needs(self, digest: Digest) -> Iterator[Digest]:
        """Yield what the object is stored as a difference from, nearest first; nothing where it is stored whole.

        Raises
        ------
        MissingObject
            If the object, or one that was yielded last, is not there.
        CorruptObject
            If what describes it does not read.
        """
        links = [digest]
        while (base := self._base_of(links[-1])) is not None:
            if base in links or len(links) > _MOST_LINKS:
                raise CorruptObject(f"the differences that {digest} is stored as lead nowhere")
            links.append(base)
            yield base

    def _fill_or_base(self, digest: Digest, out: memoryview, helpers: Executor | None) -> Digest | None:
        """Fill `out` with an object that is stored whole; return the base of one that is stored as a difference."""

        def look(place: Place) -> Digest | ValueError | tuple[Form, bytes] | None:
            if delta.is_difference(place.form.codec):
                return self._base(digest, os.pread(place.descriptor, delta.HEAD_SIZE, place.start))
            if place.form.codec not in (RAW, codecs.PLANES) or place.form.size != len(out):
                return load(place)
            try:
                if not fill(place.descriptor, place.start, place.form, out, helpers):
                    raise mismatch(digest)
            except ValueError as error:
                return error
            return None

        found = self.places.twice(look, digest)
        if isinstance(found, ValueError):
            raise CorruptObject(f"the bytes stored under {digest} do not decode: {found}") from found
        if isinstance(found, tuple):
            self._decode_into(digest, *found, out)
            return None
        return found

    def _base_of(self, digest: Digest) -> Digest | None:
        def look(place: Place) -> Digest | None:
            if not delta.is_difference(place.form.codec):
                return None
            return self._base(digest, os.pread(place.descriptor, delta.HEAD_SIZE, place.start))

        return self.places.twice(look, digest)

    def _base(self, digest: Digest, stored: bytes) -> Digest:
        try:
            return delta.base_of(stored)
        except ValueError as error:
            raise CorruptObject(f"the bytes stored under {digest} do not match: {error}") from error

    def _decode_into(self, digest: Digest, form: Form, stored: bytes, out: memoryview) -> None:
        if form.codec in self._decoders:
            out[:] = self._decoded(digest, form, lambda: self._decoders[form.codec](stored))
        elif not self._decoded(digest, form, lambda: codecs.decode_into(form.codec, memoryview(stored), out)):
            raise UnsupportedFormat(f"{digest} is stored with the codec {form.codec!r}, which is not known here")

    def _decoded(self, digest: Digest, form: Form, decode: Callable[[], _T]) -> _T:
        try:
            return decode()
        except ValueError as error:
            raise CorruptObject(f"the bytes stored under {digest} are no {form.codec}: {error}") from error
