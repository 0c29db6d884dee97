"""Raw chain-of-thought-action traces: the teacher's looks and answers, with the faults that raw traces have.

Laws: a trace's thoughts say only what the teacher believed before each action; nothing in the table tells which trace
was spoilt; the table is a function of the split, the config and the run's seed (consumer ``traces/episodes``).

A trace is a row: ``image_id`` int64, ``trace_id`` int64, ``label`` int64, ``actions`` list of int (looks, then one
answer), ``thoughts`` list of str, one for each action. A thought reads ``3 (0.612) or 8 (0.301)``: the two likeliest
digits and their posterior before the action, to three decimals.

The teacher begins from the coarse view, looks at the unseen region that best separates the two likeliest digits, and
answers as soon as the likeliest digit passes `answer_above`, at the latest after 8 looks. Faults, drawn independently:
a look at a region already seen, an answer drawn uniformly, a trace that goes on to the eighth look whatever it knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.training import task
from repro_assets.training.teacher import Teacher, fit_teacher

if TYPE_CHECKING:
    import pandas
    from torch import Tensor

    from repro_assets.recording.run import Run

_THOUGHT = re.compile(r"([0-9]) \(([01]\.[0-9]{3})\) or ([0-9]) \(([01]\.[0-9]{3})\)")


class TracesConfig(BaseModel):
    """How many traces the teacher writes, and how they are spoilt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_image: int = Field(default=8, ge=1, le=64, description="traces for each image")
    answer_above: float = Field(default=0.9, gt=0.1, lt=1.0, description="posterior at which the teacher answers")
    random_look: float = Field(default=0.10, ge=0, le=1, description="probability that a look goes anywhere unseen")
    fault_repeat: float = Field(default=0.04, ge=0, le=1, description="probability, per look, of a repeated look")
    fault_answer: float = Field(default=0.06, ge=0, le=1, description="probability of a random answer")
    fault_endless: float = Field(default=0.08, ge=0, le=1, description="probability of looking on to the limit")


def write_thought(posterior: np.ndarray) -> str:
    """Thought of a posterior [10]: the two likeliest digits, the smaller digit first where they tie."""
    first, second = np.argsort(-posterior, kind="stable")[:2]
    return f"{first} ({posterior[first]:.3f}) or {second} ({posterior[second]:.3f})"


def read_thought(thought: str) -> dict[int, float] | None:
    """Posterior that a thought gives to each digit it names; None where it does not read as a thought."""
    match = _THOUGHT.fullmatch(thought)
    if match is None:
        return None
    return {int(match[1]): float(match[2]), int(match[3]): float(match[4])}


def generate_traces(run: Run, config: TracesConfig, split: Mapping[str, Any]) -> pandas.DataFrame:
    """Write the traces of a split.

    Parameters
    ----------
    run : Run
        Gives the seed; takes the number of traces, their mean looks and the number of each fault put in.
    config : TracesConfig
        Amounts and probabilities.
    split : mapping
        ``images`` uint8 [n, 8, 8], ``labels`` [n], ``image_ids`` [n]. The teacher is fitted on it too.

    Returns
    -------
    pandas.DataFrame
        n * per_image rows, in the order of the images, with the columns of this module.

    Raises
    ------
    InvalidInput
        If the split has no labels, or no image of some digit.
    """
    images, true_labels = task.labelled("sft", split)
    teacher = fit_teacher(np.asarray(split["images"]), true_labels.numpy())
    draws = Draws(run.seeds.numpy("traces/episodes"), len(images) * config.per_image, config)
    written = write_traces(
        teacher, images, true_labels, split["image_ids"], draws, config.answer_above, per_image=config.per_image
    )
    run.log_metrics(
        {
            "traces": len(written.table),
            "traces/mean_looks": float(np.mean([len(taken) - 1 for taken in written.table["actions"]])),
            "faults/repeated_look": written.repeats,
            "faults/random_answer": int(draws.spoilt_answer.sum()),
            "faults/endless": int(draws.endless.sum()),
        }
    )
    return written.table


class Written(NamedTuple):
    """Traces as a table, and how many looks in it were made to repeat an earlier one."""

    table: pandas.DataFrame
    repeats: int


def write_traces(
    teacher: Teacher, images: Tensor, labels: Tensor, ids: Any, draws: Draws, answer_above: float, per_image: int = 1
) -> Written:
    """Let a teacher read images.

    Parameters
    ----------
    teacher : Teacher
        Reads.
    images, labels : Tensor
        float32 [n, 8, 8] in 0 to 1, and int64 [n].
    ids : array
        [n], ids of the images.
    draws : Draws
        The random choices of n * per_image traces.
    answer_above : float
        Posterior at which the teacher answers.
    per_image : int
        Traces for each image.
    """
    import pandas

    belief = np.repeat(teacher.coarse_belief(task.coarse_view(images).numpy().astype(np.float64)), per_image, axis=0)
    regions = task.region_pixels(images).numpy().astype(np.float64)
    evidence = np.repeat(teacher.region_evidence(regions), per_image, axis=0)
    actions, posteriors, repeats = _episodes(belief, evidence, teacher.separation(), draws, answer_above)
    table = pandas.DataFrame(
        {
            "image_id": np.repeat(np.asarray(ids, dtype=np.int64), per_image),
            "trace_id": np.arange(len(actions), dtype=np.int64),
            "label": np.repeat(labels.numpy(), per_image).astype(np.int64),
            "actions": actions,
            "thoughts": [[write_thought(belief) for belief in held] for held in posteriors],
        }
    )
    return Written(table, repeats)


class Draws:
    """Every random choice of all traces, drawn beforehand, so that no trace's length moves another's draws.

    Parameters
    ----------
    generator : numpy.random.Generator or None
        Draws them; with None there is no choice left to chance, and no fault.
    count : int
        Traces.
    config : TracesConfig
        Probabilities.
    """

    def __init__(self, generator: np.random.Generator | None, count: int, config: TracesConfig) -> None:
        steps = task.MAX_LOOKS
        if generator is None:
            self.endless = self.spoilt_answer = np.zeros(count, dtype=bool)
            self.answer = np.zeros(count, dtype=np.int64)
            self.anywhere = self.repeats = np.zeros((steps, count), dtype=bool)
            self.preference = np.zeros((steps, count, task.REGIONS))
            return
        self.endless = generator.random(count) < config.fault_endless
        self.spoilt_answer = generator.random(count) < config.fault_answer
        self.answer = generator.integers(0, task.DIGITS, count)
        self.anywhere = generator.random((steps, count)) < config.random_look
        self.repeats = generator.random((steps, count)) < config.fault_repeat
        self.preference = generator.random((steps, count, task.REGIONS))


def _episodes(
    belief: np.ndarray, evidence: np.ndarray, separation: np.ndarray, draws: Draws, answer_above: float
) -> tuple[list[list[int]], list[list[np.ndarray]], int]:
    """Play all traces at once; actions and posteriors of each, and how many looks were made to repeat."""
    count = len(belief)
    actions: list[list[int]] = [[] for _ in range(count)]
    posteriors: list[list[np.ndarray]] = [[] for _ in range(count)]
    seen = np.zeros((count, task.REGIONS), dtype=bool)
    playing = np.arange(count)
    repeats = 0
    for taken in range(task.MAX_LOOKS + 1):
        shifted = np.exp(belief[playing] - belief[playing].max(axis=1, keepdims=True))
        posterior = shifted / shifted.sum(axis=1, keepdims=True)
        for row, held in zip(playing.tolist(), posterior, strict=True):
            posteriors[row].append(held)
        answers = (posterior.max(axis=1) > answer_above) & ~draws.endless[playing]
        answers |= taken == task.MAX_LOOKS
        ending = playing[answers]
        digits = np.where(draws.spoilt_answer[ending], draws.answer[ending], posterior[answers].argmax(axis=1))
        for row, digit in zip(ending.tolist(), digits.tolist(), strict=True):
            actions[row].append(task.REGIONS + digit)
        playing, posterior = playing[~answers], posterior[~answers]
        if len(playing) == 0:
            break
        likeliest = np.argsort(-posterior, axis=1, kind="stable")[:, :2]
        value = separation[likeliest[:, 0], likeliest[:, 1]]
        preference = draws.preference[taken, playing]
        value = np.where(draws.anywhere[taken, playing, None], preference, value)
        again = draws.repeats[taken, playing] & (taken > 0)
        repeats += int(again.sum())
        # Positive everywhere, so zero rules a region out: the seen ones, or for a repeat all the others.
        value = np.where(again[:, None], preference, value) + 1e-12
        region = np.where(seen[playing] == again[:, None], value, 0.0).argmax(axis=1)
        for row, looked in zip(playing.tolist(), region.tolist(), strict=True):
            actions[row].append(looked)
        # A second look shows nothing new.
        fresh = ~seen[playing, region]
        belief[playing[fresh]] += evidence[playing[fresh], region[fresh]]
        seen[playing, region] = True
    return actions, posteriors, repeats
