from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import CREDENTIALS, S3Server

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever starts the tests in the background ignores it, and every process that they start would as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests on a GPU are executed where there is no Hypothesis.
with contextlib.suppress(ImportError):
    from hypothesis import HealthCheck, settings

    # How quickly values are made says something about the machine and nothing about the code.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _no_inherited_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never reaches a store that it did not make itself, and no variable that torch left in its process."""
    for name in ("REPRO_HOME", "DAGSTER_HOME", "TORCHINDUCTOR_CACHE_DIR"):
        if name in os.environ:
            monkeypatch.delenv(name)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of requests, replays and rehearsals begin where their imports have been made already."""
    from executing import STARTING

    from repro_assets.determinism import fresh_process
    from repro_assets.orchestration import request

    for module in (fresh_process, request):
        monkeypatch.setattr(module, "subprocess", STARTING)


@pytest.fixture(scope="session")
def s3_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3") / "log")
    yield server
    server.end()


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3 server, to which the environment leads."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_process.url}.items():
        monkeypatch.setenv(name, value)
    return s3_process


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A new bucket."""
    return s3.make_bucket(f"bucket-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


# The files that take longest, longest first. Begun last, one of them would keep one core busy while the other is idle.
LONG = (
    "docs/test_demo.py",
    "orchestration/test_reference_graph.py",
    "orchestration/test_replay.py",
    "cli/test_cli_processes.py",
    "docs/test_readme.py",
    "contracts/test_formats.py",
    "orchestration/test_ranks.py",
    "orchestration/test_inputs.py",
    "faults/test_faults_table.py",
    "replay/test_replay_diverging.py",
    "orchestration/test_faults.py",
    "replay/test_replay_measured.py",
    "docs/test_examples.py",
    "browser/test_page.py",
    "catalog/test_catalog_projection.py",
    "orchestration/test_reproducible_asset.py",
    "replay/test_replay_scripts.py",
    "replay/test_replay_undeclared.py",
    "tracking/test_tracking_plain_gpt.py",
    "cli/test_cli_train.py",
    "orchestration/test_diverging.py",
    "orchestration/test_reproduction.py",
    "orchestration/test_on_demand.py",
    "orchestration/test_verifying.py",
    "training/test_training_verified.py",
    "orchestration/test_unfinished_trainings.py",
    "docs/test_your_dagster_project.py",
    "orchestration/test_resuming.py",
    "store/test_store_collection_meanwhile.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; within a file the order stays."""

    def rank(item: pytest.Item) -> int:
        return next((number for number, name in enumerate(LONG) if item.path.as_posix().endswith(name)), len(LONG))

    items.sort(key=rank)
