"""The page of what earlier systems promised is true: what it names exists, and no promise is without an answer."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from click import Command

from repro_assets.cli.app import program
from repro_assets.interchange.formats import EXPORTS, IMPORTS

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "repro_assets_tests"
PAGE = PROJECT / "docs" / "coverage.md"
CATALOG = PROJECT / "repro_assets" / "catalog"
DECISION = re.compile(r"\[\d{4}\]\((decisions/\d{4}-[\w-]+\.md)\)")


class Row(NamedTuple):
    """A promise, what has become of it, and what shows that."""

    promised: str
    here: str
    shown_by: str


def rows_of(text: str) -> list[Row]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [Row(*row) for row in cells if row[0] != "promised" and not set(row[0]) <= set("-: ")]


ROWS = rows_of(PAGE.read_text())


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@cache
def names_in(file: Path) -> frozenset[str]:
    """Names of the tests in a file, which is read and not imported."""
    if not file.is_file():
        return frozenset()
    functions = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def unshown(row: Row) -> Iterator[str]:
    """What is wrong with how a promise is shown."""
    declined = row.here.startswith("declined: ")
    decisions = DECISION.findall(row.shown_by)
    named = code(row.shown_by)
    if not all(row):
        yield "a cell is empty"
    if declined != bool(decisions) or declined == bool(named):
        yield "what is declined has a decision, and all else has tests"
    if re.sub(r"`[^`]+`|\[\d{4}\]\([^)]+\)|, ", "", row.shown_by):
        yield "neither a test nor a decision"
    yield from (f"no {file}" for file in decisions if not (PAGE.parent / file).is_file())
    for test in named:
        file, _, name = test.partition("::")
        if name not in names_in(TESTS / file):
            yield f"no test {test}"


def commands(command: Command, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], Command]:
    members: dict[str, Command] | None = getattr(command, "commands", None)
    if members is None:
        return {words: command}
    return {path: leaf for name, member in members.items() for path, leaf in commands(member, (*words, name)).items()}


COMMANDS = commands(typer.main.get_command(program()))


def unknown_commands(row: Row) -> Iterator[str]:
    for text in code(row.here):
        if not text.startswith("repro "):
            continue
        words = shlex.split(text)[1:]
        path = next((tuple(words[:n]) for n in (3, 2, 1) if tuple(words[:n]) in COMMANDS), None)
        # `repro attest RUN` is a command of a group whose name is a placeholder.
        path = ("attest", "RUN") if words[:2] == ["attest", "RUN"] else path
        if path is None:
            yield f"no command {text}"
            continue
        # What stands behind -- is somebody else's command.
        ours = words[: words.index("--")] if "--" in words else words
        options = {name for option in COMMANDS[path].params for name in (*option.opts, *option.secondary_opts)}
        yield from (f"no option {word} of {text}" for word in ours if word.startswith("--") and word not in options)
        formats = {("export",): EXPORTS, ("import",): IMPORTS}.get(path, {})
        yield from (
            f"no format {word} of {text}"
            for before, word in itertools.pairwise(ours)
            if before == "--format" and formats and word not in formats
        )
        yield from (f"no file {word}" for word in ours if word.startswith("configs/") and not (PROJECT / word).exists())


def unknown_names(row: Row) -> Iterator[str]:
    for name in re.findall(r"`(repro_assets(?:\.\w+)+)`", row.here):
        if not is_there(name):
            yield f"no {name}"


def is_there(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one."""
    parts = name.split(".")
    found: Any = None
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        break
    return found is not None


def unknown_tables(row: Row) -> Iterator[str]:
    text = (CATALOG / "schema.sql").read_text() + (CATALOG / "views.sql").read_text()
    for words, names in re.findall(r"\b(table|view|macro)s? ((?:`\w+`(?:, | and )?)+)", row.here):
        for name in code(names):
            if not re.search(rf"^CREATE {words.upper()} {name}\b", text, re.MULTILINE):
                yield f"no {words} {name}"


CHECKS = (unshown, unknown_commands, unknown_names, unknown_tables)


def wrong(row: Row, checks: tuple[Callable[[Row], Iterator[str]], ...] = CHECKS) -> list[str]:
    return [f"{row.promised}: {what}" for check in checks for what in check(row)]


def test_every_row_is_shown_by_a_test_or_a_decision() -> None:
    assert len(ROWS) > 150
    assert [what for row in ROWS for what in wrong(row, (unshown,))] == []


def test_every_command_and_option_exists() -> None:
    assert [what for row in ROWS for what in wrong(row, (unknown_commands,))] == []


def test_every_python_name_exists() -> None:
    assert [what for row in ROWS for what in wrong(row, (unknown_names,))] == []


def test_every_table_view_and_macro_exists() -> None:
    assert [what for row in ROWS for what in wrong(row, (unknown_tables,))] == []


def test_no_promise_stands_twice() -> None:
    promised = [row.promised for row in ROWS]
    assert len(set(promised)) == len(promised)


TEST = "`docs/test_coverage.py::test_no_promise_stands_twice`"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"| a | `repro runs list --limit 3`, table `runs`, `repro_assets.Experiment.start` | {TEST} |", []),
        ("| a | declined: b | [0027](decisions/0027-no-model-serving.md) |", []),
        (f"| a |  | {TEST} |", ["a cell is empty"]),
        ("| a | b |  |", ["a cell is empty", "what is declined has a decision, and all else has tests"]),
        (f"| a | declined: b | {TEST} |", ["what is declined has a decision, and all else has tests"]),
        (
            "| a | b | see elsewhere |",
            ["what is declined has a decision, and all else has tests", "neither a test nor a decision"],
        ),
        ("| a | declined: b | [0027](decisions/0027-no-such.md) |", ["no decisions/0027-no-such.md"]),
        ("| a | b | `docs/test_coverage.py::test_none` |", ["no test docs/test_coverage.py::test_none"]),
        ("| a | b | `docs/test_none.py::test_a` |", ["no test docs/test_none.py::test_a"]),
        (f"| a | `repro serve` | {TEST} |", ["no command repro serve"]),
        (f"| a | `repro runs lst` | {TEST} |", ["no command repro runs lst"]),
        (f"| a | `repro train --lora` | {TEST} |", ["no option --lora of repro train --lora"]),
        (f"| a | `repro export RUN --format fax` | {TEST} |", ["no format fax of repro export RUN --format fax"]),
        (f"| a | `repro train --config configs/a.yaml` | {TEST} |", ["no file configs/a.yaml"]),
        (f"| a | `repro_assets.Experiment.begun` | {TEST} |", ["no repro_assets.Experiment.begun"]),
        (f"| a | `repro_assets.nothing` | {TEST} |", ["no repro_assets.nothing"]),
        (f"| a | tables `runs`, `metric` | {TEST} |", ["no table metric"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row_is_found(line: str, found: list[str]) -> None:
    (row,) = rows_of(line)
    assert wrong(row) == [f"a: {what}" for what in found]
