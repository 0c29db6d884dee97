"""Dagster's storage in a new store, opened by several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from repro_assets.store.home import make_store

OPEN = """
import sys
from pathlib import Path
from repro_assets.orchestration.instance import open_instance
from repro_assets.store.home import open_store

home = open_store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with open_instance(home) as instance:
    print(len(instance.get_run_ids()), len(instance.all_asset_keys()), len(instance.all_instigator_state()))
"""


def test_processes_that_open_a_new_storage_at_the_same_moment_all_can(tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(home.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        said, trouble = process.communicate(timeout=120)
        assert said == "0 0 0\n", trouble[-2000:]
