"""Rows from the objects that records name: manifests, environment documents and tables of fingerprints.

Laws: an object is immutable, so what was read once is never read again; one that is missing, corrupt or not what it
should be becomes a row of `damages` with its digest, is asked for again whenever something is projected, and stops
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from repro_assets.artifacts.kinds import DECODERS, table
from repro_assets.catalog.loading import Tables
from repro_assets.catalog.rows import Row, boolean_of, integer_of, json_of, text_of
from repro_assets.errors import MissingObject, ReproError
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.identity.manifest import Manifest
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects, concatenate
from repro_assets.store.opening import open_objects

_ENTRIES_AT_ONCE = 50_000
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def read_referenced(home: Home, tables: Tables) -> bool:
    """Add what can be read now and name what cannot; return whether any row changed.

    Raises
    ------
    duckdb.Error
        If the catalog itself cannot be written.
    """
    objects, connection = open_objects(home, DECODERS), tables.connection
    failed: dict[str, str] = {}
    changed = _add_manifests(objects, tables, failed)
    changed = _add_environments(objects, tables, failed) or changed
    changed = _add_fingerprints(objects, tables, failed) or changed
    # Those with a segment are of the journal's merges.
    ours = "FROM damages WHERE kind = 'object' AND segment IS NULL"
    known = dict(connection.execute(f"SELECT subject, reason {ours}").fetchall())
    if known == failed:
        return changed
    connection.execute("BEGIN")
    connection.execute(f"DELETE {ours}")
    tables.insert("damages", [{"kind": "object", "subject": name, "reason": why} for name, why in failed.items()])
    connection.execute("COMMIT")
    return True


def _wanted(tables: Tables, query: str) -> list[str]:
    return [digest for (digest,) in tables.connection.execute(query).fetchall()]


def _add_manifests(objects: LocalObjects, tables: Tables, failed: dict[str, str]) -> bool:
    read: list[Row] = []
    entries: list[Row] = []
    changed = False
    unread = _wanted(tables, "SELECT digest FROM artifacts WHERE NOT readable ORDER BY digest")
    held = set(_wanted(tables, "SELECT digest FROM held")) if unread else set()
    for digest in unread:
        try:
            manifest = Manifest.decode(objects.read(Digest.parse(digest)))
            fresh = list(_entry_rows(digest, manifest))
            read.append({"digest": digest, "facts": json_of(manifest.facts)})
        except (ReproError, OSError, *_MALFORMED) as error:
            # What nothing keeps may have been collected, and that is no damage.
            if digest in held or not isinstance(error, MissingObject):
                failed[digest] = _in_one_line(error)
            continue
        entries.extend(fresh)
        if len(entries) + len(read) >= _ENTRIES_AT_ONCE:
            _keep_manifests(tables, read, entries)
            read, entries, changed = [], [], True
    if read:
        _keep_manifests(tables, read, entries)
    return changed or bool(read)


def _entry_rows(digest: str, manifest: Manifest) -> Iterator[Row]:
    for number, entry in enumerate(manifest.entries):
        yield {
            "digest": digest,
            "number": number,
            "name": text_of(entry.name),
            "size": integer_of(entry.size),
            "objects": [str(part) for part in entry.objects],
            "facts": json_of(entry.facts),
        }


def _keep_manifests(tables: Tables, read: list[Row], entries: list[Row]) -> None:
    connection = tables.connection
    connection.execute("BEGIN")
    tables.insert("manifest_entries", entries)
    connection.register("manifests", tables.arrow("artifacts", read).select(["digest", "facts"]))
    connection.execute(
        "UPDATE artifacts SET readable = true, facts = manifests.facts::JSON FROM manifests "
        "WHERE artifacts.digest = manifests.digest"
    )
    connection.unregister("manifests")
    connection.execute("COMMIT")


def _add_environments(objects: LocalObjects, tables: Tables, failed: dict[str, str]) -> bool:
    changed = False
    for digest in _wanted(
        tables,
        "SELECT DISTINCT environment FROM runs ANTI JOIN environments USING (environment) "
        "WHERE environment IN (SELECT digest FROM held) ORDER BY environment",
    ):
        try:
            manifest = Manifest.decode(objects.read(Digest.parse(digest)))
            document = canonical.decode(concatenate(objects, manifest.entries[0].objects))
            environment, packages, gpus = _environment_rows(digest, document)
        except (ReproError, OSError, *_MALFORMED) as error:
            failed[digest] = _in_one_line(error)
            continue
        tables.connection.execute("BEGIN")
        tables.insert("environments", [environment])
        tables.insert("packages", packages)
        tables.insert("gpus", gpus)
        tables.connection.execute("COMMIT")
        changed = True
    return changed


def _environment_rows(digest: str, document: dict[str, Any]) -> tuple[Row, list[Row], list[Row]]:
    # A part that could not be captured is null in the document, and `unavailable` says why.
    python, torch = document.get("python") or {}, document.get("torch") or {}
    hardware, system = document.get("hardware") or {}, document.get("os") or {}
    cpu = hardware.get("cpu") or {}
    environment: Row = {
        "environment": digest,
        "level": text_of(document.get("level")),
        "python": text_of(python.get("version")),
        "implementation": text_of(python.get("implementation")),
        "torch": text_of(torch.get("version")),
        "cuda": text_of(torch.get("cuda")),
        "os": text_of(system.get("name") or system.get("system")),
        "cpu": text_of(cpu.get("model")),
        "logical_cores": integer_of(cpu.get("logical_cores")),
        "memory_bytes": integer_of(hardware.get("memory_bytes")),
        "variables": json_of(document.get("variables") or {}),
        "unavailable": json_of(document.get("unavailable") or {}),
        "document": json_of(document),
    }
    packages: list[Row] = [
        {
            "environment": digest,
            "name": text_of(package["name"]),
            "version": text_of(package.get("version")),
            "editable": boolean_of(package.get("editable", False)),
            "origin": text_of(package.get("origin")),
        }
        for package in document.get("packages") or []
    ]
    gpus: list[Row] = [
        {
            "environment": digest,
            "number": integer_of(gpu.get("index", number)),
            **{name: text_of(gpu.get(name)) for name in ("name", "driver", "cuda_driver", "compute_capability")},
            "memory_bytes": integer_of(gpu.get("memory_bytes")),
            "facts": json_of(gpu),
        }
        for number, gpu in enumerate(hardware.get("gpus") or [])
    ]
    return environment, packages, gpus


def _add_fingerprints(objects: LocalObjects, tables: Tables, failed: dict[str, str]) -> bool:
    connection = tables.connection
    changed = False
    for run_id, digest, record in connection.execute(
        "SELECT run_id, digest, record FROM fingerprint_tables WHERE digest IN (SELECT digest FROM held) "
        "AND record NOT IN (SELECT record FROM journal.read_fingerprints) ORDER BY run_id, first, record"
    ).fetchall():
        try:
            found = table.read_arrow(Manifest.decode(objects.read(Digest.parse(digest))), objects)
            columns = [found.column(name) for name in ("step", "quantity", "tensor", "xxh3")]
        except (ReproError, OSError, *_MALFORMED) as error:
            failed[digest] = _in_one_line(error)
            continue
        rows = [
            {"run_id": run_id, "step": step, "quantity": quantity, "tensor": tensor, "xxh3": f"xxh3-128:{xxh3.hex()}"}
            for step, quantity, tensor, xxh3 in zip(*(column.to_pylist() for column in columns), strict=True)
        ]
        connection.execute("BEGIN")
        tables.insert("fingerprints", rows)
        tables.insert("journal.read_fingerprints", [{"record": record}])
        connection.execute("COMMIT")
        changed = True
    return changed


def _in_one_line(error: Exception) -> str:
    message = error.message if isinstance(error, ReproError) else f"{type(error).__name__}: {error}"
    return text_of(" ".join(message.split())) or type(error).__name__
