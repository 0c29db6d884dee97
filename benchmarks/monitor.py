"""What being looked at costs a run: the system monitor at its usual pace, and spans."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import REPETITIONS, Figure, Section

SECONDS = 20.0
SPANS = 1000
LIMIT = 0.3

# Prints the processor time of a run that sleeps, as a share of the time that it took.
_MONITORED = """
import sys, time
from pathlib import Path
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.monitoring import monitored
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.store.home import make_store
interval, seconds = (float(text) or None for text in sys.argv[2:])
run = begin(make_store(Path(sys.argv[1])), RunStarted("0" * 16, "script", "measured", seed=0))
with recorded(run), monitored(run, interval):
    time.sleep(1.5)
    began, spent = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    print((time.process_time() - spent) / (time.perf_counter() - began))
"""

# Prints processor seconds of spans: of the thread that makes them, then with what their own thread does to write them.
_SPANS = """
import json, sys, time
from pathlib import Path
from repro_assets.recording.tracers import tracers
from repro_assets.recording.tracing import span
from repro_assets.store.home import make_store
count = int(sys.argv[2])
def work():
    for number in range(count):
        with span("step", number=number):
            pass
work()
if sys.argv[3] == "to a file":
    tracers.start(make_store(Path(sys.argv[1])))
    work()
    tracers.flush_files()
threads, process = time.thread_time(), time.process_time()
work()
threads = time.thread_time() - threads
tracers.flush_files()
print(json.dumps([threads, time.process_time() - process]))
"""


def measure() -> Section:
    """Measure."""
    nowhere = [_spans("nowhere") for _ in range(REPETITIONS)]
    written = [_spans("to a file") for _ in range(REPETITIONS)]
    return Section(
        title="Being looked at",
        about=(
            f"Processor time. That of a run which sleeps for {SECONDS:g} s is given for 100 s, so 0.3 is 0.3 % of a "
            "core; no GPU is on this machine, so NVML is not asked. A monitor samples once a second."
        ),
        figures=[
            Figure("100 s of a run without a monitor", tuple(_share("0") for _ in range(REPETITIONS))),
            Figure("100 s of the same run with a monitor", tuple(_share("1") for _ in range(REPETITIONS)), LIMIT),
            Figure(f"{SPANS:,} spans that go nowhere", tuple(thread for thread, _ in nowhere)),
            Figure(f"{SPANS:,} spans that go to a file, in the thread that makes them", tuple(t for t, _ in written)),
            Figure("the same with the thread that writes them", tuple(both for _, both in written)),
        ],
    )


def _share(interval: str) -> float:
    return 100 * float(_printed(_MONITORED, interval, str(SECONDS)))


def _spans(where: str) -> tuple[float, float]:
    thread, both = json.loads(_printed(_SPANS, str(SPANS), where))
    return float(thread), float(both)


def _printed(program: str, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", program, str(Path(folder, "home")), *arguments]
        return subprocess.run(words, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]).stdout
