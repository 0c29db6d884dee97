"""Bundles with flipped, cut and inserted bytes, and with other values in their records: refused, or sound."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import xxhash
from bundled import Pieces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro_assets.artifacts.soundness import check_store
from repro_assets.catalog import queries
from repro_assets.errors import InvalidInput, UnsupportedFormat
from repro_assets.interchange.importing import import_bundle
from repro_assets.interchange.verification import Contents, read_through
from repro_assets.store.home import make_store

REFUSALS = (InvalidInput, UnsupportedFormat)
FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
few = settings(max_examples=40, suppress_health_check=FIXTURES)
many = settings(max_examples=4000, suppress_health_check=FIXTURES)

damage = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "copy"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 255),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=4,
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
        st.sampled_from(["../../etc/passwd", "/etc/passwd", "sha256:" + "0" * 64, "1970", "a" * 300, "\0", "\ud800"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def damaged(data: bytes, changes: list[tuple[str, float, int, int]]) -> bytes:
    found = bytearray(data)
    for what, where, value, length in changes:
        place = int(where * len(found))
        if what == "flip" and found:
            found[place] ^= value
        elif what == "cut":
            del found[place : place + length]
        elif what == "insert":
            found[place:place] = bytes([value]) * length
        else:
            found[place:place] = found[place : place + length]
    return bytes(found)


def same(one: Contents, other: Contents) -> bool:
    lines = [[part.lines for part in found.segments.values()] for found in (one, other)]
    return lines[0] == lines[1] and one.sizes == other.sizes and one.manifests == other.manifests


def check_bytes(data: bytes, changes: list[tuple[str, float, int, int]], path: Path) -> None:
    """What is damaged is refused; where the seal is made right again, it is refused or says the same."""
    bad = damaged(data, changes)
    if bad != data:
        with pytest.raises(REFUSALS):
            read_through(io.BytesIO(bad), path)
    body = damaged(data[:-32], changes)
    try:
        found = read_through(io.BytesIO(body + hashlib.sha256(body).digest()), path)
    except REFUSALS:
        return
    assert same(found, read_through(io.BytesIO(data), path))


def check_values(bundle: Path, line: int, member: int, value: Any, folder: Path) -> None:
    """A record that says something else, sealed rightly, is refused, or comes and leaves the store sound."""
    pieces = copy.deepcopy(Pieces.of(bundle))
    lines = pieces.segments[0].splitlines(keepends=True)
    number = line % len(lines)
    record = json.loads(lines[number])
    del record["xxh3"]
    target = record["data"] if member % 3 else record
    target[sorted(target)[member % len(target)]] = value
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    lines[number] = body + b',"xxh3":"' + xxhash.xxh3_64_hexdigest(body).encode() + b'"}\n'
    pieces.segments[0] = b"".join(lines)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = pieces.write(Path(place) / "bad.repro")
        home = make_store(Path(place) / "store")
        try:
            done = import_bundle(home, path)
        except REFUSALS:
            assert not any(item.is_file() for folder in (home.objects, home.packs, home.journal, home.names)
                           for item in folder.rglob("*"))  # fmt: skip
            return
        found = check_store(home)
        assert found.ok, found.document()
        assert not queries.rows(home, "SELECT * FROM damages")
        assert import_bundle(home, path).records == 0
        assert done.records


@few
@given(changes=damage)
def test_a_damaged_bundle_is_refused(bundle: Path, changes: Any) -> None:
    check_bytes(bundle.read_bytes(), changes, bundle)


@settings(few, max_examples=25)
@given(line=st.integers(0, 10**6), member=st.integers(0, 10**6), value=values)
def test_records_with_other_values_are_refused_or_leave_the_store_sound(
    bundle: Path, line: int, member: int, value: Any, tmp_path: Path
) -> None:
    check_values(bundle, line, member, value, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@many
@given(changes=damage)
def test_many_damaged_bundles_are_refused(bundle: Path, changes: Any) -> None:
    check_bytes(bundle.read_bytes(), changes, bundle)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(many, max_examples=1000)
@given(line=st.integers(0, 10**6), member=st.integers(0, 10**6), value=values)
def test_many_records_with_other_values_are_refused_or_leave_the_store_sound(
    bundle: Path, line: int, member: int, value: Any, tmp_path: Path
) -> None:
    check_values(bundle, line, member, value, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_fuzzing_that_is_guided_by_coverage_finds_only_refusals(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    program = Path(__file__).with_name("fuzz_bundle.py")
    asked = [sys.executable, str(program), str(bundle), "120", str(tmp_path / "corpus")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
