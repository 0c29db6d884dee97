"""What a store and its catalog hold.

Laws: logical bytes are what all artifacts would take if each were kept whole and uncompressed; stored bytes are what
their files take. An artifact counts once, whatever the number of its versions, as long as its manifest is there: not
when a collection has moved it to the trash, and also when its bytes were evicted.
"""

from __future__ import annotations

from typing import Any

from repro_assets.catalog import projection
from repro_assets.catalog.queries import connect, rows
from repro_assets.store.home import Home
from repro_assets.store.statistics import measure


def store_statistics(home: Home) -> dict[str, Any]:
    """Return counts and sizes of everything in the store.

    Returns
    -------
    dict
        ``objects``, ``bytes`` (stored), ``logical_bytes``, ``packs``, ``quarantined``, ``unfinished``, and
        ``artifacts``: rows of ``kind``, ``artifacts`` and ``logical_bytes``.

    Raises
    ------
    MachineError
        If the catalog had to be brought up to date and cannot be written.
    """
    counted = measure(home)
    there = {str(digest) for digest in counted.digests}
    kinds: dict[str, list[int]] = {}
    for row in rows(home, "SELECT digest, kind, size FROM artifacts"):
        if row["digest"] in there:
            kinds.setdefault(row["kind"], []).append(row["size"])
    artifacts = [{"kind": kind, "artifacts": len(sizes), "logical_bytes": sum(sizes)} for kind, sizes in kinds.items()]
    return {
        "objects": len(counted.digests),
        "bytes": counted.bytes,
        "logical_bytes": sum(map(sum, kinds.values())),
        "packs": counted.packs,
        "quarantined": counted.quarantined,
        "unfinished": counted.unfinished,
        "artifacts": sorted(artifacts, key=lambda row: (-row["logical_bytes"], row["kind"])),
    }


def rebuild_counted(home: Home) -> dict[str, Any]:
    """Make the catalog again from the whole journal, and count what is in it.

    Returns
    -------
    dict
        ``rows`` (of all tables), ``ok`` (False if something could not be read), ``damages`` (how much), ``records``,
        ``seconds``, and ``tables``: rows by table.

    Raises
    ------
    MachineError
        If the store cannot be written.
    """
    done = projection.rebuild(home)
    with connect(home) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' AND database_name = 'catalog' "
                "ORDER BY table_name"
            ).fetchall()
        ]
        tables = {name: int(connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]) for name in names}
    return {
        "rows": sum(tables.values()),
        "ok": done.damages == 0,
        "damages": done.damages,
        "records": done.records,
        "seconds": done.seconds,
        "tables": tables,
    }
