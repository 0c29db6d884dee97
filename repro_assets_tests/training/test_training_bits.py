"""Two processes, one result."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CHAIN = """
import hashlib, json, sys
import torch
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
from conftest import DIGITS_FILE, MemoryRun, digest_of
from repro_assets.training import digits, evaluation, filtering, morphogenesis, rft, sft, synthetic, traces

seed = int(sys.argv[1])
sizes = digits.SplitConfig(sft=80, rft=40, validation=20, test=20, stream=20)
splits = digits.split_digits(MemoryRun(seed), sizes, digits.read_digits(DIGITS_FILE))
raw = traces.generate_traces(MemoryRun(seed), traces.TracesConfig(per_image=2), splits["sft"])
kept = filtering.filter_and_score(MemoryRun(seed), filtering.FilterConfig(), raw)
one, other = MemoryRun(seed), MemoryRun(seed)
first = sft.train_sft(one, sft.SftConfig(steps=12, fingerprint_every=4), kept, splits["sft"], splits["validation"])
config = rft.RftConfig(steps=4, images_per_step=8, fingerprint_every=2)
second = rft.train_rft(other, config, first, splits["rft"], splits["validation"])
result = evaluation.evaluate(MemoryRun(seed), evaluation.EvaluationConfig(), second, splits["validation"])
growing = MemoryRun(seed)
points = synthetic.generate_synthetic(growing, synthetic.SyntheticConfig(problem="complex_moons", n_samples=200))
config = morphogenesis.MorphogenesisConfig(
    steps=60, batch_size=55, patience=3, least_improvement=0.2, blending_epochs=4, fingerprint_every=30
)
grown = morphogenesis.train_morphogenesis(growing, config, points)
loaded = [name for name in ("dagster", "repro_assets.orchestration") if name in sys.modules]
print(json.dumps({
    "traces": hashlib.sha256(kept.to_json().encode()).hexdigest(),
    "sft": one.fingerprints, "rft": other.fingerprints,
    "growing": growing.fingerprints, "grown": digest_of(grown), "events": growing.events,
    "points": hashlib.sha256(synthetic.to_npz(points)).hexdigest(),
    "curves": [one.curves, other.curves, growing.curves], "evaluation": result, "loaded": loaded,
}))
"""


def chain(seed: int, hash_seed: str) -> str:
    root = HERE.parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{root}{os.pathsep}{HERE}"}
    done = subprocess.run(
        [sys.executable, "-c", CHAIN, str(seed)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_whole_chain_has_equal_bits_in_another_process_and_other_bits_for_another_seed():
    one, again, other = chain(3, "0"), chain(3, "4242"), chain(4, "0")
    assert one == again
    assert one != other
    assert '"loaded": []' in one
    assert {"germination", "activation"} <= {event for _, event, _ in json.loads(one)["events"]}
