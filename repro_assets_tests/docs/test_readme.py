"""The README and the pages behind it say what is so.

Every line of a ``console`` block and every ``sql`` or ``python`` block is executed, in a copy of the project with a
small store of its own. There training is shortened, and what is only shown for its words makes fewer assets. Blocks of
the kinds ``sh`` and ``text`` are not executed: they hold make's commands, what takes minutes, and shortened output.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import typer.main

from repro_assets import errors
from repro_assets.cli.app import main, program

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"
RESULTS = PROJECT / "docs" / "results.md"
REPLAY = PROJECT / "docs" / "replay.md"
DETERMINISM = PROJECT / "docs" / "determinism.md"
ENVIRONMENT = PROJECT / "docs" / "environment.md"
EVALUATION = PROJECT / "docs" / "evaluation.md"
RUNS = PROJECT / "docs" / "runs.md"
LINEAGE = PROJECT / "docs" / "lineage.md"
NOTEBOOK = PROJECT / "docs" / "notebook.ipynb"
PAGES = (README, *sorted((PROJECT / "docs").rglob("*.md")))
SHORT = {"sft": "sft.steps=20", "rft": "rft.steps=2"}
BIN = Path(sys.executable).parent


def _blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def _commands(page: Path) -> list[str]:
    return [
        line.removeprefix("$ ")
        for block in _blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def _table(page: Path, heading: str) -> list[list[str]]:
    """Cells of the table whose first column is headed so, heading row and ruler left out."""
    found = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[ |:-]+\|\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    assert found is not None, f"{page.name} has no table headed {heading}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.group(1).splitlines()]


def _leaves(command: click.Command, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    members: dict[str, click.Command] | None = getattr(command, "commands", None)
    if members is None:
        return {words: command}
    return {path: leaf for name, member in members.items() for path, leaf in _leaves(member, (*words, name)).items()}


LEAVES = _leaves(typer.main.get_command(program()))


def _leaf(words: list[str]) -> tuple[tuple[str, ...], click.Command]:
    for length in (3, 2, 1):
        path = tuple(words[1 : 1 + length])
        if path in LEAVES:
            return path, LEAVES[path]
    raise AssertionError(f"{shlex.join(words)} is no command of repro")


def _options(command: click.Command) -> set[str]:
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


@dataclass(frozen=True)
class Copy:
    """A copy of the project in which the default job has run."""

    root: Path
    products: list[dict[str, str]]

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        program = [sys.executable, "-m", "repro_assets.cli.app"] if words[0] == "repro" else [str(BIN / words[0])]
        environment = {name: value for name, value in os.environ.items() if name not in ("REPRO_HOME", "DAGSTER_HOME")}
        return subprocess.Popen(
            [*program, *words[1:]],
            cwd=self.root,
            env={**environment, "PYTHONPATH": str(self.root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, words: list[str]) -> str:
        process = self.start(words)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, f"{shlex.join(words)}\n{out}\n{err}"
        return out

    def sql(self, query: str) -> str:
        return self.say(["duckdb", "-readonly", "-csv", "data/catalog.duckdb", query])


def _shortened(words: list[str]) -> list[str]:
    """Select less where a command selects nothing, train for fewer steps, and let two seeds stand for three."""
    if words[:2] != ["repro", "run"]:
        return words
    words = ["0-1" if word == "0-2" else word for word in words]
    if "--select" not in words:
        words = [*words, "--select", "models/sft" if any("sft." in word for word in words) else "data/digits"]
    chosen = words[words.index("--select") + 1]
    return [
        *words,
        *(word for asset, steps in SHORT.items() if chosen == f"models/{asset}" for word in ("--set", steps)),
    ]


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    root = tmp_path_factory.mktemp("readme") / "project"
    shutil.copytree(PROJECT / "repro_assets", root / "repro_assets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "data" / "raw", root / "data" / "raw")
    shutil.copytree(PROJECT / "configs", root / "configs")
    for name in ("pyproject.toml", "workspace.yaml", ".gitignore"):
        shutil.copy(PROJECT / name, root / name)
    git = ["git", "-c", "user.name=reader", "-c", "user.email=reader@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "As cloned"]):
        subprocess.run([*git, *words], cwd=root, check=True, capture_output=True)
    answer = json.loads(
        Copy(root, []).say(["repro", "run", "--json", *(word for steps in SHORT.values() for word in ("--set", steps))])
    )
    return Copy(root, answer["products"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        command
        for command in dict.fromkeys(
            shown
            for page in (README, REPLAY, DETERMINISM, ENVIRONMENT, EVALUATION, LINEAGE)
            for shown in _commands(page)
        )
        if "--force" not in command
    ],
)
def test_each_command_does_what_it_is_shown_for(
    copy: Copy, command: str, begun: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _shortened(shlex.split(command))
    if words[0] == "repro":
        monkeypatch.chdir(copy.root)
        capsys.readouterr()
        code = main(words[1:])
        said, trouble = capsys.readouterr()
        assert code == 0, f"{shlex.join(words)}\n{said}\n{trouble}"
    else:
        said = copy.say(words)
    if "replay" in command:
        assert "identical" in said.splitlines()
    if "--to" in command:
        assert (copy.root / shlex.split(command)[-1]).exists()


def test_the_python_of_the_page_on_determinism_does_what_it_says(tmp_path: Path) -> None:
    program = "import warnings; warnings.simplefilter('ignore')\n" + "\n".join(_blocks(DETERMINISM, "python"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = [block.splitlines()[-1] for block in _blocks(DETERMINISM, "python") if "print(" in block]
    assert len(shown) == 2 and "torch.nn.modules.linear.Linear" in done.stdout
    assert "uuid:uuid4 is not deterministic: content differs" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [query for page in (README, RESULTS, REPLAY, ENVIRONMENT, EVALUATION, LINEAGE) for query in _blocks(page, "sql")],
)
def test_each_query_is_answered(copy: Copy, query: str) -> None:
    if "FROM replays" in query and "0" in copy.sql("SELECT count(*) FROM replays").split():
        copy.say(["repro", "replay", "dataset-digits"])
    assert len(copy.sql(query).splitlines()) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", [block for page in (ENVIRONMENT, EVALUATION, RUNS, LINEAGE) for block in _blocks(page, "python")]
)
def test_each_program_runs(copy: Copy, program: str) -> None:
    copy.say(["python", "-c", program])


@pytest.mark.slow
def test_the_notebook_was_executed_and_its_cells_run(copy: Copy) -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 6
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output["output_type"] == "execute_result" for cell in cells for output in cell["outputs"])
    html = [output["data"].get("text/html") for cell in cells for output in cell["outputs"]]
    assert sum(text is not None for text in html) >= 6, "tables are shown as tables"
    copy.say(["python", "-c", "\n\n".join("".join(cell["source"]) for cell in cells)])


@pytest.mark.slow
def test_the_one_query_names_data_set_commit_hardware_and_seed_also_while_a_run_is_writing(copy: Copy) -> None:
    query = next(shlex.split(command)[-1] for command in _commands(README) if "provenance" in command)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=copy.root, capture_output=True, text=True, check=True
    ).stdout.strip()
    (model,) = [product["name"] for product in copy.products if product["asset"] == "models/sft"]
    (shown,) = [shlex.split(command) for command in _commands(README) if "--force" in command]
    writing = copy.start(shown)
    answers = []
    while writing.poll() is None:
        answers.append(copy.sql(query))
    out, err = writing.communicate()
    assert writing.returncode == 0, err
    assert " no " in out and " yes " not in out, "what is forced is not reused"
    assert len(answers) > 3
    for answer in answers:
        (row,) = [line for line in answer.splitlines() if line.startswith(f"{model},dataset-cota_sft-v1,{commit},")]
        hardware, seed = row.split(",")[3:]
        assert hardware and seed == "0"


@pytest.mark.slow
def test_the_default_job_makes_as_many_assets_as_stated(copy: Copy) -> None:
    (stated,) = re.findall(r"makes (\d+) assets", README.read_text())
    assert len({product["asset"] for product in copy.products}) == int(stated)
    (counting,) = [shlex.split(command)[-1] for command in _commands(README) if "count(" in command]
    shown = {line.split(",")[0] for line in copy.sql(counting).splitlines()[1:]}
    assert {product["asset"] for product in copy.products} <= shown


@pytest.mark.slow
def test_the_table_of_places_names_everything_in_the_store(copy: Copy) -> None:
    stated = set(re.findall(r"`data/([^`/]+)/?`", " ".join(row[0] for row in _table(README, "place"))))
    there = {path.name for path in (copy.root / "data").iterdir()}
    assert there <= stated
    assert stated - there <= {"quarantine", "retention.json"}, (
        "a sound store has no damaged objects, rules if it was told"
    )


def test_the_readme_shows_the_two_commands_first() -> None:
    assert README.read_text().split("```")[1] == "sh\nmake run\nmake test\n"
    assert len(README.read_text().splitlines()) <= 275


def test_each_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert {"run", "test", "ui"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [
        target for target in targets if not target.startswith("http") and not (page.parent / target).resolve().exists()
    ]
    assert not missing


def test_the_readme_leads_to_every_page() -> None:
    reached = {(README.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)", README.read_text())}
    assert {page for page in PAGES if page != README and page.parent.name == "docs"} <= reached


def test_the_readme_names_every_command_and_only_such_as_exist() -> None:
    named = {_leaf(shlex.split(command))[0] for command in _commands(README) if command.startswith("repro ")}
    named |= {_leaf(text.split())[0] for text in re.findall(r"`(repro [^`]*)`", _prose(README))}
    assert named == set(LEAVES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_option_that_is_named_exists(page: Path) -> None:
    for command in _commands(page):
        if command.startswith("repro "):
            words = shlex.split(command)
            given = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert given <= _options(_leaf(words)[1]), command
    known = {option for command in LEAVES.values() for option in _options(command)}
    named = set(re.findall(r"`(?:repro [^`]*)?(--[a-z-]+)", _prose(page)))
    assert named <= known | {"--help"}


def test_the_exit_codes_are_those_of_the_errors() -> None:
    raised = {
        member.exit_code
        for member in vars(errors).values()
        if isinstance(member, type) and member.__module__ == errors.__name__
    }
    stated = {int(row[0]) for row in _table(README, "code")}
    assert raised | {0, 4, 130} == stated


def test_the_readme_has_the_table_of_the_results() -> None:
    def whole(page: Path) -> list[str]:
        return re.findall(r"^\| reader \| accuracy.*\n(?:\|.*\n)+", page.read_text(), re.MULTILINE)

    assert len(whole(README)) == 1
    assert whole(README) == whole(RESULTS)


def test_mean_and_spread_are_those_of_the_seeds() -> None:
    columns = ("accuracy, greedy", "looks", "reward", "accuracy, sampled")
    seeds = {
        (reader, figure): [float(value) for value in values]
        for reader, figure, *values in (row for row in _table(RESULTS, "reader | figure"))
    }
    compared = 0
    for reader, *cells in _table(RESULTS, "reader | accuracy, greedy"):
        for figure, cell in zip(columns, cells, strict=True):
            if "±" in cell:
                mean, spread = (float(text) for text in cell.split("±"))
                # The seeds are given to four places; half a unit of the shown last place comes on top.
                place = 0.5 * 10.0 ** -len(cell.split("±")[0].strip().partition(".")[2]) + 0.0001
                values = seeds.pop((reader, figure))
                assert abs(statistics.mean(values) - mean) <= place
                assert abs(statistics.stdev(values) - spread) <= place
                compared += len(values) == 5
    assert compared == 13 and not seeds
