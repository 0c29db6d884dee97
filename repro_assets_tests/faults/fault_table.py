"""What a store looks like after every system call of every operation has failed once, in every way.

Laws, for each case: afterwards a new process finds nothing wrong in the store with the full check; everything that was
acknowledged reads back equal, what the failed operation acknowledged included; an error is the machine's (exit code 3)
and a success is a right one; doing it again succeeds with the equal result.

An operation is a line of `OPERATIONS`: add one here and every suite and the table have it. The table is written by
``python repro_assets_tests/faults/fault_table.py docs/faults.md``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from fault_injection import MODES, Outcome, available, run_in_child

from repro_assets.artifacts import names, repository
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.artifacts.soundness import check_store
from repro_assets.errors import MachineError
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import Params
from repro_assets.journal.segments import journal_at
from repro_assets.store import batch as batches
from repro_assets.store import codecs
from repro_assets.store.home import Home, make_store, open_store
from repro_assets.store.objects import LocalObjects
from repro_assets.store.opening import open_objects
from repro_assets.store.staging import Part

COLLECTION = available("repro_assets.store.collection")

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
    """

    name: str
    work: Work
    check: Callable[[Path, Any], None]
    prepare: Prepare = lambda folder: None


@dataclass
class Table:
    """What was run: cases by operation, call and mode, and what each law says of it."""

    cases: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    absorbed: Counter[tuple[str, str]] = field(default_factory=Counter)


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
    target = Path(tempfile.mkdtemp(dir=folder)) / "out"
    repository.by_digest(home_of(folder), Digest.parse(result)).lay_out(target)
    for path in (folder / "tree").rglob("*"):
        if path.is_file():
            assert (target / path.relative_to(folder / "tree")).read_bytes() == path.read_bytes()


def _make_tree(folder: Path) -> None:
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
    assert str(names.version(home_of(folder), "model", 1).digest) == result[0]


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


def _damage(folder: Path) -> None:
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
    roots = COLLECTION.Roots(artifacts=[earlier], alone=alone)
    found = COLLECTION.collect(objects_of(folder), lambda: roots, delete=True, now=True)
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


OPERATIONS = [
    Operation("put bytes", lambda folder: str(objects_of(folder).put(b"new" * 99)), reads_as(b"new" * 99)),
    Operation("put a large file", _put_streamed, reads_as(LARGE), _make_large),
    Operation("put a tree", _put_tree, _check_tree, _make_tree),
    Operation("put tensors", _put_tensors, _check_tensors),
    Operation("commit a batch", _commit, reads_as(*MIXED)),
    Operation("close packs", _close_packs, reads_as(*(b"packed %d " % number * 30 for number in range(20)))),
    Operation("put what is there", _put_known, reads_as(*KNOWN)),
    Operation("put what is damaged", _heal, reads_as(KNOWN[3], KNOWN[4]), _damage),
    Operation("claim and record", _claim, _check_claim),
    Operation("append records", _append, _check_append),
    Operation("make a store", _make_another, _check_another),
    *([Operation("collect what is dead", _collect, _check_collected, _make_dead)] if COLLECTION is not None else []),
]


class Cases:
    """Runs the cases of one operation.

    Parameters
    ----------
    operation : Operation
        The operation.
    folder : Path
        Where their stores are made.
    """

    def __init__(self, operation: Operation, folder: Path) -> None:
        self.operation = operation
        self._folder = folder
        self._template = folder / "template"
        self._template.mkdir()
        made = run_in_child(self._prepare)
        assert made.error is None, made.trace
        whole = self._copied("whole")
        self.expected = run_in_child(lambda: operation.work(whole))
        assert self.expected.error is None, self.expected.trace
        self.calls = self.expected.calls
        shutil.rmtree(whole)

    def run(self, at: int, mode: str) -> Outcome:
        """Fail at one call, hold the laws against what is left, and return how the operation ended.

        Raises
        ------
        AssertionError
            If a law does not hold; it names the case.
        """
        case = f"{self.operation.name}: call {at} of {len(self.calls)} ({self.calls[at - 1]}), {mode}"
        folder = self._copied("case")
        try:
            ended = run_in_child(lambda: self.operation.work(folder), at, mode)
            if ended.error is not None:
                assert ended.exit_code == 3, f"{case}: the error is not the machine's\n{ended.trace}"
            elif not ended.killed:
                assert ended.result == self.expected.result, f"{case}: a wrong success: {ended.result}"
            after = run_in_child(lambda: self._look(folder, ended))
            assert after.error is None, f"{case}: {after.trace}\nthe operation itself: {ended.trace}"
        finally:
            shutil.rmtree(folder)
        return ended

    def _prepare(self) -> None:
        base(self._template)
        self.operation.prepare(self._template)

    def _look(self, folder: Path, ended: Outcome) -> None:
        acknowledged = ended.error is None and not ended.killed
        # Damage that was planted is the operation's to mend, and not there to be found only when it has.
        planted = self.operation.prepare is _damage
        if acknowledged or not planted:
            assert_sound(folder)
        if not planted:
            assert_base(folder)
        if acknowledged:
            self.operation.check(folder, ended.result)
        again = self.operation.work(folder)
        assert again == self.expected.result, f"done again it gave {again}"
        self.operation.check(folder, again)
        assert_sound(folder)
        assert_base(folder)

    def _copied(self, name: str) -> Path:
        shutil.copytree(self._template, self._folder / name)
        return self._folder / name


def assert_sound(folder: Path) -> None:
    """Assert that the full check finds nothing wrong in the stores of a case."""
    for marker in folder.glob("*/repro-store.json"):
        found = check_store(open_store(marker.parent), full=True)
        assert found.ok, found.document()


def all_cases(cases: Cases) -> Iterator[tuple[int, str]]:
    """Yield every call and mode of an operation."""
    for at in range(1, len(cases.calls) + 1):
        for mode in MODES:
            yield at, mode


def run_table(operations: list[Operation], table: Table, *, told: Callable[[str], None] = lambda line: None) -> None:
    """Run every case of some operations."""
    for operation in operations:
        with tempfile.TemporaryDirectory() as folder:
            cases = Cases(operation, Path(folder))
            told(f"{operation.name}: {len(cases.calls)} calls")
            for at, mode in all_cases(cases):
                ended = cases.run(at, mode)
                table.cases[operation.name, cases.calls[at - 1], mode] += 1
                if ended.error is None and not ended.killed:
                    table.absorbed[operation.name, cases.calls[at - 1]] += 1


def page(table: Table) -> str:
    """Return the table as a page."""
    lines = [
        "# Faults",
        "",
        "Each operation below was run once for every system call that it makes and every way in which the call can",
        "fail: refused with ENOSPC, refused with EIO, done and then reported as failed with EIO, and SIGKILL of the",
        "process in its place. After each case a new process ran the full check (nothing wrong), read back everything",
        "that had been acknowledged (equal), saw the operation's own error (the machine's, exit code 3, never a wrong",
        "success), and did it again (the equal digest). Where a fault could be done without (an index that can be made",
        "again, a folder that was there after all), the operation succeeded, rightly; these cases are in the last",
        "column. A file that is not finished may stay in the temporary folder, and an empty lease in its own.",
        "",
        "`python repro_assets_tests/faults/fault_table.py docs/faults.md` runs it all again and writes this page;",
        "every number counts cases that passed, because the first that does not ends the run.",
        "",
        "| operation | call | ENOSPC | EIO | EIO after it | SIGKILL | succeeded all the same |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for operation, call in dict.fromkeys((operation, call) for operation, call, _ in table.cases):
        counts = " | ".join(str(table.cases[operation, call, mode]) for mode in MODES)
        lines.append(f"| {operation} | `{call}` | {counts} | {table.absorbed[operation, call]} |")
    total = sum(table.cases.values())
    return "\n".join([*lines, "", f"{total:,} cases in all."]) + "\n"


def main() -> None:
    """Run the whole table and write its page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", help="the operations whose name holds this")
    arguments = parser.parse_args()
    table = Table()
    chosen = [operation for operation in OPERATIONS if not arguments.only or arguments.only in operation.name]
    run_table(chosen, table, told=lambda line: print(line, file=sys.stderr, flush=True))
    arguments.page.write_text(page(table), encoding="utf-8")


if __name__ == "__main__":
    main()
