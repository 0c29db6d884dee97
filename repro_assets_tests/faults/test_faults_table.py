"""Every system call of every operation fails or kills once: nothing that was acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fault_table
import pytest
from fault_injection import MODES, run_in_child
from fault_table import OPERATIONS, Cases, Operation, Table, page, run_table, sampled_cases


def run_apart(operation: Operation, *options: str) -> None:
    """Run cases in a process that has not used a remote; an assertion that fails there fails here."""
    command = [sys.executable, fault_table.__file__, "--only", operation.name, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{operation.name}: " in done.stderr, "the operation was not run"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_fault_at_any_call_loses_nothing_and_the_work_can_be_done_again(operation: Operation, tmp_path: Path) -> None:
    if operation.remote:
        run_apart(operation, "--sampled")
        return
    cases = Cases(operation, tmp_path)
    for at, mode in sampled_cases(cases):
        cases.run(at, mode)


@pytest.mark.soak
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_fault_at_every_call(operation: Operation) -> None:
    if operation.remote:
        run_apart(operation)
        return
    table = Table()
    run_table([operation], table)
    assert sum(table.cases.values()) % len(MODES) == 0
    assert f"| {operation.name} |" in page(table)


def test_a_work_that_hides_a_failure_is_found_out(tmp_path: Path) -> None:
    def careless(folder: Path) -> str:
        try:
            (folder / "store" / "made").mkdir()
        except OSError:
            return "made"
        return "made"

    def made(folder: Path, result: object) -> None:
        assert (folder / "store" / "made").is_dir()

    cases = Cases(Operation("careless", careless, made), tmp_path)
    assert cases.calls == ("mkdir",)
    with pytest.raises(AssertionError, match="careless: call 1 of 1"):
        cases.run(1, "full")


def test_a_work_that_leaves_damage_is_found_out(tmp_path: Path) -> None:
    def careless(folder: Path) -> str:
        (pack,) = (folder / "store" / "packs").glob("*.pack")
        data = pack.read_bytes()
        pack.write_bytes(data[:-1])
        (folder / "store" / "spare").mkdir(exist_ok=True)
        pack.write_bytes(data)
        return "rewritten"

    cases = Cases(Operation("careless", careless, lambda folder, result: None), tmp_path)
    with pytest.raises(AssertionError, match="killed"):
        cases.run(1, "killed")


def test_an_error_that_is_not_the_machines_is_found_out(tmp_path: Path) -> None:
    cases = Cases(
        Operation("raw", lambda folder: (folder / "new").mkdir(exist_ok=True), lambda folder, result: None), tmp_path
    )
    with pytest.raises(AssertionError, match="not the machine's"):
        cases.run(1, "broken")


def test_a_killed_child_is_told_from_one_that_failed() -> None:
    assert run_in_child(lambda: Path("/").mkdir(), 1, "killed").killed
    failed = run_in_child(lambda: Path("/nowhere/at/all").mkdir(), 1, "full")
    assert (failed.killed, failed.error, failed.exit_code) == (False, "OSError", None)
