"""What is made to fail: every operation that changes a store, and what must be so afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from repro_assets.artifacts import aliases, deletion, eviction, names, repository, retention, succession
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import MachineError
from repro_assets.identity.digest import Digest
from repro_assets.journal.artifact_records import VersionClaimed
from repro_assets.journal.records import Record
from repro_assets.journal.run_records import Params, ReplayMade, RunEnded, RunOutput, RunStarted
from repro_assets.journal.segments import journal_at, list_segments, read_segment
from repro_assets.store import batch as batches
from repro_assets.store import codecs
from repro_assets.store.collection import Roots, collect
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.staging import Part

Prepare = Callable[[Path], None]
Work = Callable[[Path], Any]


@dataclass(frozen=True)
class Operation:
    """One line of the table.

    Parameters
    ----------
    name : str
        What is done.
    work : callable
        Does it to the store in the folder ``store`` of a case and returns what it acknowledges: JSON.
    check : callable
        Asserts that what `work` acknowledged is so.
    prepare : callable
        Makes what the work needs, beside the store that every case has.
    after : callable
        Asserts what must be so whatever became of the work.
    remote : bool
        It uses a remote, so its cases run in a process that has not used one.
    """

    name: str
    work: Work
    check: Callable[[Path, Any], None]
    prepare: Prepare = lambda folder: None
    after: Prepare = lambda folder: None
    remote: bool = False


KNOWN = [b"known %d " % number * 50 for number in range(12)]
LARGE = numpy.random.default_rng(7).bytes(300_000)


def base(folder: Path) -> None:
    """Make the store that every case begins with: a loose object, a pack, an artifact with a version, records."""
    home = make_store(folder / "store")
    with open_objects(home).batch() as batch:
        batch.put_all([Part(data) for data in KNOWN])
    repository.claim(repository.put(home, {"earlier": [1, 2, 3]}), "earlier")


def assert_base(folder: Path) -> None:
    """Assert that all of `base` reads back equal."""
    home = home_of(folder)
    objects = open_objects(home)
    for data in KNOWN:
        assert objects.read(Digest.of(data)) == data
    earlier = names.newest(home, "earlier")
    assert repository.handle(home, earlier).load() == {"earlier": [1, 2, 3]}


def home_of(folder: Path) -> Home:
    """Open the store of a case."""
    return open_store(folder / "store")


def objects_of(folder: Path) -> LocalObjects:
    """Open the objects of a case."""
    return open_objects(home_of(folder), DECODERS)


def reads_as(*contents: bytes) -> Callable[[Path, Any], None]:
    """Return the check that the acknowledged digests hold these bytes."""

    def check(folder: Path, result: Any) -> None:
        digests = [result] if isinstance(result, str) else result
        assert digests == [str(Digest.of(content)) for content in contents], result
        for digest, content in zip(digests, contents, strict=True):
            assert objects_of(folder).read(Digest.parse(digest)) == content

    return check


def loads_as(value: Any) -> Callable[[Path, Any], None]:
    """Return the check that the acknowledged artifact holds this value."""

    def check(folder: Path, result: Any) -> None:
        found = repository.by_digest(home_of(folder), Digest.parse(result)).load()
        assert repr(found) == repr(value)

    return check


def _put_streamed(folder: Path) -> str:
    batches.STREAMED = 1 << 16
    return str(objects_of(folder).put_file(folder / "large")[0])


def _put_tree(folder: Path) -> str:
    return str(repository.put(home_of(folder), folder / "tree").digest)


def _check_tree(folder: Path, result: Any) -> None:
    check_tree_of(repository.by_digest(home_of(folder), Digest.parse(result)), folder)


def check_tree_of(artifact: Artifact, folder: Path) -> None:
    """Assert that an artifact is the folder of `make_tree`."""
    target = Path(tempfile.mkdtemp(dir=folder)) / "out"
    artifact.lay_out(target)
    for path in (folder / "tree").rglob("*"):
        if path.is_file():
            assert (target / path.relative_to(folder / "tree")).read_bytes() == path.read_bytes()


def make_tree(folder: Path) -> None:
    """Make a folder of small files and a large one."""
    (folder / "tree" / "sub").mkdir(parents=True)
    for number in range(10):
        (folder / "tree" / "sub" / f"{number}.txt").write_text(f"file {number}\n" * 20)
    (folder / "tree" / "large").write_bytes(LARGE)


def _put_tensors(folder: Path) -> str:
    value = {f"layer{number}": numpy.arange(64, dtype="float32") + number for number in range(10)}
    return str(repository.put(home_of(folder), value).digest)


def _check_tensors(folder: Path, result: Any) -> None:
    found = repository.by_digest(home_of(folder), Digest.parse(result)).load()
    for number in range(10):
        assert (numpy.asarray(found[f"layer{number}"]) == numpy.arange(64, dtype="float32") + number).all()


MIXED = [*(b"small %d " % number * 9 for number in range(9)), LARGE * 5, b"the last"]


def _commit(folder: Path) -> list[str]:
    with objects_of(folder).batch() as batch:
        return [str(digest) for digest in batch.put_all([Part(data) for data in MIXED])]


def _close_packs(folder: Path) -> list[str]:
    batches.PACK_BYTES = 1 << 10
    with objects_of(folder).batch() as batch:
        return [str(batch.put(b"packed %d " % number * 30)) for number in range(20)]


def _claim(folder: Path) -> list[Any]:
    home = home_of(folder)
    artifact = repository.claim(repository.put(home, {"claimed": True}), "model")
    return [str(artifact.digest), artifact.version]


def _check_claim(folder: Path, result: Any) -> None:
    loads_as({"claimed": True})(folder, result[0])
    assert result[1] == 1
    home = home_of(folder)
    assert str(names.version(home, "model", 1).digest) == result[0]
    assert recorded_versions(home)["model", 1] == result[0]


def recorded_versions(home: Home) -> dict[tuple[str, int], str]:
    """Return the digest of every version that the journal has."""
    items = [item for path in list_segments(home.journal) for item, _ in read_segment(path)]
    claims = [item.payload for item in items if isinstance(item, Record) and isinstance(item.payload, VersionClaimed)]
    return {(claim.collection, claim.version): claim.digest for claim in claims}


def _append(folder: Path) -> str:
    journal = journal_at(home_of(folder).journal)
    journal.append(Params("run", {"a": 1}))
    journal.append(Params("run", {"b": 2}), Params("run", {"c": 3}))
    return "recorded"


def _check_append(folder: Path, result: Any) -> None:
    text = b"".join(path.read_bytes() for path in home_of(folder).journal.glob("*.jsonl"))
    assert b'"a":1' in text
    assert b'"b":2' in text
    assert b'"c":3' in text


def plant_damage(folder: Path) -> None:
    """Damage two objects of `base`."""
    _flip_in_pack(folder, KNOWN[3])
    _flip_in_pack(folder, KNOWN[4])


def _flip_in_pack(folder: Path, content: bytes) -> None:
    _, stored = codecs.encode(content)
    (pack,) = (folder / "store" / "packs").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[data.index(bytes(stored)) + 3] ^= 1
    pack.write_bytes(data)


def _heal(folder: Path) -> list[str]:
    with objects_of(folder).batch() as batch:
        return [str(digest) for digest in batch.put_all([Part(KNOWN[3]), Part(KNOWN[4])])]


def _make_another(folder: Path) -> str:
    home = make_store(folder / "another")
    return str(open_objects(home).put(b"first"))


def _make_large(folder: Path) -> None:
    (folder / "large").write_bytes(LARGE)


def _check_another(folder: Path, result: Any) -> None:
    assert open_objects(open_store(folder / "another")).read(Digest.parse(result)) == b"first"


DEAD = [b"dead %d " % number * 60 for number in range(9)]


def _make_dead(folder: Path) -> None:
    with objects_of(folder).batch() as batch:
        batch.put_all([Part(data) for data in DEAD])
    with objects_of(folder).batch() as batch:
        # A pack of which a part lives on, and an object that lies alone.
        batch.put_all([Part(b"alive" * 9), *(Part(data[::-1]) for data in DEAD)])
    objects_of(folder).put(b"dead and alone" * 9)


def _collect(folder: Path) -> str:
    home = home_of(folder)
    earlier = names.newest(home, "earlier").digest
    alone = [Digest.of(data) for data in [*KNOWN, b"alive" * 9]]
    roots = Roots(artifacts=[earlier], alone=alone)
    found = collect(objects_of(folder), lambda: roots, delete=True, now=True)
    if found.kept_packs:
        # It says so and goes on, because a full disk is a reason to collect; here that counts as its error.
        raise MachineError(str(found.kept_packs))
    return "collected"


def _check_collected(folder: Path, result: Any) -> None:
    objects = objects_of(folder)
    assert objects.read(Digest.of(b"alive" * 9)) == b"alive" * 9
    for data in [*DEAD, *(data[::-1] for data in DEAD), b"dead and alone" * 9]:
        assert not objects.has(Digest.of(data))


def _put_known(folder: Path) -> list[str]:
    with objects_of(folder).batch() as batch:
        return [str(digest) for digest in batch.put_all([Part(data) for data in KNOWN])]


WEIGHTS = [
    {"layer": numpy.random.default_rng(3).normal(0, 1, 9000).astype("float32") * (1 + number * 1e-6)}
    for number in (0, 1)
]


def _make_weights(folder: Path) -> None:
    for value in WEIGHTS:
        repository.claim(repository.put(home_of(folder), value), "weights")


def _repack(folder: Path) -> str:
    succession.repack_store(home_of(folder))
    return "repacked"


def _check_weights(folder: Path, result: Any) -> None:
    home = home_of(folder)
    older, newer = names.version(home, "weights", 1), names.version(home, "weights", 2)
    for version, value in zip((older, newer), WEIGHTS, strict=True):
        assert (numpy.asarray(repository.handle(home, version).load()["layer"]) == value["layer"]).all()
    (part,) = set(repository.handle(home, older).manifest.objects())
    assert list(objects_of(folder).needs(part)), "it is stored as a difference"


RUN = "a" * 16
MADE = b"made by a run " * 900


def _make_evictable(folder: Path) -> None:
    home = home_of(folder)
    source = repository.put(home, b"source" * 100)
    made = repository.claim(repository.put(home, MADE), "made", run_id=RUN)
    journal_at(home.journal).append(
        RunStarted(RUN, "asset", "sft", asset="sft", source=str(source.digest)),
        RunOutput(RUN, "result", str(made.digest), "made", collection="made", version=1),
        RunEnded(RUN, "COMPLETED"),
        ReplayMade(RUN, None, "identical"),
    )


def _evict(folder: Path) -> str:
    eviction.evict_reproducible(home_of(folder))
    return "evicted"


def _check_evicted(folder: Path, result: Any) -> None:
    home = home_of(folder)
    made = repository.handle(home, names.version(home, "made", 1))
    assert eviction.evicted_by(home, made.digest) == RUN
    assert not made.is_whole()


def _delete(folder: Path) -> str:
    deletion.delete_versions(home_of(folder), [("weights", 1)])
    return "deleted"


def _check_deleted(folder: Path, result: Any) -> None:
    home = home_of(folder)
    assert names.version(home, "weights", 1, deleted=True).deleted
    assert ("weights", 1) in retention.read_ledger(home).deleted_versions
    assert names.newest(home, "weights").number == 2


def _move_alias(folder: Path) -> str:
    home = home_of(folder)
    aliases.move(home, names.version(home, "weights", 1), "best")
    return "moved"


def _check_alias(folder: Path, result: Any) -> None:
    assert retention.read_ledger(home_of(folder)).aliases() == {("weights", 1): ["best"]}


OPERATIONS = [
    Operation("put bytes", lambda folder: str(objects_of(folder).put(b"new" * 99)), reads_as(b"new" * 99)),
    Operation("put a large file", _put_streamed, reads_as(LARGE), _make_large),
    Operation("put a tree", _put_tree, _check_tree, make_tree),
    Operation("put tensors", _put_tensors, _check_tensors),
    Operation("commit a batch", _commit, reads_as(*MIXED)),
    Operation("close packs", _close_packs, reads_as(*(b"packed %d " % number * 30 for number in range(20)))),
    Operation("put what is there", _put_known, reads_as(*KNOWN)),
    Operation("put what is damaged", _heal, reads_as(KNOWN[3], KNOWN[4]), plant_damage),
    Operation("claim and record", _claim, _check_claim),
    Operation("append records", _append, _check_append),
    Operation("make a store", _make_another, _check_another),
    Operation("collect what is dead", _collect, _check_collected, _make_dead),
    Operation("repack", _repack, _check_weights, _make_weights),
    Operation("evict", _evict, _check_evicted, _make_evictable),
    Operation("delete a version", _delete, _check_deleted, _make_weights),
    Operation("move an alias", _move_alias, _check_alias, _make_weights),
]


def assert_sound(folder: Path) -> None:
    """Assert that the full check finds nothing wrong in the stores of a case."""
    for marker in folder.glob("*/repro-store.json"):
        found = check_store(open_store(marker.parent), full=True)
        assert found.ok, found.document()
