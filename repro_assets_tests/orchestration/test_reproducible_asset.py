from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from repro_assets import orchestration, reproducible
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue, NoStore
from repro_assets.orchestration import (
    Repro,
    Run,
    reproducible_asset,
    reproducible_definitions,
    reproducible_multi_asset,
    reproducible_resources,
)
from repro_assets.store.home import Home, make_store

calls: list[str] = []


class Size(dg.Config):
    size: int = 3


class Unit(dg.ConfigurableResource):
    name: str = "mm"


@reproducible_asset(group_name="g", kinds={"table"}, files={"file": "fields.csv"}, collection="dataset-fields")
def table(file: Path) -> pd.DataFrame:
    """Fields."""
    calls.append("table")
    return pd.read_csv(file)


@reproducible_asset(key_prefix="made", ins={"table": dg.AssetIn("table")})
def numbers(
    context: dg.AssetExecutionContext, table: pd.DataFrame, config: Size, run: Run, unit: Unit
) -> dict[str, Any]:
    calls.append("numbers")
    run.log_metric("rows", len(table))
    values = {"drawn": np.random.standard_normal(config.size), "seed": run.seeds.derive("mine") % 97}
    return {**values, "unit": unit.name, "asset": context.asset_key.to_user_string()}


@reproducible_asset
def handled(numbers: Artifact, table: Path) -> dict[str, Any]:
    calls.append("handled")
    return {"kind": numbers.kind, "is_file": table.is_file()}


@reproducible_asset(seeded=False, reuse=False)
def unseeded() -> dict[str, Any]:
    return {"drawn": np.random.standard_normal(3)}


days = dg.StaticPartitionsDefinition(["monday", "tuesday"])


@reproducible_asset(partitions_def=days, collection="day-{partition}")
def daily(context: dg.AssetExecutionContext) -> dict[str, str]:
    return {"day": context.partition_key}


@reproducible_asset
def week(daily: dict[str, Any]) -> list[str]:
    calls.append("week")
    return sorted(f"{day}={value['day']}" for day, value in daily.items())


@reproducible_asset(ins={"daily": dg.AssetIn("daily")})
def digests(daily: dict[str, Artifact]) -> dict[str, str]:
    return {day: str(handle.digest) for day, handle in daily.items()}


@reproducible_multi_asset(outs={"low": dg.AssetOut(), "high": dg.AssetOut()}, can_subset=True)
def halves(config: Size) -> tuple[list[int], list[int]]:
    calls.append("halves")
    return list(range(config.size)), list(range(config.size, 2 * config.size))


@reproducible_multi_asset(outs={"only": dg.AssetOut()})
def single() -> dict[str, Any]:
    return {"only": {"is": 1}}


def made_by_a_function(factor: int, name: str) -> dg.AssetsDefinition:
    @reproducible_asset(name=name)
    def scaled() -> int:
        calls.append(name)
        return factor * 2

    return scaled


two, three = made_by_a_function(2, "two"), made_by_a_function(3, "three")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pyproject.toml").write_text("[project]\nname = 'p'\n")
    (tmp_path / "project" / "fields.csv").write_text("rain\n1.5\n2.5\n")
    monkeypatch.chdir(tmp_path / "project")
    home = make_store(tmp_path / "store")
    monkeypatch.setenv("REPRO_HOME", str(home.root))
    calls.clear()
    return home


Make = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def make(home: Home) -> Make:
    """Materializes assets in this process, with an instance that lives as long as the test."""
    with dg.DagsterInstance.ephemeral() as instance:

        def materialize(*assets: Any, resources: dict[str, Any] | None = None, **asked: Any) -> Any:
            ours = reproducible_resources(capture_level="basic", monitor=False, seed=asked.pop("seed", 0))
            given = {**ours, "unit": Unit(), **(resources or {})}
            return dg.materialize([*assets], resources=given, instance=instance, **asked)

        yield materialize


def facts(result: dg.ExecuteInProcessResult, node: str) -> dict[str, Any]:
    found = {}
    for event in result.asset_materializations_for_node(node):
        found[event.asset_key.to_user_string()] = {name: value.value for name, value in event.metadata.items()}
    return found


def test_each_parameter_gets_what_its_annotation_says(make: Make, home: Home) -> None:
    result = make(table, numbers, handled, run_config={"ops": {"made__numbers": {"config": {"size": 5}}}})
    value = result.asset_value(["made", "numbers"]).load()
    assert (value["drawn"].shape, value["unit"], value["asset"]) == ((5,), "mm", "made/numbers")
    assert result.asset_value("handled").load() == {"kind": "tensors", "is_file": True}
    assert list(result.asset_value("table").load()["rain"]) == [1.5, 2.5]
    rows = queries.rows(home, "SELECT asset, recipe, seed, config, code_version FROM runs WHERE run_kind = 'asset'")
    runs = {row["asset"]: row for row in rows}
    assert runs["made/numbers"]["recipe"] == f"{__name__}:numbers"
    assert json.loads(runs["made/numbers"]["config"]) == {"size": 5} and runs["made/numbers"]["seed"] == 0
    slots = queries.rows(home, "SELECT slot FROM run_inputs ORDER BY slot")
    assert [row["slot"] for row in slots] == ["file", "numbers", "table", "table"]
    metrics = queries.rows(home, "SELECT name, value FROM metrics_last")
    assert metrics == [{"name": "rows", "value": 2.0}]
    assert facts(result, "table")["table"]["name"] == "dataset-fields"


def test_the_same_work_is_reused_and_loads_nothing(make: Make, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(table, numbers, handled)
    assert calls == ["table", "numbers", "handled"]

    def fail(self: Artifact) -> Any:
        raise AssertionError("a value was loaded")

    with monkeypatch.context() as patched:
        patched.setattr(Artifact, "load", fail)
        second = make(table, numbers, handled)
    assert calls == ["table", "numbers", "handled"]
    assert all(facts(second, node)[key]["reused"] for node, key in (("table", "table"), ("handled", "handled")))
    assert first.asset_value("handled") == second.asset_value("handled")
    make(table, numbers, handled, run_config={"ops": {"made__numbers": {"config": {"force": True}}}})
    assert calls[3:] == ["numbers"]
    Path("fields.csv").write_text("rain\n1.5\n9.5\n")
    make(table, numbers, handled)
    assert calls[4:] == ["table", "numbers", "handled"]


def test_global_generators_are_seeded_by_the_run_and_only_where_that_is_asked_for(make: Make, home: Home) -> None:
    def drawn(asset: Any, key: Any, **asked: Any) -> list[float]:
        forced = {"resources": {"repro": {"config": {"force": True}}}}
        values: list[float] = make(table, asset, run_config=forced, **asked).asset_value(key).load()["drawn"].tolist()
        return values

    assert drawn(numbers, ["made", "numbers"]) == drawn(numbers, ["made", "numbers"])
    assert drawn(numbers, ["made", "numbers"], seed=1) != drawn(numbers, ["made", "numbers"])
    assert drawn(unseeded, "unseeded") != drawn(unseeded, "unseeded")
    (said,) = queries.rows(
        home, "SELECT DISTINCT settings ->> 'global_generators' AS said FROM runs WHERE asset = 'unseeded'"
    )
    assert said["said"] == "not seeded"
    (said,) = queries.rows(
        home, "SELECT DISTINCT settings ->> 'global_generators' AS said FROM runs WHERE asset = 'made/numbers'"
    )
    assert said["said"] is None


def test_what_is_not_to_be_reused_is_made_again(make: Make) -> None:
    first, second = (facts(make(unseeded), "unseeded")["unseeded"] for _ in range(2))
    assert first["run"] != second["run"] and not second["reused"]


def test_an_unpartitioned_asset_gets_all_partitions_by_key(make: Make, home: Home) -> None:
    for day in days.get_partition_keys():
        make(daily, partition_key=day)
    result = make(daily, week, digests, selection=["week", "digests"])
    assert result.asset_value("week").load() == ["monday=monday", "tuesday=tuesday"]
    assert set(result.asset_value("digests").load()) == {"monday", "tuesday"}
    slots = queries.rows(home, "SELECT partition FROM run_inputs WHERE slot = 'daily' ORDER BY 1")
    assert [row["partition"] for row in slots] == ["monday", "monday", "tuesday", "tuesday"]
    make(daily, week, digests, selection=["week"])
    assert calls == ["week"]
    assert {row["collection"] for row in queries.rows(home, "SELECT collection FROM run_outputs")} >= {"day-monday"}


def test_several_outputs_are_one_run_and_a_part_of_them_is_other_work(make: Make, home: Home) -> None:
    part = make(halves, selection=["high"])
    assert part.asset_value("high").load() == [3, 4, 5]
    assert [row["asset"] for row in queries.rows(home, "SELECT asset FROM run_outputs")] == ["high"]
    whole = make(halves)
    assert (whole.asset_value("low").load(), whole.asset_value("high").load()) == ([0, 1, 2], [3, 4, 5])
    assert calls == ["halves", "halves"]
    make(halves)
    make(halves, selection=["high"])
    assert calls == ["halves", "halves"]
    assert make(single).asset_value("only").load() == {"is": 1}


def test_assets_of_one_factory_do_not_reuse_each_other(make: Make) -> None:
    assert make(two, three).asset_value("two").load() == 4
    assert make(two, three).asset_value("three").load() == 6
    assert sorted(calls) == ["three", "two"]
    other = made_by_a_function(5, "two")
    assert make(other).asset_value("two").load() == 10


def test_what_another_io_manager_loads_is_stored_as_an_input(make: Make, home: Home) -> None:
    class Theirs(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
            self.value = obj

        def load_input(self, context: dg.InputContext) -> Any:
            return self.value

    @dg.asset(io_manager_key="theirs")
    def foreign() -> dict[str, float]:
        return {"level": 2.5}

    @reproducible_asset
    def above(foreign: dict[str, float]) -> float:
        return foreign["level"] + 1

    result = make(foreign, above, resources={"theirs": Theirs()})
    assert result.asset_value("above").load() == 3.5
    rows = queries.rows(home, "SELECT slot, i.asset, digest FROM run_inputs i JOIN runs USING (run_id)")
    assert [(row["slot"], row["asset"]) for row in rows] == [("foreign", "foreign")]


def test_what_a_reproducible_function_does_inside_belongs_to_the_assets_run(make: Make, home: Home) -> None:
    @reproducible("inner")
    def inner(factor: int) -> int:
        return factor + 1

    @reproducible_asset(name="outer")
    def outer() -> int:
        return inner(4)

    assert make(outer).asset_value("outer").load() == 5
    rows = queries.rows(home, "SELECT run_kind, name FROM runs WHERE run_kind <> 'parent'")
    assert [row["run_kind"] for row in rows] == ["asset"]
    assert queries.rows(home, "SELECT name FROM params") == [{"name": "factor"}]


def test_the_asset_keeps_signature_text_and_function_of_what_it_was_made_of() -> None:
    assert list(inspect.signature(table).parameters) == ["file"]
    assert inspect.getdoc(table) == "Fields."
    assert table.descriptions_by_key[table.key] == "Fields."
    assert inspect.unwrap(made_by_a_function(4, "four"))() == 8
    assert numbers.op.name == "made__numbers" and numbers.group_names_by_key[numbers.key] == "default"
    assert table.group_names_by_key[table.key] == "g"


def test_an_asset_without_a_store_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    monkeypatch.delenv("REPRO_HOME")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dg.DagsterError) as raised:
        dg.materialize([two], resources=reproducible_resources())
    assert isinstance(raised.value.__cause__, NoStore) and "set REPRO_HOME" in str(raised.value.__cause__)


def test_another_io_manager_and_another_repro_are_refused(make: Make) -> None:
    with pytest.raises(InvalidValue, match="would go to an InMemoryIOManager"):
        make(two, resources={"io_manager": dg.mem_io_manager})
    with pytest.raises(InvalidValue, match="the resource repro is a str"):
        reproducible_definitions([two], resources={"repro": "mine"})
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="repro"):
        dg.Definitions.validate_loadable(dg.Definitions([two]))
    with pytest.raises(InvalidValue, match="no setting sed"):
        reproducible_resources(sed=1)
    with pytest.raises(InvalidValue, match="seed is -1"):
        reproducible_resources(seed=-1)


def test_definitions_have_our_parts_and_theirs() -> None:
    @dg.asset
    def plain() -> int:
        return 1

    copied = two.with_attributes(group_names_by_key={two.key: "copied"})
    found = reproducible_definitions(
        [table, plain, copied, dg.AssetSpec("elsewhere")],
        resources={"unit": Unit()},
        jobs=[dg.define_asset_job("all_of_it")],
    )
    dg.Definitions.validate_loadable(found)
    assert {"repro", "io_manager", "unit"} <= set(found.resources or {})
    graph = found.resolve_asset_graph()
    assert {key.asset_key.to_user_string() for key in graph.asset_check_keys} == {"table", "two"}
    assert found.resolve_job_def("all_of_it")
    assert len(list(found.sensors or ())) == 6
    assert found.resolve_job_def("replay") and [each.name for each in found.schedules or ()] == ["nightly_replays"]
    assert isinstance((found.resources or {})["repro"], Repro)


def test_the_offered_names_are_loaded_when_they_are_asked_for() -> None:
    program = "import sys, repro_assets.orchestration; print('dagster' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert all(getattr(orchestration, name) is not None for name in orchestration.__all__)
