"""How fast the machine is at this moment: readings, which are part of no identity.

Laws: numbers are measured by a process of its own, so that nothing is imported for the capture's sake, with a time
limit; what could not be measured is missing with its reason, never a zero. Each is the best of a few repetitions,
because other work on the machine can only make one slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from repro_assets.errors import MachineError

_TIMEOUT = 20.0
_WRITTEN = 16 << 20

# Run with -P: this file's folder has modules that are named like some of the standard library.
_PROGRAM = """
import json, time
import numpy
def best(work, times):
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
side = 768
a, b = (numpy.random.default_rng(0).standard_normal((side, side), dtype="float32") for _ in range(2))
source = numpy.ones(8 << 20)
target = numpy.empty_like(source)
product = best(lambda: a @ b, 5)
copy = best(lambda: numpy.copyto(target, source), 3)
print(json.dumps({
    "benchmark_matmul_gflops": 2 * side**3 / product / 1e9,
    "benchmark_memory_gb_per_s": 2 * source.nbytes / copy / 1e9,
}))
"""


def processor_and_memory() -> dict[str, float]:
    """Measure a product of float32 matrices (GFLOP/s, all threads) and a copy of 64 MiB (10^9 bytes moved a second).

    Raises
    ------
    MachineError
        If numpy is not there or took too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM], capture_output=True, text=True, timeout=_TIMEOUT, check=True
        )
        measured = json.loads(done.stdout)
    except subprocess.TimeoutExpired as late:
        raise MachineError(f"the measurement took longer than {_TIMEOUT:.0f} s") from late
    except subprocess.CalledProcessError as failed:
        raise MachineError(f"the measurement failed: {failed.stderr.strip().splitlines()[-1:]}") from failed
    return {name: float(value) for name, value in measured.items()}


def durable_writing(folder: Path) -> float:
    """Measure writing 16 MiB into `folder` until they are on the disk, in 10^6 bytes a second.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    block, path = os.urandom(1 << 20), folder / f"speed-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    try:
        with path.open("xb", buffering=0) as file:
            for _ in range(_WRITTEN // len(block)):
                file.write(block)
            os.fsync(file.fileno())
        return _WRITTEN / (time.perf_counter() - began) / 1e6
    finally:
        path.unlink(missing_ok=True)
