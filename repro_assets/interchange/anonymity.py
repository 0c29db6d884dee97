"""Records and environment documents without what names a person, a machine or a place.

Laws: taken out are, wherever a text has them: names of hosts and accounts that the records know, folders of homes,
addresses of remotes, serials of devices, and the names of journal segments, which begin with a host's; what is known
only from the machine (ids of host and boot, process, control group, job of a scheduler) is left out. An environment
document without them is another artifact with another digest, and every record names that one. Source trees, data and
products stay as they are, because they are what is to be proven.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from repro_assets.artifacts.kinds import json_value
from repro_assets.catalog import queries
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Entry, Manifest
from repro_assets.interchange.selection import Lines, Selection
from repro_assets.journal.artifact_records import ArtifactStored
from repro_assets.journal.lines import write_line
from repro_assets.journal.parts import family_of
from repro_assets.journal.records import Payload, Process, Record
from repro_assets.journal.run_records import RunStarted
from repro_assets.store.home import Home
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
    rules = _rules(selection, documents.values())
    made: dict[Digest, bytes] = {}
    sizes: dict[str, int] = {}
    environments: dict[Digest, Digest] = {}
    for old, document in documents.items():
        manifest, data = manifest_of(kept_document(rules, document))
        environments[old] = manifest.digest
        made[manifest.digest], made[Digest.of(data)] = manifest.encode(), data
        sizes[str(manifest.digest)] = len(data)
        rules.words[str(old)] = str(manifest.digest)
    segments = {}
    for name, part in selection.segments.items():
        process = dataclasses.replace(part.process, payload=_nobody(rules, part.process.payload))
        lines = [_line(_record(rules, record), sizes) for _, record in part.lines]
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


class Rules:
    """What is replaced, and by what.

    Parameters
    ----------
    names : iterable of str
        Hosts, accounts and ids, which are replaced where they are whole words.
    words : dict
        What is replaced wherever it stands, and by what.
    """

    def __init__(self, names: Iterable[str], words: dict[str, str]) -> None:
        self.words = words
        home = re.escape(str(Path.home()))
        self._homes = re.compile(rf"{home}(?![\w.-])|{_HOMES}" if len(home) > 1 else _HOMES)
        told = {name for name in names if len(name) >= _SHORTEST and name.lower() not in _COMMON}
        listed = "|".join(re.escape(name) for name in sorted(told, key=lambda name: (-len(name), name)))
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


def rules_of(home: Home) -> Rules:
    """Return the rules by which what the catalog says of runs names nobody, as a bundle's records are made to.

    Parameters
    ----------
    home : Home
        The store; hosts and accounts of all who wrote to it are known.
    """
    with queries.connect(home) as connection:

        def column(sql: str) -> list[Any]:
            return [row[0] for row in connection.execute(sql).fetchall()]

        segments = column("SELECT segment FROM segments")
        names = column("SELECT DISTINCT unnest([host, account]) FROM processes")
        facts = [
            json.loads(text) for text in column("SELECT DISTINCT host_facts FROM runs WHERE host_facts IS NOT NULL")
        ]
        remotes = column("SELECT DISTINCT remote FROM sources WHERE remote IS NOT NULL")
        hosts = column("SELECT DISTINCT document -> '$.host' FROM environments")
    known = {name for name in names if name}
    known.update(name for fact in facts for name in _named_by(fact))
    known.update(_texts([json.loads(host) for host in hosts if host is not None]))
    words = {name: _unnamed(name) for name in segments}
    return Rules(known, words | {remote: NOBODY for remote in remotes if remote})


def kept_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what stays of the facts about a run's host."""
    return {name: value for name, value in facts.items() if name in _KEPT_HOST_FACTS}


def kept_document(rules: Rules, document: dict[str, Any]) -> dict[str, Any]:
    """Return an environment document without what names a machine or a person."""
    kept: dict[str, Any] = rules.value({name: value for name, value in document.items() if name != "host"})
    return kept


def manifest_of(document: dict[str, Any]) -> tuple[Manifest, bytes]:
    """Return the manifest that an environment document has in a store, and its bytes."""
    data = canonical.encode(document)
    return Manifest(json_value.NAME, (Entry("value", len(data), (Digest.of(data),)),)), data


def _rules(selection: Selection, documents: Iterable[dict[str, Any]]) -> Rules:
    words = {name: _unnamed(name) for name in selection.segments}
    names: set[str] = set()
    for part in selection.segments.values():
        if isinstance(part.process.payload, Process):
            names |= {part.process.payload.host, part.process.payload.account or "", part.process.payload.host_id}
        for _, record in part.lines:
            if isinstance(record.payload, RunStarted):
                names.update(_named_by(record.payload.host_facts))
                facts = record.payload.source_facts
                for remote in _texts([facts.get(name) for name in _REMOTES]):
                    words[remote] = NOBODY
    for document in documents:
        names.update(_texts(document.get("host")))
    return Rules(names, words)


def _named_by(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what the facts about a host name."""
    return _texts([value for name, value in facts.items() if name not in (*_KEPT_HOST_FACTS, "missing")])


def _unnamed(segment: str) -> str:
    return f"{NOBODY}-0-{family_of(segment)}.jsonl"


def _record(rules: Rules, record: Record) -> Record:
    payload = record.payload
    if isinstance(payload, RunStarted):
        source = {name: value for name, value in payload.source_facts.items() if name not in _REMOTES}
        payload = dataclasses.replace(payload, host_facts=kept_facts(payload.host_facts), source_facts=source)
    fields = {field.name: rules.value(getattr(payload, field.name)) for field in dataclasses.fields(payload)}
    follows = tuple(rules.text(item) for item in record.follows)
    return dataclasses.replace(record, payload=type(payload)(**fields), follows=follows)


def _nobody(rules: Rules, payload: Payload) -> Payload:
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
