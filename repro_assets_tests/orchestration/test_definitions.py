"""The code location, in one snapshot that a reviewer can read, and the files that must agree with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.definitions import defs
from repro_assets.determinism.mode import Mode
from repro_assets.orchestration.executors import in_process_first
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro

ROOT = Path(__file__).parents[2]

GRAPH = """
buffers/experience <- data/stream_a data/stream_labels models/rft | online | team:ml | numpy | experience_buffer | \
experience_buffer-{run}
buffers/experience_b <- data/stream_b data/stream_labels models/rft | online | team:ml | numpy | \
experience_buffer_b | experience_buffer-{run}
buffers/experience_balanced <- data/stream_a data/stream_labels models/rft | online | team:ml | numpy | \
experience_buffer_balanced | experience_buffer-{run}
buffers/experience_balanced_b <- data/stream_b data/stream_labels models/rft | online | team:ml | numpy | \
experience_buffer_balanced_b | experience_buffer-{run}
buffers/experience_online <- data/stream_a data/stream_labels models/rft | online | team:ml | numpy | \
experience_buffer_online | experience_buffer-{run}
buffers/experience_online_b <- data/stream_b data/stream_labels models/rft | online | team:ml | numpy | \
experience_buffer_online_b | experience_buffer-{run}
buffers/experience_simple <- data/stream_a data/stream_labels models/rft | online | team:ml | numpy | \
experience_buffer_simple | experience_buffer-{run}
buffers/experience_simple_b <- data/stream_b data/stream_labels models/rft | online | team:ml | numpy | \
experience_buffer_simple_b | experience_buffer-{run}
data/cota_raw <- data/sft_images | data | team:data | table | dataset-cota_raw | dataset-cota_raw-v{version}
data/cota_rft <- data/digits | data | team:data | numpy | dataset-cota_rft | dataset-cota_rft-v{version}
data/cota_sft <- data/cota_raw | data | team:data | table | dataset-cota_sft | dataset-cota_sft-v{version}
data/digits <-  | data | team:data | csv,numpy | dataset-digits | dataset-digits-v{version}
data/filtered <-  | on_demand | team:data | table | dataset-{dataset_name}_{dataset_type} | \
dataset-{dataset_name}_{dataset_type}-v{version}
data/references <- data/sft_images data/test data/validation | data | team:data | table | dataset-references | \
dataset-references-v{version}
data/sft_images <- data/digits | data | team:data | numpy | dataset-sft_images | dataset-sft_images-v{version}
data/stream <- data/digits | data | team:data | numpy | dataset-stream | dataset-stream-v{version}
data/stream_a <- data/digits data/stream data/test data/validation | online | team:ml | numpy | dataset-stream_a | \
dataset-stream_a-v{version}
data/stream_b <- data/digits data/stream data/test data/validation | online | team:ml | numpy | dataset-stream_b | \
dataset-stream_b-v{version}
data/stream_labels <- data/digits data/stream data/test data/validation | online | team:ml | numpy | \
dataset-stream_labels | dataset-stream_labels-v{version}
data/synthetic <-  | growth | team:ml | numpy | dataset-synthetic-{partition} | \
dataset-synthetic-{partition}-v{version}
data/test <- data/digits | data | team:data | numpy | dataset-test | dataset-test-v{version}
data/test_a <- data/digits data/stream data/test data/validation | online | team:ml | numpy | dataset-test_a | \
dataset-test_a-v{version}
data/test_b <- data/digits data/stream data/test data/validation | online | team:ml | numpy | dataset-test_b | \
dataset-test_b-v{version}
data/validation <- data/digits | data | team:data | numpy | dataset-validation | dataset-validation-v{version}
data/validation_a <- data/digits data/stream data/test data/validation | online | team:ml | numpy | \
dataset-validation_a | dataset-validation_a-v{version}
data/validation_b <- data/digits data/stream data/test data/validation | online | team:ml | numpy | \
dataset-validation_b | dataset-validation_b-v{version}
evaluations/any <-  | on_demand | team:ml | json | eval-{model}-on-{dataset} | eval-{model}-on-{dataset}
evaluations/baselines <- data/sft_images data/test | evaluation | team:ml | json,scikitlearn | \
eval-baselines-on-test | eval-baselines-on-test-v{version}
evaluations/morphogenesis_on_synthetic <- data/synthetic models/morphogenesis | growth | team:ml | json | \
eval-morphogenesis-on-{partition} | eval-{model}-on-{dataset}
evaluations/retrieval <- indexes/documents | retrieval | team:data | json | eval-index-on-questions | \
eval-index-on-questions-v{version}
evaluations/rft_on_test <- data/references data/test models/rft | evaluation | team:ml | json | eval-rft-on-test | \
eval-{model}-on-{dataset}
evaluations/rft_on_test_a <- data/test_a models/rft | online | team:ml | json | eval-rft-on-test_a | \
eval-{model}-on-{dataset}
evaluations/rft_on_test_b <- data/test_b models/rft | online | team:ml | json | eval-rft-on-test_b | \
eval-{model}-on-{dataset}
evaluations/rft_on_validation <- data/references data/validation models/rft | evaluation | team:ml | json | \
eval-rft-on-validation | eval-{model}-on-{dataset}
evaluations/sft_on_test <- data/references data/test models/sft | evaluation | team:ml | json | eval-sft-on-test | \
eval-{model}-on-{dataset}
evaluations/sft_on_validation <- data/references data/validation models/sft | evaluation | team:ml | json | \
eval-sft-on-validation | eval-{model}-on-{dataset}
evaluations/ttrl_b_on_test <- data/test models/ttrl_b | online | team:ml | json | eval-ttrl_b-on-test | \
eval-{model}-on-{dataset}
evaluations/ttrl_b_on_test_b <- data/test_b models/ttrl_b | online | team:ml | json | eval-ttrl_b-on-test_b | \
eval-{model}-on-{dataset}
evaluations/ttrl_balanced_b_on_test <- data/test models/ttrl_balanced_b | online | team:ml | json | \
eval-ttrl_balanced_b-on-test | eval-{model}-on-{dataset}
evaluations/ttrl_balanced_b_on_test_b <- data/test_b models/ttrl_balanced_b | online | team:ml | json | \
eval-ttrl_balanced_b-on-test_b | eval-{model}-on-{dataset}
evaluations/ttrl_balanced_on_test <- data/test models/ttrl_balanced | online | team:ml | json | \
eval-ttrl_balanced-on-test | eval-{model}-on-{dataset}
evaluations/ttrl_balanced_on_test_a <- data/test_a models/ttrl_balanced | online | team:ml | json | \
eval-ttrl_balanced-on-test_a | eval-{model}-on-{dataset}
evaluations/ttrl_on_test <- data/test models/ttrl | online | team:ml | json | eval-ttrl-on-test | \
eval-{model}-on-{dataset}
evaluations/ttrl_on_test_a <- data/test_a models/ttrl | online | team:ml | json | eval-ttrl-on-test_a | \
eval-{model}-on-{dataset}
evaluations/ttrl_online_b_on_test <- data/test models/ttrl_online_b | online | team:ml | json | \
eval-ttrl_online_b-on-test | eval-{model}-on-{dataset}
evaluations/ttrl_online_b_on_test_b <- data/test_b models/ttrl_online_b | online | team:ml | json | \
eval-ttrl_online_b-on-test_b | eval-{model}-on-{dataset}
evaluations/ttrl_online_on_test <- data/test models/ttrl_online | online | team:ml | json | \
eval-ttrl_online-on-test | eval-{model}-on-{dataset}
evaluations/ttrl_online_on_test_a <- data/test_a models/ttrl_online | online | team:ml | json | \
eval-ttrl_online-on-test_a | eval-{model}-on-{dataset}
evaluations/ttrl_simple_b_on_test <- data/test models/ttrl_simple_b | online | team:ml | json | \
eval-ttrl_simple_b-on-test | eval-{model}-on-{dataset}
evaluations/ttrl_simple_b_on_test_b <- data/test_b models/ttrl_simple_b | online | team:ml | json | \
eval-ttrl_simple_b-on-test_b | eval-{model}-on-{dataset}
evaluations/ttrl_simple_on_test <- data/test models/ttrl_simple | online | team:ml | json | \
eval-ttrl_simple-on-test | eval-{model}-on-{dataset}
evaluations/ttrl_simple_on_test_a <- data/test_a models/ttrl_simple | online | team:ml | json | \
eval-ttrl_simple-on-test_a | eval-{model}-on-{dataset}
indexes/documents <-  | retrieval | team:data | numpy,scikitlearn | index-documents | index-documents-v{version}
models/candidate <- evaluations/rft_on_test models/rft | production | team:ml | torch | - | -
models/morphogenesis <- data/synthetic | growth | team:ml | torch | model-morphogenesis-{partition} | model-{run}
models/production <- models/candidate | production | team:ml | torch | - | -
models/rft <- data/cota_rft data/validation models/sft | training | team:ml | torch | model-rft | model-{run}
models/sft <- data/cota_sft data/sft_images data/validation | training | team:ml | torch | model-sft | model-{run}
models/ttrl <- data/stream_a data/stream_labels models/rft | online | team:ml | torch | model-ttrl | model-{run}
models/ttrl_b <- data/stream_b data/stream_labels models/rft | online | team:ml | torch | model-ttrl_b | model-{run}
models/ttrl_balanced <- data/stream_a data/stream_labels models/rft | online | team:ml | torch | \
model-ttrl_balanced | model-{run}
models/ttrl_balanced_b <- data/stream_b data/stream_labels models/rft | online | team:ml | torch | \
model-ttrl_balanced_b | model-{run}
models/ttrl_online <- data/stream_a data/stream_labels models/rft | online | team:ml | torch | model-ttrl_online | \
model-{run}
models/ttrl_online_b <- data/stream_b data/stream_labels models/rft | online | team:ml | torch | \
model-ttrl_online_b | model-{run}
models/ttrl_simple <- data/stream_a data/stream_labels models/rft | online | team:ml | torch | model-ttrl_simple | \
model-{run}
models/ttrl_simple_b <- data/stream_b data/stream_labels models/rft | online | team:ml | torch | \
model-ttrl_simple_b | model-{run}
"""


def reference_job() -> dg.JobDefinition:
    return defs.resolve_job_def("reference")


def described() -> list[str]:
    graph = defs.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        parents = " ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        kinds = ",".join(sorted(kind.removeprefix("dagster/kind/") for kind in node.tags if "/kind/" in kind))
        names = [node.metadata.get(name, "-") for name in (COLLECTION, DISPLAY)]
        facts = [node.group_name, ",".join(node.owners), kinds, *names]
        lines.append(f"{key.to_user_string()} <- {parents} | {' | '.join(map(str, facts))}")
    return lines


def test_the_graph_is_what_it_is_said_to_be() -> None:
    assert described() == GRAPH.strip().split("\n")


def test_every_asset_has_a_derived_code_version_a_description_and_its_checks() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.code_version, key
        assert node.description, key
        names = {check.name for check in graph.asset_check_keys if check.asset_key == key}
        own = {"evaluated", "good_enough", "no_worse"} if key.path[-1] == "candidate" else {"reproduces"}
        assert names == {"products_verify", "environment_captured", "lineage_sound"} | own


def test_jobs_sensors_and_the_executor_are_listed() -> None:
    repository = defs.get_repository_def()
    stages = {"prepare_data", "train_models", "evaluate_models"}
    beside = {"growth", "online", "index", "promote", "replay", "replay_sample", "export"}
    assert set(repository.job_names) == {"__ASSET_JOB", "reference", *beside, *stages}
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "record_success",
        "record_failure",
        "record_canceled",
        "catalog_agrees",
        "scripts_shown",
        "promises_kept",
    }
    assert [schedule.name for schedule in repository.schedule_defs] == ["nightly_replays"]
    assert defs.resolve_job_def("reference").executor_def.name == "in_process_first"


@pytest.mark.parametrize(("given", "expected"), [({}, "forkserver"), ({"start_method": {"spawn": {}}}, "spawn")])
def test_processes_for_steps_are_forked_from_a_server_that_knows_nothing_of_the_project(
    given: dict[str, Any], expected: str
) -> None:
    config = {"multiprocess": {"retries": {"enabled": {}}, **given}}
    with dg.instance_for_test() as instance:
        job = dg.reconstructable(reference_job)
        made: Any = in_process_first.executor_creation_fn(  # type: ignore[misc]
            dg.InitExecutorContext(job, in_process_first, config, instance)
        )
    assert made._start_method == expected
    assert not any(name.startswith("repro_assets") for name in made._explicit_forkserver_preload or [])


@pytest.mark.parametrize("name", ["reference", "growth", "online"])
def test_a_job_that_is_run_in_an_empty_store_makes_all_that_it_reads(name: str) -> None:
    graph = defs.get_repository_def().asset_graph
    made = defs.get_repository_def().get_job(name).asset_layer.selected_asset_keys
    assert {parent for key in made for parent in graph.get(key).parent_keys} <= made


def test_the_run_wide_setting_is_one_resource_with_ranges() -> None:
    assert set(Repro.model_fields) == {
        "seed",
        "deterministic",
        "threads",
        "capture_level",
        "force",
        "strict",
        "monitor",
        "monitor_interval",
        "experiment",
        "tags",
        "mirrors",
        "required_packages",
        "min_gpu_memory_gb",
        "min_cuda_version",
    }
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Repro(seed=-1)


def test_dagster_dev_reads_the_variables_of_the_default_mode() -> None:
    lines = [line for line in (ROOT / ".env").read_text().splitlines() if line and not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == Mode().environment()


def test_the_projects_dagster_settings_are_those_of_every_store() -> None:
    packaged = ROOT / "repro_assets" / "orchestration" / "dagster.yaml"
    assert (ROOT / "dagster.yaml").read_bytes() == packaged.read_bytes()


def test_no_partition_per_run_and_no_single_run_backfill() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        policy = graph.get(key).backfill_policy
        assert policy is None or policy.policy_type != dg.BackfillPolicy.single_run().policy_type
