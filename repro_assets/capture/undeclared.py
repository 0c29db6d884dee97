"""What a process reads while a run is open, and no record has: files, connections, sources of entropy.

Laws: Python tells of them (`repro_assets.capture.audit_events`). Nothing is noted of what is the interpreter's, a
package's or the system's; of what the process made itself, or was changed since `Window.since`; of files of the
captured source tree, and of declared ones; and of what is not read for the recipe (`repro_assets.capture.asker`). What
a file was when it was first read decides, and is kept.

Limits: Python hears nothing of what compiled code opens by itself, of memory that was mapped elsewhere, and of
processes that are not Python. Of several windows of a process each has what all of its threads read. A file that
another process changes meanwhile counts as made by this one, because the children of this one make files too.
"""

from __future__ import annotations

import itertools
import os
import stat
import sys
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from repro_assets.capture.asker import IMPORT, OWN, RECIPE, asker

FILE, NETWORK, ENTROPY = "file", "network", "entropy"
HELD = 10_000
"""So many names a window holds; what is read beyond them is counted."""

_SYSTEM = ("/usr/", "/lib/", "/lib32/", "/lib64/", "/bin/", "/sbin/", "/etc/", "/proc/", "/sys/", "/dev/")
_MACOS = ("/System/", "/Library/", "/private/etc/")
_PACKAGES = ("/site-packages/", "/dist-packages/", ".dist-info/", ".egg-info/")
_COMPILED = (".pyc", ".so", ".dylib", ".pyd")
_RANDOM = frozenset({"/dev/random", "/dev/urandom"})


class Noted:
    """One thing that was read; `size` and `mtime_ns` are those of a file, and None where it is none."""

    __slots__ = ("_times", "kind", "mtime_ns", "name", "place", "size")

    def __init__(self, kind: str, name: str, place: str = "", size: int | None = None, mtime_ns: int | None = None):
        self.kind, self.name, self.place, self.size, self.mtime_ns = kind, name, place, size, mtime_ns
        # It counts in one step, so threads lose nothing and need no lock, on which a handler of a signal could wait.
        self._times = itertools.count()

    def again(self) -> None:
        """Count one read."""
        next(self._times)

    def count(self) -> int:
        """Return how often it was read; asked once, at the end."""
        return next(self._times)


class Window:
    """What is read from the moment it is opened until it is closed.

    Parameters
    ----------
    root : path
        The project's top.
    since : int
        Nanoseconds since 1970; what was changed later was made by the process.
    sources : collection of str, optional
        Absolute paths of the captured source tree; where they are left out, no file below `root` is noted.
    declared : iterable of str
        Files and folders that are inputs on record.

    Attributes
    ----------
    failed : str or None
        What went wrong while something was noted; then something may be missing.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        since: int,
        sources: Collection[str] | None = None,
        declared: Iterable[str] = (),
    ) -> None:
        self.root = os.path.realpath(root).rstrip("/") + "/"
        self.since = since
        self.sources = sources
        self.declared: set[str] = set()
        self.failed: str | None = None
        places = _library_places()
        self._outside = places
        self._inside = tuple(place for place in places if place.startswith(self.root))
        self._made: set[str] = set()
        self._old: dict[str, os.stat_result] = {}
        self.restart()
        for path in declared:
            self.declare(path)

    def restart(self) -> None:
        """Forget what was read; what the process made it still made."""
        self._judged: dict[str, Noted | None] = {}
        self._files: dict[str, Noted] = {}
        self._others: dict[tuple[str, str], Noted] = {}
        self._further: dict[str, Noted] = {}

    def declare(self, path: str | os.PathLike[str]) -> None:
        """Take a file, or a folder with all below it, for an input on record, whenever it is read."""
        self.declared.add(os.path.realpath(path))

    def declare_connections(self) -> None:
        """Take what was read from the network until now for the way in which a recorded value came."""
        for noted in list(self._others.values()):
            if noted.kind == NETWORK:
                noted.place = "declared"

    def read(self, path: str, *, updates: bool = False) -> None:
        """Note that a file is opened to be read; one that is opened for `updates` is read if something is in it."""
        noted = self._judged[path] if path in self._judged else self._judge(path, updates)
        if noted is not None:
            noted.again()

    def write(self, path: str, *, keeps: bool) -> None:
        """Note that a file is opened to be written, and whether it `keeps` what is in it."""
        if len(self._made) >= HELD or path in self._made:
            return
        if keeps:
            facts = _facts(path)
            if facts is not None and facts.st_size and facts.st_ctime_ns < self.since:
                self._old.setdefault(path, facts)
                return
        self._made.add(path)

    def meet(self, kind: str, name: str) -> None:
        """Note a connection, a lookup or a source of entropy."""
        if asker() == RECIPE:
            known = self._others.get((kind, name))
            (known or self._held(Noted(kind, name), self._others, (kind, name))).again()

    def noted(self) -> list[Noted]:
        """Return what was read and is on no record, in order; without a name, what no name was held of."""
        files = [noted for noted in list(self._files.values()) if not self._is_on_record(noted.place)]
        others = [noted for noted in list(self._others.values()) if noted.place != "declared"]
        return [*files, *others, *list(self._further.values())]

    def _judge(self, path: str, updates: bool) -> Noted | None:
        """Return what stands for a file that is not known yet; None for one that is on record, or no input."""
        if path.startswith("/dev/"):
            if path in _RANDOM:
                self.meet(ENTROPY, path)
            return None
        inside = path.startswith(self.root)
        if path.startswith(self._inside if inside else self._outside):
            return None
        if path in self._made:
            return self._remembered(path, None)
        facts = self._old.get(path) or _facts(path)
        # What cannot be opened is no input, and a folder is read by other means.
        if facts is None or stat.S_ISDIR(facts.st_mode) or (updates and not facts.st_size):
            return None
        if path not in self._old and facts.st_ctime_ns >= self.since:
            return self._remembered(path, None)
        reader = asker()
        if reader == OWN:
            return None
        place = self._place(path)
        inside = place.startswith(self.root)
        if (reader == IMPORT and not inside) or place.startswith(self._inside if inside else self._outside):
            return self._remembered(path, None)
        if self._is_on_record(place):
            return self._remembered(path, None)
        known = self._files.get(place)
        if known is None:
            if path.endswith(".pyc"):
                facts = _facts(place) or facts
            known = Noted(FILE, self._name(path, place), place, facts.st_size, facts.st_mtime_ns)
            known = self._held(known, self._files, place)
        return self._remembered(path, known)

    def _place(self, path: str) -> str:
        """Return where a file really is; of what Python has compiled in the project, where its source is."""
        real = os.path.realpath(path)
        folder, _, name = real.rpartition("/")
        if real.startswith(self.root) and folder.endswith("/__pycache__") and name.endswith(".pyc"):
            source = f"{folder.removesuffix('/__pycache__')}/{name.partition('.')[0]}.py"
            if _facts(source) is not None:
                return source
        return real

    def _name(self, path: str, place: str) -> str:
        """Return a path as a record has it: relative to the project's top in the project."""
        plain = os.path.normpath(path) if not place.endswith(".py") else place
        for candidate in (plain, place):
            if candidate.startswith(self.root):
                return candidate.removeprefix(self.root)
        return plain

    def _is_on_record(self, place: str) -> bool:
        if any(word in place for word in _PACKAGES) or place.endswith(_COMPILED) or ".so." in place:
            return True
        if place.startswith(self.root) and (
            self.sources is None or place in self.sources or place.startswith(f"{self.root}.git/")
        ):
            return True
        if not self.declared:
            return False
        folder = place
        while folder not in self.declared:
            folder = folder.rpartition("/")[0]
            if not folder:
                return False
        return True

    def _held(self, noted: Noted, among: dict[Any, Noted], key: Any) -> Noted:
        if len(among) < HELD:
            return among.setdefault(key, noted)
        return self._further.setdefault(noted.kind, Noted(noted.kind, ""))

    def _remembered(self, path: str, noted: Noted | None) -> Noted | None:
        if len(self._judged) < 2 * HELD:
            self._judged[path] = noted
        return noted


def _facts(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 (cheaper)
    except (OSError, ValueError):
        return None


@cache
def _library_places() -> tuple[str, ...]:
    """Return where interpreter, packages and system have their files, each with ``/`` behind."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, str(Path(os.__file__).parent)}
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    ours = str(Path(__file__).resolve().parents[1])
    folders = {prefix.rstrip("/") + "/" for prefix in (*prefixes, ours) if prefix.rstrip("/")}
    return (*_SYSTEM, *(_MACOS if sys.platform == "darwin" else ()), *sorted(folders))
