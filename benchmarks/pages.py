"""What a report of a thousand runs costs: a whole `repro report`, and the size of its folder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import Figure, Section, as_installed, timed
from benchmarks.questions import STEPS, fill
from repro_assets.catalog.projection import refresh
from repro_assets.store.home import make_store

RUNS = 1_000
REPETITIONS = 3
# The command of this working tree, wherever the installed one leads.
_REPRO = "from repro_assets.cli.app import main; main()"


def measure() -> Section:
    """Measure `repro report`."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        home = make_store(root / "store")
        fill(home, RUNS)
        refresh(home)
        reports = [root / f"report-{number}" for number in range(REPETITIONS)]
        new = tuple(timed(lambda: _report(home.root, report)) for report in reports)  # noqa: B023
        again = tuple(timed(lambda: _report(home.root, report)) for report in reports)  # noqa: B023
        files = [file.stat().st_size for file in reports[0].rglob("*") if file.is_file()]
    return Section(
        "A report of a thousand runs",
        f"`repro report` of {RUNS:,} runs with 3 metrics of {STEPS} points and 4 hyperparameters each, a whole "
        f"process. The folder has {len(files):,} files and {sum(files) / 1e6:.1f} MB, of which the plotting library is "
        f"{max(files) / 1e6:.1f} MB.",
        [
            Figure(f"{RUNS:,} runs: the report, into a new folder", new),
            Figure(f"{RUNS:,} runs: the report again, of which nothing has changed", again),
        ],
        repetitions=REPETITIONS,
    )


def _report(store: Path, to: Path) -> None:
    command = [sys.executable, "-c", _REPRO, "report", "--output", str(to)]
    environment = {**as_installed(), "REPRO_HOME": str(store), "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=to.parent)
