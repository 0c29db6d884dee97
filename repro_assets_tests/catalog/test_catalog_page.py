from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

import repro_assets
from repro_assets.artifacts import repository
from repro_assets.catalog import publication
from repro_assets.catalog.projection import refresh
from repro_assets.identity.digest import Digest
from repro_assets.journal import run_records

PAGE = Path(repro_assets.__file__).parents[1] / "docs" / "catalog.md"
ROW = re.compile(r"^\| `([^`]+)` \| (?:([^|]+) \| )?(.*) \|$", re.MULTILINE)


@pytest.fixture
def schema():
    with duckdb.connect(":memory:") as connection:
        connection.execute(publication.schema_text())
        yield connection


def described() -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """Comment and columns of each table and view, as the page has them."""
    found = {}
    for section in PAGE.read_text("utf-8").split("\n### ")[1:]:
        name, _, rest = section.partition("\n")
        body = rest.split("\n## ")[0]
        found[name] = (body.strip().split("\n")[0], ROW.findall(body))
    return found


def test_the_page_and_the_schema_say_the_same(schema):
    page = described()
    inherited = {name for name, _, _ in page["runs"][1]}
    actual = {}
    for kind, column in (("tables", "table_name"), ("views", "view_name")):
        for namespace, name, comment in schema.execute(
            f"SELECT schema_name, {column}, comment FROM duckdb_{kind}() WHERE NOT internal"
        ).fetchall():
            columns = schema.execute(
                "SELECT column_name, data_type, comment FROM duckdb_columns() "
                "WHERE schema_name = ? AND table_name = ? ORDER BY column_index",
                [namespace, name],
            ).fetchall()
            if name == "runs_wide":
                columns = [column for column in columns if column[0] not in inherited]
            actual[name if namespace == "main" else f"{namespace}.{name}"] = (comment, columns)
    assert page == actual
    macros = schema.execute(
        "SELECT function_name || '(' || list_aggregate(parameters, 'string_agg', ', ') || ')', comment "
        "FROM duckdb_functions() WHERE NOT internal AND function_type = 'table_macro' ORDER BY 1"
    ).fetchall()
    section = PAGE.read_text("utf-8").split("\n## Macros\n")[1]
    assert [(name, meaning) for name, _, meaning in ROW.findall(section)] == macros


def test_every_column_is_explained(schema):
    assert (
        schema.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL "
            "AND NOT (table_name = 'runs_wide' AND column_name IN "
            "(SELECT column_name FROM duckdb_columns() WHERE table_name = 'runs'))"
        ).fetchall()
        == []
    )


def test_every_example_on_the_page_answers(home, recorder, traced, span):
    recorder.run("RUN", 0, config={"learning_rate": 0.01}, tags=["study=STUDY"])
    recorder.run("OTHER", 1)
    nothing = str(Digest.of(b""))
    recorder.journal.append(
        run_records.Params("RUN", {"learning_rate": 0.01}),
        run_records.Metrics.of("RUN", [["validation/accuracy", 1, 0.9, 0.0], ["train/loss", 1, 0.1, 0.0]]),
        run_records.Metrics.of("RUN", [["memory_available_bytes", None, 1e9, 0.0]], system=True),
        run_records.RunOutput("RUN", "dataset", nothing, "dataset-cota_sft-v1", asset="data/cota_sft"),
        run_records.RunInput("OTHER", "dataset", nothing, made_by="RUN"),
        run_records.ReplayMade("RUN", None, "identical"),
        run_records.RunResumed("OTHER", "RUN", "checkpoint_step_10", nothing, 10),
        run_records.EvaluationMade("RUN", "eval", "model", "data", nothing, {"accuracy_greedy": 0.9}),
        run_records.CurriculumChanged("RUN", 0, None, "easy", "start", {}, {"simple": 1.0, "medium": 0.0, "hard": 0.0}),
        run_records.RunEnded("OTHER", "FAILED", {"type": "ValueError", "message": "no"}),
        run_records.ReadingsMissing("RUN", {"gpu": "no driver"}),
        run_records.ConsoleKept("RUN", "stderr", "step 1\nthe loss is NaN\n", 22, 0),
        run_records.UndeclaredInputs(
            "RUN", [{"kind": "file", "name": "a.cache", "count": 1, "size": 3, "mtime_ns": 5}]
        ),
        run_records.RunTagged("RUN", ["for-the-paper"], []),
    )
    traced(home, span("train", kind="stage", run="RUN"))
    one, other = (str(repository.put(home, {"value": number}).digest) for number in (1, 2))
    refresh(home)
    page = PAGE.read_text("utf-8").replace("sha256:1…", one).replace("sha256:2…", other)
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    statements = [text.strip() for block in blocks for text in block.split(";") if text.strip()]
    assert len(statements) >= 13
    may_be_empty = {
        "FROM damages",
        "FROM environment_diff('RUN', 'OTHER')",
    }
    with duckdb.connect(str(home.catalog), read_only=True) as connection:
        for statement in statements:
            found = connection.execute(statement).fetchall()
            assert found or statement in may_be_empty, statement
            if "learning_rate" in statement:
                column = [name for name, *_ in connection.description].index("learning_rate")
                assert any(row[column] is not None for row in found), statement
