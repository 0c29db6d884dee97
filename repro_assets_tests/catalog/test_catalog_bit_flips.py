"""One flipped bit anywhere in the catalog is found by the full check, or changes nothing that anybody reads."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from repro_assets.artifacts.soundness import check_store
from repro_assets.catalog import projection, publication
from repro_assets.catalog.checking import check_catalog, with_catalog
from repro_assets.store.home import Home

HEADERS = 3 * 4096
BLOCK = 1 << 18


@pytest.fixture
def published(home: Home, new_recorder: Any) -> Iterator[Home]:
    recorder = new_recorder(home)
    for number in range(3):
        recorder.run(f"{number}" * 16, number)
        # Refreshes one after the other leave free blocks behind.
        projection.refresh(home)
    yield home
    recorder.journal.close()


def flip(path: Path, place: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        changed = file.read(1)[0] ^ 1 << bit
        file.seek(place)
        file.write(bytes([changed]))


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_every_flip_is_found_or_changes_no_table(published: Home, tables: Callable[[Path], Any], every: int) -> None:
    path, chance = published.catalog, random.Random(7)
    before = tables(path)
    assert check_catalog(published) == []
    places = [0, *(chance.randrange(HEADERS) for _ in range(12 // every))]
    for number, block in enumerate(range(HEADERS, path.stat().st_size, every * BLOCK)):
        # Near a block's start is what it holds; far from it is often nothing.
        places.append(block + chance.randrange(4096 if number % 2 else BLOCK))
    found = 0
    for place in places:
        bit = chance.randrange(8)
        flip(path, place, bit)
        wrong = check_catalog(published)
        found += bool(wrong)
        if not wrong:
            assert tables(path) == before, place
        flip(path, place, bit)
    # Those in the headers and in blocks that are in use; what is left is in free ones.
    assert found > len(places) // 2, (found, len(places))


def test_the_check_names_the_catalog_with_its_remedy_and_the_rebuild_mends_it(published: Home) -> None:
    sound = with_catalog(published, check_store(published))
    assert (sound.ok, sound.files) == (True, [])
    for path in (published.catalog, publication.work_file(published)):
        data = bytearray(path.read_bytes())
        data[8] ^= 1
        path.write_bytes(data)
    found = with_catalog(published, check_store(published))
    assert not found.ok
    assert [item["file"] for item in found.files] == ["catalog.duckdb", "cache/catalog/catalog.duckdb"]
    assert all("repro catalog rebuild" in item["reason"] for item in found.files)
    projection.rebuild(published)
    assert with_catalog(published, check_store(published)).ok


def test_a_catalog_that_says_what_the_journal_does_not_is_found(published: Home) -> None:
    with duckdb.connect(str(published.catalog)) as connection:
        connection.execute("UPDATE segments SET records = records + 1")
    ((name, reason),) = check_catalog(published)
    assert name == "catalog.duckdb"
    assert "records of the journal segment" in reason


def test_a_journal_that_lost_what_the_catalog_has_read_is_found(published: Home) -> None:
    segment = max(published.journal.glob("*.jsonl"), key=lambda path: path.stat().st_size)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-1]))
    assert [name for name, _ in check_catalog(published)] == ["catalog.duckdb", "cache/catalog/catalog.duckdb"]


def test_a_store_without_a_catalog_is_in_order(home: Home) -> None:
    assert check_catalog(home) == []
