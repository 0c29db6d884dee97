"""Records and environment documents without what names a person, a machine or a place.

Laws: taken out are, wherever a text has them: names of hosts and accounts that the records know, folders of homes,
addresses of remotes, serials of devices, and the names of journal segments, which begin with a host's; what is known
only from the machine (ids of host and boot, process, control group, job of a scheduler) is left out. An environment
document without them is another artifact with another digest, and every record names that one. Source trees, data and
products stay as they are, because they are what is to be proven.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from repro_assets.artifacts.kinds import json_value
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.interchange.selection import Lines, Selection
from repro_assets.journal.artifact_records import ArtifactStored
from repro_assets.journal.lines import write_line
from repro_assets.journal.parts import family_of
from repro_assets.journal.records import Payload, Process, Record
from repro_assets.journal.run_records import RunStarted
from repro_assets.store.objects import LocalObjects, concatenate

NOBODY = "anonymous"
_HOMES = r"/(?:home|Users)/[^/\s\"'`:;,<>|]+|/root(?![\w.-])"
_REMOTES = ("remote", "remotes")
_KEPT_HOST_FACTS = ("torch", "libraries")
# They name nobody, and stand in texts that mean something else.
_COMMON = frozenset({"root", "localhost", "user", "host", "linux", "none", "unknown", NOBODY})
_SHORTEST = 3


@dataclasses.dataclass(slots=True)
class Anonymized:
    """A selection without names, the objects that it needs and no store has, and what each environment became."""

    selection: Selection
    objects: dict[Digest, bytes]
    environments: dict[Digest, Digest]


def anonymize(selection: Selection, objects: LocalObjects) -> Anonymized:
    """Take names and places out of what was selected.

    Parameters
    ----------
    selection : Selection
        What a bundle takes.
    objects : LocalObjects
        Where the environment documents are.

    Raises
    ------
    MissingObject, CorruptObject
        If one of them does not read.
    """
    documents = {digest: _document(objects, digest) for digest in sorted(selection.environments)}
    rules = _Rules(selection, documents.values())
    made: dict[Digest, bytes] = {}
    sizes: dict[str, int] = {}
    environments: dict[Digest, Digest] = {}
    for old, document in documents.items():
        data = canonical.encode(rules.value({name: value for name, value in document.items() if name != "host"}))
        manifest = Manifest(json_value.NAME, (Entry("value", len(data), (Digest.of(data),)),))
        environments[old] = manifest.digest
        made[manifest.digest], made[Digest.of(data)] = manifest.encode(), data
        sizes[str(manifest.digest)] = len(data)
        rules.words[str(old)] = str(manifest.digest)
    segments = {}
    for name, part in selection.segments.items():
        process = dataclasses.replace(part.process, payload=_nobody(rules, part.process.payload))
        lines = [_line(rules.record(record), sizes) for _, record in part.lines]
        segments[rules.words[name]] = Lines(process, lines)
    return Anonymized(
        dataclasses.replace(
            selection,
            segments=dict(sorted(segments.items())),
            artifacts=sorted(environments.get(digest, digest) for digest in selection.artifacts),
            whole={environments.get(digest, digest) for digest in selection.whole},
            alone={environments.get(digest, digest) for digest in selection.alone},
            environments=set(environments.values()),
        ),
        made,
        environments,
    )


def _document(objects: LocalObjects, digest: Digest) -> dict[str, Any]:
    manifest = Manifest.decode(objects.read(digest))
    return dict(canonical.decode(concatenate(objects, manifest.entries[0].objects)))


class _Rules:
    """What is replaced, and by what: `words` wherever they stand, names only where they are whole words."""

    def __init__(self, selection: Selection, documents: Iterable[dict[str, Any]]) -> None:
        self.words = {name: f"{NOBODY}-0-{family_of(name)}.jsonl" for name in selection.segments}
        names: set[str] = set()
        for part in selection.segments.values():
            if isinstance(part.process.payload, Process):
                names |= {part.process.payload.host, part.process.payload.account or "", part.process.payload.host_id}
            for _, record in part.lines:
                if isinstance(record.payload, RunStarted):
                    kept = record.payload.host_facts.items()
                    names.update(_texts([value for name, value in kept if name not in (*_KEPT_HOST_FACTS, "missing")]))
                    facts = record.payload.source_facts
                    for remote in _texts([facts.get(name) for name in _REMOTES]):
                        self.words[remote] = NOBODY
        for document in documents:
            names.update(_texts(document.get("host")))
        home = re.escape(str(Path.home()))
        self._homes = re.compile(rf"{home}(?![\w.-])|{_HOMES}" if len(home) > 1 else _HOMES)
        long = sorted((name for name in names if len(name) >= _SHORTEST and name.lower() not in _COMMON), key=len)
        listed = "|".join(re.escape(name) for name in reversed(long))
        self._names = re.compile(rf"(?<![A-Za-z0-9_])(?:{listed})(?![A-Za-z0-9_])") if listed else None

    def text(self, text: str) -> str:
        """Return a text without names and places."""
        for old in sorted(self.words, key=len, reverse=True):
            text = text.replace(old, self.words[old])
        text = self._homes.sub("~", text)
        return self._names.sub(NOBODY, text) if self._names is not None else text

    def value(self, value: Any) -> Any:
        """Return a JSON-like value without them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def record(self, record: Record) -> Record:
        """Return a record without them."""
        payload = record.payload
        if isinstance(payload, RunStarted):
            facts = {name: value for name, value in payload.host_facts.items() if name in _KEPT_HOST_FACTS}
            source = {name: value for name, value in payload.source_facts.items() if name not in _REMOTES}
            payload = dataclasses.replace(payload, host_facts=facts, source_facts=source)
        fields = {field.name: self.value(getattr(payload, field.name)) for field in dataclasses.fields(payload)}
        follows = tuple(self.text(item) for item in record.follows)
        return dataclasses.replace(record, payload=type(payload)(**fields), follows=follows)


def _nobody(rules: _Rules, payload: Payload) -> Payload:
    argv = [rules.text(word) for word in payload.argv] if isinstance(payload, Process) else []
    return Process(NOBODY, NOBODY, "", 0, argv)


def _line(record: Record, sizes: dict[str, int]) -> tuple[bytes, Record]:
    payload = record.payload
    if isinstance(payload, ArtifactStored) and payload.digest in sizes:
        record = dataclasses.replace(record, payload=dataclasses.replace(payload, size=sizes[payload.digest]))
    return write_line(record.payload, seq=record.seq, time=record.time, follows=record.follows), record


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON-like value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
