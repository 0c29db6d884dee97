"""What a step of supervised fine-tuning takes with one process and with two."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import torch

from benchmarks.measuring import Figure, Section
from repro_assets.artifacts import repository
from repro_assets.determinism.mode import Mode, applied
from repro_assets.journal.records import Record
from repro_assets.journal.run_records import Metrics, RunStarted
from repro_assets.journal.segments import list_segments, read_segment
from repro_assets.recording import ranks
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.run import Run, new_run_id
from repro_assets.recording.tracers import tracers
from repro_assets.store.home import Home, make_store
from repro_assets.training.digits import SplitConfig, read_digits, split_digits
from repro_assets.training.filtering import FilterConfig, filter_and_score
from repro_assets.training.sft import SftConfig, train_sft
from repro_assets.training.traces import TracesConfig, generate_traces

DIGITS = Path(__file__).parents[1] / "data" / "raw" / "digits.csv"
STEPS = 60
# The first ones find their memory, and the last one is followed by a validation.
LEFT_OUT = 10


def measure() -> Section:
    """Measure."""
    figures, parameters = [], 0
    with tempfile.TemporaryDirectory() as folder, applied(Mode()):
        home = make_store(Path(folder, "home"))
        with recorded(_begun(home)) as run:
            splits = split_digits(run, SplitConfig(), read_digits(DIGITS))
            traces = filter_and_score(run, FilterConfig(), generate_traces(run, TracesConfig(), splits["sft"]))
        values = {"traces": traces, "images": splits["sft"], "validation": splits["validation"]}
        for width, batch in ((64, 128), (256, 512)):
            for processes in (1, 2):
                config = SftConfig(
                    steps=STEPS,
                    width=width,
                    feed_forward=4 * width,
                    batch_size=batch,
                    processes=processes,
                    log_every=1,
                    validate_every=STEPS,
                    fingerprint_every=STEPS,
                )
                seconds, parameters = _steps(home, config, values)
                what = f"{parameters:,} parameters, batches of {batch}, {processes} process{'es'[: 2 * processes - 2]}"
                figures.append(Figure(what, seconds))
        tracers.flush_files()
    return Section(
        title="Several processes",
        about=(
            f"Steps {LEFT_OUT} to {STEPS - 1} of supervised fine-tuning on the CPU, one thread for each process, gloo. "
            "The first two lines are the default config. Starting torchrun and two interpreters is not in it."
        ),
        figures=figures,
        repetitions=STEPS - 1 - LEFT_OUT,
    )


def _begun(home: Home) -> Run:
    return begin(home, RunStarted(new_run_id(), "script", "measured", seed=0))


def _steps(home: Home, config: SftConfig, values: dict[str, object]) -> tuple[tuple[float, ...], int]:
    """Seconds from one step's figures to the next one's, and the number of parameters."""
    with recorded(_begun(home)) as run:
        if config.processes == 1:
            model = train_sft(run, config, **values)  # type: ignore[arg-type]
        else:
            inputs = {slot: str(repository.put(home, value).digest) for slot, value in values.items()}
            fields = config.model_dump(mode="json")
            model = ranks.execute(
                run, train_sft, config, inputs, values=fields, inputs_home=home, mode=Mode(), what="sft"
            )
    items = (item for segment in list_segments(home.journal) for item, _ in read_segment(segment))
    payloads = [item.payload for item in items if isinstance(item, Record)]
    points = [row for each in payloads if isinstance(each, Metrics) and each.run_id == run.run_id for row in each.rows]
    times = {step: time for name, step, _, time in points if name == "train/loss"}
    ordered = [times[step] for step in range(LEFT_OUT, STEPS)]
    counted = sum(tensor.numel() for tensor in model["state"].values() if isinstance(tensor, torch.Tensor))
    return tuple(after - before for before, after in itertools.pairwise(ordered)), counted
