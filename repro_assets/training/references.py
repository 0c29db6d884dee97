"""Reference traces: what the teacher does on the images that models are evaluated on, and which trace is the best.

Laws: the teacher is fitted on the SFT split alone; its reference traces hold neither faults nor random looks, and are a
function of the splits and the config; the best trace of an image answers its label if any of its traces does, then has
the greatest quality, then the smallest trace id. Where the teacher is wrong, so is its reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.errors import InvalidInput
from repro_assets.training import task
from repro_assets.training.filtering import quality, read_traces
from repro_assets.training.teacher import fit_teacher
from repro_assets.training.traces import Draws, TracesConfig, write_traces

if TYPE_CHECKING:
    import pandas

    from repro_assets.recording.run import Run

Trace = tuple[int, int, list[int], list[str]]
"""Trace id, label, actions and thoughts."""

_NAMED = 5


class ReferencesConfig(BaseModel):
    """How sure the teacher must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer_above: float = Field(default=0.9, gt=0.1, lt=1.0, description="posterior at which the teacher answers")


def reference_traces(
    run: Run,
    config: ReferencesConfig,
    sft_split: Mapping[str, Any],
    validation: Mapping[str, Any],
    test: Mapping[str, Any],
) -> pandas.DataFrame:
    """Write the teacher's own trace of every validation and test image.

    Parameters
    ----------
    run : Run
        Takes the number of traces, the teacher's accuracy and its mean looks.
    config : ReferencesConfig
        Settings.
    sft_split, validation, test : mapping
        ``images`` uint8 [n, 8, 8], ``labels`` [n], ``image_ids`` [n]. The teacher is fitted on the first one.

    Returns
    -------
    pandas.DataFrame
        A row for each image, with the columns of `repro_assets.training.traces`.

    Raises
    ------
    InvalidInput
        If a split has no labels, or the first one no image of some digit.
    """
    import pandas

    _, sft_labels = task.labelled("sft", sft_split)
    teacher = fit_teacher(np.asarray(sft_split["images"]), sft_labels.numpy())
    tables = []
    for name, split in (("validation", validation), ("test", test)):
        images, labels = task.labelled(name, split)
        draws = Draws(None, len(images), TracesConfig())
        tables.append(write_traces(teacher, images, labels, split["image_ids"], draws, config.answer_above).table)
    table = pandas.concat(tables, ignore_index=True)
    table["trace_id"] = np.arange(len(table), dtype=np.int64)
    answers = np.array([actions[-1] - task.REGIONS for actions in table["actions"]])
    run.log_metrics(
        {
            "references": len(table),
            "references/accuracy": float((answers == table["label"].to_numpy()).mean()),
            "references/mean_looks": float(np.mean([len(actions) - 1 for actions in table["actions"]])),
        }
    )
    return table


def by_image(traces: pandas.DataFrame) -> dict[int, list[Trace]]:
    """Return the traces of each image.

    Raises
    ------
    InvalidInput
        If one is malformed.
    """
    found: dict[int, list[Trace]] = {}
    keys = zip(traces["image_id"].tolist(), traces["trace_id"].tolist(), strict=True)
    for (label, actions, thoughts), (image, trace) in zip(read_traces(traces), keys, strict=True):
        found.setdefault(int(image), []).append((int(trace), label, actions, thoughts))
    return found


def best_trace(candidates: Iterable[Trace]) -> int:
    """Return the trace id of the best of one image's traces."""

    def rank(trace: Trace) -> tuple[bool, float, int]:
        trace_id, label, actions, thoughts = trace
        return actions[-1] - task.REGIONS == label, quality(actions, thoughts), -trace_id

    return max(candidates, key=rank)[0]


def actions_for(references: pandas.DataFrame, ids: Iterable[int], labels: Iterable[int]) -> list[list[int]]:
    """Return the actions of the best reference of each image.

    Parameters
    ----------
    references : pandas.DataFrame
        Traces, one or several of each image.
    ids, labels : iterable of int
        Ids and labels of the images, in the order of the answer.

    Raises
    ------
    InvalidInput
        If a trace is malformed, an image has none, or its traces have another label.
    """
    known = by_image(references)
    wanted = list(zip(ids, labels, strict=True))
    missing = [image for image, _ in wanted if image not in known]
    if missing:
        raise InvalidInput(
            f"{len(missing)} of {len(wanted)} images have no reference trace ({_few(missing)})",
            "give references of these images, or leave the benchmark out",
        )
    wrong = [image for image, label in wanted if any(trace[1] != label for trace in known[image])]
    if wrong:
        raise InvalidInput(
            f"the references of {len(wrong)} images have another label than the data ({_few(wrong)})",
            "give references of the same images",
        )
    best = {image: best_trace(known[image]) for image, _ in wanted}
    return [next(trace[2] for trace in known[image] if trace[0] == best[image]) for image, _ in wanted]


def _few(images: list[int]) -> str:
    named = ", ".join(map(str, images[:_NAMED]))
    return f"image {named}{', …' if len(images) > _NAMED else ''}"
