"""What fingerprints of arrays and models cost, in time and in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import REPETITIONS, Figure, Section, repeated, timed

PROJECT = Path(__file__).parents[1]
STREAMED_REPETITIONS = 3

# A model of about 365 million parameters, of the shape of GPT-2 medium, made tensor by tensor, and fingerprinted or
# not: prints its parameters, the seconds, the growth of the process's peak memory and its largest tensor, both MiB.
_STREAM = """
import json, resource, sys, time, torch
from repro_assets.determinism.model_fingerprints import fingerprint_model
WIDTH, LAYERS, WORDS, PLACES = 1024, 24, 50257, 1024
def shapes():
    yield "words", (WORDS, WIDTH)
    yield "places", (PLACES, WIDTH)
    for layer in range(LAYERS):
        for name, shape in {
            "norm_1.weight": (WIDTH,), "norm_1.bias": (WIDTH,), "attention.weight": (3 * WIDTH, WIDTH),
            "attention.bias": (3 * WIDTH,), "joined.weight": (WIDTH, WIDTH), "joined.bias": (WIDTH,),
            "norm_2.weight": (WIDTH,), "norm_2.bias": (WIDTH,), "up.weight": (4 * WIDTH, WIDTH),
            "up.bias": (4 * WIDTH,), "down.weight": (WIDTH, 4 * WIDTH), "down.bias": (WIDTH,),
        }.items():
            yield f"layers.{layer}.{name}", shape
    yield "norm.weight", (WIDTH,)
    yield "norm.bias", (WIDTH,)
    yield "answer", (10_000, WIDTH)
def tensors():
    for number, (name, shape) in enumerate(shapes()):
        yield name, torch.full(shape, 0.5 + number)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
fingerprint_model({"a": torch.zeros(1 << 16)})
before, began = peak(), time.perf_counter()
if sys.argv[1] == "make":
    parameters = sum(tensor.numel() for _, tensor in tensors())
else:
    parameters = fingerprint_model(tensors()).architecture["counts"]["parameters"]
seconds = time.perf_counter() - began
print(json.dumps([parameters, seconds, peak() - before, 4 * WORDS * WIDTH / 2**20]))
"""


def measure() -> Section:
    """Measure fingerprints."""
    made = [_streamed("make") for _ in range(STREAMED_REPETITIONS)]
    read = [_streamed("fingerprint") for _ in range(STREAMED_REPETITIONS)]
    parameters, _, _, largest = read[0]
    making, growth = (max(run[2] for run in runs) for runs in (made, read))
    return Section(
        title="Fingerprints",
        about=(
            "The first lines are of arrays in memory. The model has "
            f"{parameters / 1e6:.0f} million float32 parameters, {parameters * 4 / 2**20:.0f} MiB, and comes as an "
            "iterator of tensors, each made when it is asked for; making them alone is the line before. The process's "
            f"peak memory grew by {growth:.0f} MiB at most while it was fingerprinted, and by {making:.0f} MiB while "
            f"the tensors were only made; the largest of them has {largest:.0f} MiB. The model's lines are of "
            f"{STREAMED_REPETITIONS} repetitions, each a process. {_gpu()}"
        ),
        figures=[
            *_arrays(),
            Figure("making the model's tensors", tuple(run[1] for run in made)),
            Figure("fingerprinting the model, its tensors made meanwhile", tuple(run[1] for run in read)),
        ],
        repetitions=REPETITIONS,
    )


def _gpu() -> str:
    import torch

    if torch.cuda.is_available():
        return f"GPU: {torch.cuda.get_device_name()}; see the tests marked `gpu`."
    return "No GPU was available: the tests marked `gpu` have not been run on this machine."


def _arrays() -> list[Figure]:
    import numpy
    import pandas

    from repro_assets.determinism.data_fingerprints import fingerprint_data
    from repro_assets.determinism.fingerprints import fingerprint_of

    array = numpy.random.default_rng(0).standard_normal(1_000_000).astype(numpy.float32)
    frame = pandas.DataFrame(
        {"number": array[:20_000].astype(float), "text": [f"row {number}" for number in range(20_000)]}
    )
    fingerprint_data(array)
    return [
        repeated(
            "one million float32, with the places of changes", lambda: timed(lambda: fingerprint_data(array)), 0.02
        ),
        repeated("the digest alone, as training logs it", lambda: timed(lambda: fingerprint_of(array)), 0.02),
        repeated("a frame of 20,000 rows, numbers and text", lambda: timed(lambda: fingerprint_data(frame))),
    ]


def _streamed(what: str) -> list[float]:
    command = [sys.executable, "-c", _STREAM, what]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT)
    numbers: list[float] = json.loads(done.stdout)
    return numbers
