"""What a store looks like after every system call of every operation has failed once, in every way.

Laws, for each case: afterwards a new process finds nothing wrong in the store with the full check; everything that was
acknowledged reads back equal, what the failed operation acknowledged included; an error is the machine's (exit code 3)
and a success is a right one; doing it again succeeds with the equal result.

An operation is a line of `OPERATIONS` in a module beside this one: every suite and the table have it. The
table is written by ``python repro_assets_tests/faults/fault_table.py docs/faults.md``.
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

import fault_merging
import fault_operations
import fault_remotes
from fault_injection import MODES, Outcome, run_in_child
from fault_operations import Operation, assert_base, assert_sound, base, plant_damage

OPERATIONS = [*fault_operations.OPERATIONS, *fault_merging.OPERATIONS, *fault_remotes.OPERATIONS]


@dataclass
class Table:
    """What was run: cases by operation, call and mode, and what each law says of it."""

    cases: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    absorbed: Counter[tuple[str, str]] = field(default_factory=Counter)
    sampled: Counter[str] = field(default_factory=Counter)


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
        planted = self.operation.prepare is plant_damage
        if acknowledged or not planted:
            assert_sound(folder)
        if not planted:
            assert_base(folder)
        self.operation.after(folder)
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


def all_cases(cases: Cases) -> Iterator[tuple[int, str]]:
    """Yield every call and mode of an operation."""
    for at in range(1, len(cases.calls) + 1):
        for mode in MODES:
            yield at, mode


def sampled_cases(cases: Cases) -> Iterator[tuple[int, str]]:
    """Yield few calls of an operation: of each function one that kills, and another that fails in one of the ways."""
    places: dict[str, list[int]] = {}
    for at, call in enumerate(cases.calls, 1):
        places.setdefault(call, []).append(at)
    for number, at in enumerate(places.values()):
        yield at[number % len(at)], "killed"
        yield at[-1 - number % len(at)], MODES[number % 3]


def run_table(
    operations: list[Operation],
    table: Table,
    choice: Callable[[Cases], Iterator[tuple[int, str]]] = all_cases,
    *,
    told: Callable[[str], None] = lambda line: None,
) -> None:
    """Run the chosen cases of some operations."""
    for operation in operations:
        with tempfile.TemporaryDirectory() as folder:
            cases = Cases(operation, Path(folder))
            told(f"{operation.name}: {len(cases.calls)} calls")
            table.sampled[operation.name] = len(list(sampled_cases(cases)))
            for at, mode in choice(cases):
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
        "A remote is a folder here, and what the library for remotes does in one call is one call of the table",
        "(`remote put`); its SIGKILL comes when half of the bytes are in the remote's folder. After each case of a",
        "push a store that has never seen the remote pulls everything from it and is checked in full as well.",
        "",
        "`python repro_assets_tests/faults/fault_table.py docs/faults.md` runs it all again and writes this page, but",
        "for the sections below; every number counts cases that passed, because the first that does not ends the run.",
        "",
        "| operation | call | ENOSPC | EIO | EIO after it | SIGKILL | succeeded all the same |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for operation, call in dict.fromkeys((operation, call) for operation, call, _ in table.cases):
        counts = " | ".join(str(table.cases[operation, call, mode]) for mode in MODES)
        lines.append(f"| {operation} | `{call}` | {counts} | {table.absorbed[operation, call]} |")
    total, sampled = sum(table.cases.values()), sum(table.sampled.values())
    counted = f"{total:,} cases in all, which `make soak` runs; of these `make test` runs {sampled}."
    return "\n".join([*lines, "", counted]) + "\n"


def rewritten(text: str, table: Table) -> str:
    """Return the text of a page with this table in it, and with the sections that it had."""
    return page(table) + "".join(text.partition("\n## ")[1:])


def main() -> None:
    """Run the table and write its page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="what the table is written into")
    parser.add_argument("--only", help="only the operation of this name")
    parser.add_argument("--sampled", action="store_true", help="only the cases that are in the suite")
    arguments = parser.parse_args()
    table = Table()
    chosen = [operation for operation in OPERATIONS if arguments.only in (None, operation.name)]
    choice = sampled_cases if arguments.sampled else all_cases
    run_table(chosen, table, choice, told=lambda line: print(line, file=sys.stderr, flush=True))
    if arguments.page is not None:
        before = arguments.page.read_text("utf-8") if arguments.page.is_file() else ""
        arguments.page.write_text(rewritten(before, table), encoding="utf-8")


if __name__ == "__main__":
    main()
