"""Putting objects so that they become durable together.

Laws: an object shows only when it is whole and on the disk; when the batch is committed all are; the last one that was
put (a manifest) shows after all others, so what it names is there. Before the batch looks whether an object is there it
holds a lease on it. What is there already is not written again and, unless this process put it, checked. A batch left
by an exception shows at most some of its objects, whole, and leaves no file in the temporary folder.

Hashing, compressing and writing run on all cores; memory holds at most `staging.WINDOW` bytes of what waits. A file
larger than `STREAMED` is never in memory: it is hashed, written and put on the disk in one pass. Objects whose stored
form is at most `SMALL` go into packs where a batch has at least `FEW` of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import xxhash

from repro_assets.errors import SourceChanged, from_os_error
from repro_assets.identity.digest import Digest
from repro_assets.store import durable
from repro_assets.store.lanes import Lanes, Workers
from repro_assets.store.layout import RAW, Form, trailer
from repro_assets.store.leases import lease_on
from repro_assets.store.pack_writing import PACK_BYTES, PackWriter
from repro_assets.store.sources import Stamp, StatCache, stamp_of, stream_stable
from repro_assets.store.staging import (
    Known,
    Part,
    SourceFile,
    Staged,
    digest_of,
    form_of,
    groups,
    prepared,
    read_group,
    windows,
)

if TYPE_CHECKING:
    from repro_assets.store.objects import LocalObjects
    from repro_assets.store.outlines import Remembered

# Below this size threads spend more on waiting for each other than a second core gains.
TINY = 16 << 10
SMALL = 1 << 20
FEW = 8
STREAMED = 8 << 20
_SYNC_EVERY = 64 << 20


class Batch:
    """Objects that become durable together.

    Used as a context manager: leaving it commits, leaving it by an exception abandons.

    Parameters
    ----------
    objects : LocalObjects
        The store.
    """

    def __init__(self, objects: LocalObjects) -> None:
        self.objects = objects
        self.home = objects.home
        self.written: set[Digest] = set()
        """What this batch writes because it was not there."""
        self.packs: dict[str, bytes] = {}
        """The packs that this batch has shown, and the XXH3-128 of all bytes of each."""
        self._relied: set[Digest] = set()
        self._folders: set[str] = set()
        self._packs = os.fspath(self.home.packs)
        self._staged: list[Staged] = []
        self._few: list[Staged] = []
        self._pack: PackWriter | None = None
        self._last: Digest | None = None
        self._partials: set[Path] = set()
        self._workers = Workers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        except OSError as failure:
            error = failure
        finally:
            self._end()
        # Errors of the files that are read have names of their own; what is left comes from the store.
        if isinstance(error, OSError):
            raise from_os_error(error, self.home.objects) from error

    def put(self, data: bytes | memoryview, itemsize: int = 1) -> Digest:
        """Put one object.

        Parameters
        ----------
        data : bytes
            Its content.
        itemsize : int
            Bytes of one number in it; 1 where it holds no numbers.

        Raises
        ------
        MachineError
            If it cannot be written.
        """
        return self.put_all([Part(data, itemsize)])[0]

    def put_encoded(self, data: bytes, codec: str, stored: bytes) -> Digest:
        """Put `data` in the form `stored` that the decoder of `codec` turns back into it."""
        digest = Digest.of(data)
        if self._missing([digest], codec):
            self._stage(Staged(digest, form_of(codec, len(data), stored), stored))
        return digest

    def put_stored(self, digest: Digest, form: Form, stored: bytes | Path) -> None:
        """Put an object in its stored form; whoever calls has verified it.

        Parameters
        ----------
        digest : Digest
            The object.
        form : Form
            How it is stored.
        stored : bytes or Path
            The stored bytes, or a file in the temporary folder that holds them and the trailer and is on the disk.
            The file is the batch's from now on.
        """
        partial = stored if isinstance(stored, Path) else None
        if partial is not None:
            self._partials.add(partial)
        if self._missing([digest]):
            self._stage(Staged(digest, form, None if isinstance(stored, Path) else stored, partial))

    def put_all(self, parts: Iterable[Part]) -> list[Digest]:
        """Put several objects, several at once, and return their digests in order.

        Raises
        ------
        MachineError
            If one cannot be written.
        """
        found: list[Digest] = []
        for window in windows(parts):
            digests = list(self._workers.map(digest_of, window))
            missing = self._missing(digests)
            # Of equal parts one is enough.
            wanted = {digest: part for digest, part in zip(digests, window, strict=True) if digest in missing}
            for staged in self._workers.map(self._encoded, wanted.items()):
                self._stage(staged)
            found += digests
        return found

    def put_known(self, parts: Sequence[Known], unread: bool = False) -> None:
        """Put several objects, of which only those that are not there are read; of `unread` ones no other is checked.

        Raises
        ------
        SourceChanged
            If what was read has another digest.
        MachineError
            If one cannot be written.
        """
        missing = self._missing((part.digest for part in parts), unread=unread)
        # They were only looked for; nothing is staged yet.
        self._relied -= missing
        lost = list({part.digest: part for part in parts if part.digest in missing}.values())
        for part, digest in zip(lost, self.put_all(Part(part.read()) for part in lost), strict=True):
            if digest != part.digest:
                raise SourceChanged(f"the bytes of {part.digest} have changed", "run again when nothing writes to them")

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Put a file's bytes and return their digest and size.

        Raises
        ------
        InvalidInput
            If the file cannot be read.
        SourceChanged
            If it changes while it is read.
        MachineError
            If the bytes cannot be written.
        """
        return self.put_files([SourceFile(os.fspath(path))])[0]

    def put_files(self, files: Sequence[SourceFile], cache: StatCache | None = None) -> list[tuple[Digest, int]]:
        """Put the bytes of files and return their digests and sizes in order.

        Parameters
        ----------
        files : sequence of SourceFile
            Regular files.
        cache : StatCache, optional
            What is known of them; it learns.

        Raises
        ------
        InvalidInput, SourceChanged, MachineError
            As `put_file`.
        """
        stamps = [file.stamp or stamp_of(file.path) for file in files]
        found: dict[int, tuple[Digest, int]] = {}
        if cache is not None:
            for number, (file, stamp) in enumerate(zip(files, stamps, strict=True)):
                digest = cache.digest(file.path, stamp)
                if digest is not None:
                    found[number] = digest, stamp.size
            lost = self._missing(digest for digest, _ in found.values())
            # They were only looked for: the files are read again, and nothing is staged yet.
            self._relied -= lost
            found = {number: item for number, item in found.items() if item[0] not in lost}
        unread = [number for number in range(len(files)) if number not in found]
        whole = [(number, files[number].path, stamps[number].size) for number in unread]
        small = [item for item in whole if item[2] <= TINY]
        middle = [item for item in whole if TINY < item[2] <= STREAMED]
        read = itertools.chain(map(read_group, groups(small)), self._workers.map(read_group, groups(middle)))
        for group in read:
            missing = self._missing(item.staged.digest for item in group)
            for item in group:
                found[item.number] = item.staged.digest, item.staged.form.size
                if cache is not None:
                    cache.learn(files[item.number].path, item.stamp, item.staged.digest, item.begun)
                if item.staged.digest in missing:
                    missing.remove(item.staged.digest)
                    self._stage(item.staged)
        for number, path, size in whole:
            if size > STREAMED:
                begun = time.time_ns()
                digest, length, stamp = self._put_streamed(Path(path))
                found[number] = digest, length
                if cache is not None:
                    cache.learn(path, stamp, digest, begun)
        return [found[number] for number in range(len(files))]

    def rely_on(self, known: Remembered) -> bool:
        """Tell whether the manifest and every object of a folder that was put before is there, whole.

        Where it is, the batch holds a lease on all of them. Otherwise nothing has been put.

        Raises
        ------
        MachineError
            If the lease cannot be written, or what is there cannot be read.
        """
        lease_on(self.home).take_rows(known.rows)
        packs = self.objects.packs
        packs.refresh()
        single = [known.manifest, *known.alone]
        if all(packs.is_whole(pack, check) for pack, check in known.packs) and not self._missing(single):
            if known.packs:
                self._folders.add(self._packs)
            return True
        self._relied.difference_update(single)
        return False

    def _missing(self, digests: Iterable[Digest], codec: str | None = None, unread: bool = False) -> set[Digest]:
        """Return the objects that this batch has to write, after a lease was taken on all."""
        new = [digest for digest in dict.fromkeys(digests) if digest not in self._relied]
        if not new:
            return set()
        lease_on(self.home).take(new)
        self._relied.update(new)
        missing = self.objects.absent(new) if unread else self.objects.unsettled(new, codec)
        there = [digest for digest in new if digest not in missing]
        packed = self.objects.packs.find_all(there)
        for digest in there:
            # Another process may have shown it a moment ago, and its name may not have reached the disk.
            self._folders.add(self._packs if digest in packed else self.objects.folder(digest))
        self._last = new[-1] if new[-1] in missing else None
        return missing

    def _encoded(self, item: tuple[Digest, Part]) -> Staged:
        digest, part = item
        staged = prepared(digest, part)
        if staged.form.stored_size > SMALL:
            self._write_out(staged)
        return staged

    def _write_out(self, staged: Staged) -> None:
        assert staged.stored is not None
        descriptor, partial = durable.create_temporary(self.home.temporary)
        try:
            self._partials.add(partial)
            durable.write_all(descriptor, [staged.stored, trailer(staged.digest, staged.form)])
            durable.sync_descriptor(descriptor)
        finally:
            os.close(descriptor)
        staged.stored, staged.partial = None, partial

    def _put_streamed(self, path: Path) -> tuple[Digest, int, Stamp]:
        hashed, check = hashlib.sha256(), xxhash.xxh3_128()
        descriptor, partial = durable.create_temporary(self.home.temporary)
        try:
            self._partials.add(partial)
            unsynced = 0

            def write(block: bytes) -> None:
                check.update(block)
                durable.write_all(descriptor, [block])

            with Lanes(3) as lanes:

                def take(block: bytes) -> None:
                    nonlocal unsynced
                    lanes.submit(0, hashed.update, block)
                    lanes.submit(1, write, block)
                    unsynced += len(block)
                    if unsynced > _SYNC_EVERY:
                        # So that the disk is not idle until all is written.
                        lanes.submit(2, durable.sync_descriptor, descriptor)
                        unsynced = 0

                size, stamp = stream_stable(path, take)
            digest = Digest(hashed.hexdigest())
            if self._missing([digest]):
                form = Form(RAW, size, size, check.digest())
                durable.write_all(descriptor, [trailer(digest, form)])
                durable.sync_descriptor(descriptor)
                self._stage(Staged(digest, form, partial=partial))
        finally:
            os.close(descriptor)
        return digest, size, stamp

    def _stage(self, staged: Staged) -> None:
        self.written.add(staged.digest)
        if staged.partial is not None or staged.form.stored_size > SMALL:
            if staged.partial is None:
                self._write_out(staged)
            self._staged.append(staged)
            return
        self._few.append(staged)
        if self._pack is not None or len(self._few) >= FEW:
            for item in self._few:
                assert item.stored is not None
                if self._pack is None:
                    self._pack = PackWriter(self.home)
                self._pack.add(item.digest, item.form, item.stored)
                if self._pack.size > PACK_BYTES:
                    self._close_pack()
                    self._pack = PackWriter(self.home)
            self._few = []

    def _commit(self) -> None:
        for _ in self._workers.map(self._write_out, self._few):
            pass
        loose = [*self._staged, *self._few]
        final = [staged for staged in loose if staged.digest == self._last]
        first = [staged for staged in loose if staged.digest != self._last]
        if final:
            self._close_pack()
            self._show(first)
            self._show(final)
        else:
            self._show(first)
            self._close_pack()
        for _ in self._workers.map(
            durable.sync_folder,
            [Path(folder) for folder in self._folders if os.path.isdir(folder)],  # noqa: PTH112
        ):
            pass

    def _close_pack(self) -> None:
        if self._pack is not None:
            self._pack.close()
            self.packs[self._pack.pack] = self._pack.check

    def _show(self, loose: list[Staged]) -> None:
        folders = set()
        for staged in loose:
            assert staged.partial is not None
            path = self.objects.path(staged.digest)
            durable.ensure_folder(path.parent)
            staged.partial.rename(path)
            self._partials.discard(staged.partial)
            folders.add(path.parent)
        for _ in self._workers.map(durable.sync_folder, folders):
            pass
        self._folders.difference_update(map(os.fspath, folders))

    def _end(self) -> None:
        self._workers.end()
        if self._pack is not None:
            self._pack.abandon()
        for partial in self._partials:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
