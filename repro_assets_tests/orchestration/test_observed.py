from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from repro_assets.artifacts import repository
from repro_assets.capture.data_manifest.content import content_of
from repro_assets.errors import InvalidInput
from repro_assets.orchestration.observed import observed_source
from repro_assets.store.home import make_store

KEY = dg.AssetKey(["data", "elsewhere"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "sub/deep").mkdir(parents=True)
    (root / "empty/er").mkdir(parents=True)
    (root / "a.csv").write_text("1,2\n")
    (root / "sub/deep/b").write_bytes(os.urandom(3_000_000))
    (root / "sub/run").write_text("#!/bin/sh\n")
    (root / "sub/run").chmod(0o755)
    (root / "sub/link").symlink_to(".././a.csv")
    (root / "dir_link").symlink_to("sub")
    (root / "ü\n").write_text("")
    return root


class Watched:
    """A source asset, an asset that reads it, and an instance."""

    def __init__(self, path: Path) -> None:
        source = observed_source(KEY, path)

        @dg.asset(deps=[source], code_version="1")
        def reader() -> int:
            return 1

        jobs = [dg.define_asset_job(name, selection=[key]) for name, key in (("look", KEY), ("read", reader.key))]
        self.definitions = dg.Definitions(assets=[source, reader], jobs=jobs)
        self.instance = dg.DagsterInstance.ephemeral()
        self.reader = reader.key

    def look(self) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_job_def("look")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)

    def version(self) -> str:
        assert self.look().success
        return self.observation().tags["dagster/data_version"]

    def observation(self) -> Any:
        (record,) = self.instance.fetch_observations(KEY, limit=1).records
        return record.asset_observation

    def read(self) -> Any:
        self.definitions.resolve_job_def("read").execute_in_process(instance=self.instance)
        return self.instance.get_latest_materialization_event(self.reader).asset_materialization.tags


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[Path], str]:
    home = make_store(tmp_path / "home")
    return lambda path: str(repository.put(home, path).digest)


def test_the_data_version_is_the_digest_that_the_artifact_would_have(folder, stored):
    assert Watched(folder).version() == stored(folder)
    assert Watched(folder / "sub/deep/b").version() == stored(folder / "sub/deep/b")
    (folder / "empty_root").mkdir()
    assert Watched(folder / "empty_root").version() == stored(folder / "empty_root")


def test_an_observation_says_how_much_it_saw(folder):
    watched = Watched(folder)
    watched.version()
    seen = {name: value.value for name, value in watched.observation().metadata.items()}
    assert (seen["files"], seen["bytes"], seen["kind"]) == (4, 3_000_014, "tree")
    assert (seen["could not be read"], seen["not read"]) == (0, [])


def test_only_the_content_moves_the_version(folder, tmp_path):
    watched = Watched(folder)
    first = watched.version()
    os.utime(folder / "a.csv", (1, 1))
    (folder / "a.csv").chmod(0o600)
    assert watched.version() == first
    shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    assert Watched(tmp_path / "copy").version() == first
    (folder / "a.csv").write_text("1,3\n")
    second = watched.version()
    (folder / "a.csv").chmod(0o700)
    assert len({first, second, watched.version()}) == 3


def test_what_reads_it_names_the_version_that_it_read(folder):
    watched = Watched(folder)
    first = watched.version()
    assert watched.read()[f"dagster/input_data_version/{KEY.to_user_string()}"] == first
    (folder / "a.csv").write_text("1,3\n")
    second = watched.version()
    assert watched.read()[f"dagster/input_data_version/{KEY.to_user_string()}"] == second != first


def spoil(folder: Path, how: str) -> str:
    if how == "fifo":
        os.mkfifo(folder / "sub/spoiled")
    elif how == "outside":
        (folder / "sub/spoiled").symlink_to("../../x")
    elif how == "absolute":
        (folder / "sub/spoiled").symlink_to("/etc")
    else:
        Path(os.fsdecode(os.fsencode(folder) + b"/sub/spoil\xff")).write_text("")
        return "sub/spoil\\xff"
    return "sub/spoiled"


@pytest.mark.parametrize("how", ["fifo", "outside", "absolute", "name"])
def test_what_could_not_be_an_artifact_has_no_version_and_is_named(folder, stored, how):
    watched = Watched(folder)
    first = watched.version()
    name = spoil(folder, how)
    with pytest.raises(InvalidInput):
        stored(folder)
    result = watched.look()
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data.metadata
    assert told["could not be read"].value == 1
    assert [item["path"] for item in told["not read"].value] == [name]
    assert watched.observation().tags["dagster/data_version"] == first


def test_a_path_that_is_gone_fails_the_observation(tmp_path):
    assert not Watched(tmp_path / "gone").look().success
    with pytest.raises(InvalidInput, match="not there"):
        content_of(tmp_path / "gone")
