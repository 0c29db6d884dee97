"""A person opens the graph in a browser, materializes one asset, and sees what the project adds to its page.

Every page of Dagster's server is one shell with status 200, so only what a browser has rendered proves anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")

import git
from dagster_page import ANSWERS_WITHIN, browser_page, chromium, graph_address, metadata, run_state, served
from playwright.sync_api import Page

from repro_assets.journal.records import Payload, Record
from repro_assets.journal.run_records import RunEnded, RunOutput, RunStarted
from repro_assets.journal.segments import list_segments, read_segment
from repro_assets.store.home import Home, make_store

PROJECT = Path(__file__).parents[2]
MATERIALIZES_WITHIN = 240_000
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
REQUIRED = "REPRO_REQUIRE_BROWSER"

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(ANSWERS_WITHIN + 240)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository of its own with the project's files as they are now, nothing uncommitted in it."""
    if chromium() is None:
        reason = "chromium is not on PATH (Debian's package is called chromium)"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=PROJECT, capture_output=True, check=True
    )
    copy = tmp_path / "project"
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = PROJECT / name, copy / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    someone = git.Actor("Test", "test@example.org")
    with git.Repo.init(copy) as repository:
        repository.git.add(all=True)
        repository.index.commit("The project", author=someone, committer=someone)
    return copy


def _payloads(home: Home) -> list[Payload]:
    lines = [line for path in list_segments(home.journal) for line, _ in read_segment(path)]
    assert all(isinstance(line, Record) for line in lines)
    return [line.payload for line in lines if isinstance(line, Record)]


def wait_for_success(page: Page, address: str) -> None:
    """Wait until the one run has ended, and look for its state on the page of runs."""
    limit = time.monotonic() + MATERIALIZES_WITHIN / 1000
    # The server is asked, for the page sometimes misses the last change of a state.
    while (state := run_state(address)) not in ENDED:
        assert time.monotonic() < limit, f"the run is still {state}"
        time.sleep(0.5)
    assert state == "SUCCESS"
    page.goto(f"{address}/runs")
    page.get_by_text("Success", exact=True).first.wait_for()


def test_an_asset_is_materialized_from_the_page_and_shows_what_made_it(project: Path, tmp_path: Path) -> None:
    home = make_store(tmp_path / "home")
    with git.Repo(project) as repository:
        commit = repository.head.commit.hexsha

    with (
        served(project, home.root, tmp_path / "server.log") as address,
        browser_page(last_picture=tmp_path / "page.png") as page,
    ):
        page.goto(graph_address(address))
        for asset in ("digits", "cota_sft", "sft", "rft", "baselines"):
            page.get_by_text(asset, exact=True).first.wait_for()

        page.goto(f"{address}/assets/data/digits")
        page.get_by_role("button", name=re.compile(r"Materialize$")).first.click()
        # The page follows the run by itself, but for the metadata, which it reads when it is opened.
        page.get_by_text("Never materialized", exact=True).wait_for(state="detached", timeout=MATERIALIZES_WITHIN)
        wait_for_success(page, address)

        page.goto(f"{address}/assets/data/digits")
        page.get_by_text(re.compile(r"^sha256:[0-9a-f]{64}$")).first.wait_for()
        page.get_by_text("runs again with", exact=True).wait_for()
        shown = metadata(page)

    records = _payloads(home)
    (started,) = [item for item in records if isinstance(item, RunStarted) and item.asset == "data/digits"]
    (output,) = [item for item in records if isinstance(item, RunOutput) and item.run_id == started.run_id]
    (ended,) = [item for item in records if isinstance(item, RunEnded) and item.run_id == started.run_id]
    assert ended.state == "COMPLETED"
    assert shown["digest"] == output.digest
    assert shown["run"] == started.run_id
    assert shown["seed"] == str(started.seed) == "0"
    assert shown["commit"] == commit
    assert shown["dirty"] == "false"
    assert shown["environment"] == started.environment
    assert shown["name"] == output.name
    assert shown["runs again with"].endswith(started.run_id)
