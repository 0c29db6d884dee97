"""Supervised fine-tuning: the policy learns to take the actions of the kept traces.

Loss: cross-entropy of the next action given the coarse view and the looks so far, mean over all actions of the batch.
The images are augmented anew at every step, by this process or by workers; the actions stay those chosen on the clean
image. Several processes share each batch: each augments and reads its part, and the gradients are summed.

Laws: the model that is returned is the one after the last step, no step is chosen by its validation figures; equal
inputs, config and seed give equal bits; continuing from a checkpoint gives the bits of never having stopped; the
batches do not depend on the number of processes, the bits of their sums do.

Seeds: ``sft/initialisation``, ``sft/batches``, ``sft/augmentation``.

Deviations from plain imitation learning:

1. The images are augmented (rotation, shift, noise) although the actions were chosen on the clean ones: on the
   validation split this won 4 points of greedy accuracy (mean of five seeds).
2. The gradient's norm is clipped at 1, which binds in nine steps of ten.
3. No early stopping: validation is a curve to look at. A validation split of 97 images has a standard error of 3 to 4
   points and would choose noise.
4. Kept traces count alike, unless a curriculum is set; `quality` is for the filter's threshold and for whoever reads
   the table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional

from repro_assets.errors import InvalidInput
from repro_assets.training import optimization, policy, rollout, task
from repro_assets.training.augmentation import Views
from repro_assets.training.curriculum_strategies import make_curriculum, read_settings
from repro_assets.training.filtering import read_traces
from repro_assets.training.loop import Generators, Loop
from repro_assets.training.loop_config import ParallelConfig
from repro_assets.training.policy import Architecture, Policy
from repro_assets.training.preparing import Prepare, prepared
from repro_assets.training.ranks import Ranks
from repro_assets.training.sampling import CurriculumBatches

if TYPE_CHECKING:
    import pandas

    from repro_assets.recording.run import Run


class SftConfig(ParallelConfig):
    """Settings of supervised fine-tuning."""

    steps: int = Field(default=600, ge=1, le=100_000, description="updates")
    batch_size: int = Field(default=128, ge=1, le=4096, description="traces in an update")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decoupled weight decay")
    warm_up: int = Field(default=50, ge=0, le=10_000, description="updates of linear warm-up, then half a cosine to 0")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    rotation: float = Field(default=10.0, ge=0, le=45, description="augmentation: largest rotation, degrees")
    shift: float = Field(default=0.12, ge=0, le=1, description="augmentation: largest shift, half image sides")
    noise: float = Field(default=0.05, ge=0, le=1, description="augmentation: noise, standard deviation of full ink")
    width: int = Field(default=64, ge=4, le=1024, description="width of the transformer")
    layers: int = Field(default=2, ge=1, le=16, description="transformer blocks")
    heads: int = Field(default=4, ge=1, le=32, description="attention heads; must divide the width")
    feed_forward: int = Field(default=256, ge=4, le=4096, description="hidden width of the feed-forward part")
    look_cost: float = Field(default=0.01, ge=0, le=1, description="price of a look in the logged validation reward")
    curriculum: Literal["none", "stages", "competence", "loss"] = Field(
        default="none", description="what decides how hard the traces of a batch are"
    )
    curriculum_settings: dict[str, Any] = Field(
        default_factory=dict, validate_default=True, description="settings of that curriculum"
    )
    curriculum_every: int = Field(default=100, ge=1, description="updates between evaluations for the curriculum")

    workers: int = Field(default=0, ge=0, le=64, description="processes that prepare batches; 0: the one that trains")

    CHANGES_NO_BITS: ClassVar[frozenset[str]] = ParallelConfig.CHANGES_NO_BITS | {"workers"}

    @field_validator("curriculum_settings")
    @classmethod
    def _of_the_curriculum(cls, settings: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        strategy = info.data.get("curriculum")
        if strategy is not None and strategy != "none":
            read_settings(strategy, settings)
        elif strategy is not None and settings:
            raise ValueError("there is no curriculum to set: set curriculum to stages, competence or loss")
        return settings

    @field_validator("batch_size")
    @classmethod
    def _enough_for_all(cls, batch_size: int, info: ValidationInfo) -> int:
        processes = info.data.get("processes", 1)
        if batch_size < processes:
            raise ValueError(f"{processes} processes cannot share a batch of {batch_size}: set processes to fewer")
        return batch_size

    @field_validator("curriculum")
    @classmethod
    def _by_one_process(cls, curriculum: str, info: ValidationInfo) -> str:
        if curriculum != "none" and info.data.get("processes", 1) > 1:
            raise ValueError("a curriculum goes by the losses of whole batches: set processes to 1")
        return curriculum

    @field_validator("workers")
    @classmethod
    def _can_be_ahead(cls, workers: int, info: ValidationInfo) -> int:
        if workers and info.data.get("curriculum", "none") != "none":
            raise ValueError("a curriculum chooses each batch after the one before it: set workers to 0")
        return workers


@dataclass(frozen=True, slots=True)
class _Part:
    """The views of this rank's part of a batch."""

    views: Views
    ranks: Ranks

    def __call__(self, draw: int, indices: Tensor) -> Tensor:
        return self.views(draw, self.ranks.part(indices))


class _Examples(NamedTuple):
    """Traces as tensors: `rows` int64 [n] into the images, `actions` int64 [n, 9] with -1 after the answer."""

    rows: Tensor
    actions: Tensor


def train_sft(
    run: Run,
    config: SftConfig,
    traces: pandas.DataFrame,
    images: Mapping[str, Any],
    validation: Mapping[str, Any],
    *,
    resume: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a policy on traces.

    Parameters
    ----------
    run : Run
        Gives the seeds; takes ``train/loss``, ``train/accuracy`` (share of actions predicted), ``train/learning_rate``,
        ``train/gradient_norm``, ``validation/accuracy``, ``validation/looks`` and ``validation/reward`` (all greedy),
        checkpoints and fingerprints; with a curriculum also ``curriculum/simple``, ``curriculum/medium`` and
        ``curriculum/hard`` (traces of the batch) and its changes. A curriculum may go by the three figures of the
        validation and, of the newest batch, by ``train/loss``, ``train/perplexity`` and ``train/accuracy``.
    config : SftConfig
        Settings.
    traces : pandas.DataFrame
        The kept traces, as `filter_and_score` returns them.
    images : mapping
        The split that the traces are about: ``images``, ``labels``, ``image_ids``.
    validation : mapping
        Labelled split for the validation curve; nothing is fitted or chosen on it, but a curriculum may go by it.
    resume : mapping, optional
        Value of a checkpoint of this recipe to go on from.

    Returns
    -------
    dict
        The model, as `repro_assets.training.policy.to_value` makes it.

    Raises
    ------
    InvalidInput
        If a trace is malformed or is about an image or a label that the split does not have; if `resume` is not a
        checkpoint of this recipe, config and data.
    InvalidValue
        If the architecture is impossible.
    """
    pictures, _ = task.labelled("sft", images)
    shown, labels = task.labelled("validation", validation)
    examples = _examples(traces, images)
    ranks = Ranks.here(config.processes)
    device = ranks.device(config.device)
    shape = Architecture(width=config.width, layers=config.layers, heads=config.heads, feed_forward=config.feed_forward)
    model = Policy(shape, run.seeds.torch("sft/initialisation")).to(device)
    optimizer = optimization.adamw(model, config.weight_decay)
    generators = Generators({"batches": run.seeds.torch("sft/batches")})
    seed = run.seeds.derive("sft/augmentation")
    views = Views(pictures[examples.rows], seed, config.rotation, config.shift, config.noise)
    batches: optimization.Batches | CurriculumBatches
    if config.curriculum == "none":
        batches = optimization.Batches(len(examples.rows), config.batch_size, generators["batches"])
    else:
        batches = _steered(run, config, traces, generators["batches"])
    shown, labels, actions = shown.to(device), labels.to(device), examples.actions
    steered = batches if isinstance(batches, CurriculumBatches) else None
    if steered is not None and resume is None:
        steered.start()

    loop = Loop(
        run,
        "sft",
        config,
        config.steps,
        {"model": model, "optimizer": optimizer, "sampler": batches, "generators": generators},
        tensors=model.state_dict,
        validate=lambda: rollout.validate(model, shown, labels, config.look_cost),
        epoch=lambda step: (step - 1) * config.batch_size // len(examples.rows),
        resume=resume,
        ranks=ranks,
    )
    steps = range(loop.done + 1, config.steps + 1)
    if isinstance(batches, CurriculumBatches):
        ahead = _one_by_one(batches, views, steps)
    else:
        ahead = prepared(batches, _Part(views, ranks), steps, config.workers)

    def exchange(model: nn.Module) -> None:
        ranks.sum_gradients(model, config.bucket_megabytes)

    with loop, contextlib.closing(ahead) as ready:
        for step in loop:
            chosen, seen = next(ready)
            wanted = ranks.part(actions[chosen])
            loss, accuracy, each = imitation_loss(model, seen.to(device), wanted.to(device))
            share = 1.0 if ranks.count == 1 else int((wanted >= 0).sum()) / int((actions[chosen] >= 0).sum())
            loop.note(batch=chosen, data=seen, loss=loss)
            rate = config.learning_rate * optimization.warmed_up_cosine(step, config.steps, config.warm_up)
            norm = optimization.update(
                model, optimizer, loss if ranks.count == 1 else loss * share, rate, config.clip_norm, exchange
            )

            def of_the_batch() -> dict[str, float]:
                whole = ranks.total(share * float(loss.detach()), share * accuracy)
                reached = dict(zip(("train/loss", "train/accuracy"), whole, strict=True))
                counts = {} if steered is None else steered.counts(chosen)
                return {**reached, "train/learning_rate": rate, "train/gradient_norm": norm, **counts}

            loop.log(of_the_batch, own=lambda: {"train/loss": float(loss.detach()), "train/accuracy": accuracy})
            if steered is None:
                continue
            steered.learn(chosen, each.cpu())
            if step % config.curriculum_every == 0:
                reached = loss.detach().double()
                figures = rollout.validate(model, shown, labels, config.look_cost)
                figures |= {"train/loss": float(reached), "train/perplexity": float(reached.exp())}
                steered.observe(step, {**figures, "train/accuracy": accuracy})
    return policy.to_value(model)


def imitation_loss(model: Policy, images: Tensor, actions: Tensor) -> tuple[Tensor, float, Tensor]:
    """Mean cross-entropy over the actions, the share that the policy would have taken itself, the mean of each trace.

    Parameters
    ----------
    model : Policy
        The policy.
    images : Tensor
        float32 [n, 8, 8] in 0 to 1.
    actions : Tensor
        int64 [n, 9], looks, then the answer, then -1.

    Returns
    -------
    loss : Tensor
        Scalar.
    accuracy : float
        0 to 1.
    each : Tensor
        float32 [n], without a gradient.
    """
    longest = int((actions >= 0).sum(dim=1).max())
    wanted = actions[:, :longest]
    looks = wanted[:, :-1]
    logits = model(images, torch.where((looks >= 0) & (looks < task.REGIONS), looks, 0))
    loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-1)
    hits = (logits.detach().argmax(dim=2) == wanted).sum()
    costs = functional.cross_entropy(logits.detach().transpose(1, 2), wanted, ignore_index=-1, reduction="none")
    taken = wanted >= 0
    return loss, float(hits / taken.sum()), costs.sum(dim=1) / taken.sum(dim=1)


def _one_by_one(
    batches: CurriculumBatches, prepare: Prepare, steps: range
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield what `prepared` does; what a batch is depends on what was learned before it."""
    for step in steps:
        chosen = batches.draw(step)
        yield chosen, prepare(step, chosen)


def _steered(run: Run, config: SftConfig, traces: pandas.DataFrame, generator: torch.Generator) -> CurriculumBatches:
    if "difficulty" not in traces.columns:
        raise InvalidInput(
            "the traces have no column difficulty, which a curriculum needs", "filter the raw traces again"
        )
    difficulties = traces["difficulty"].tolist()
    assert config.curriculum != "none"
    curriculum = make_curriculum(config.curriculum, config.curriculum_settings, difficulties)
    return CurriculumBatches(run, curriculum, difficulties, config.batch_size, generator)


def _examples(traces: pandas.DataFrame, images: Mapping[str, Any]) -> _Examples:
    checked = read_traces(traces)
    row_of = {int(image_id): row for row, image_id in enumerate(np.asarray(images["image_ids"]))}
    labels = np.asarray(images["labels"])
    rows, actions = [], []
    for trace_id, image_id, (label, taken, _) in zip(traces["trace_id"], traces["image_id"], checked, strict=True):
        row = row_of.get(int(image_id))
        if row is None:
            raise InvalidInput(
                f"trace {trace_id} is about image {image_id}, which the sft split does not hold",
                "give the split that the traces were made from",
            )
        if int(labels[row]) != label:
            raise InvalidInput(
                f"trace {trace_id} has the label {label}, image {image_id} is a {labels[row]}",
                "correct or remove this trace",
            )
        rows.append(row)
        actions.append(taken + [-1] * (task.MAX_LOOKS + 1 - len(taken)))
    return _Examples(torch.tensor(rows), torch.tensor(actions))
