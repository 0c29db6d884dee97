"""Reinforcement fine-tuning: group-relative policy optimization (GRPO) from the supervised model.

Source: Shao et al. 2024, "DeepSeekMath", arXiv 2402.03300, section 4 and algorithm 1. An update draws images, plays a
group of episodes on each, and pushes up the actions of episodes that earned more than their group's mean. Reward =
(answer is right) - look_cost * looks, the same for every action of the episode (outcome supervision).

Laws: the reference is the model that is given, unchanged for the whole run; the model that is returned is the one after
the last update, none is chosen by its validation figures; equal inputs, config and seed give equal bits; continuing
from a checkpoint gives the bits of never having stopped.

Seeds: ``rft/batches``, ``rft/augmentation``, ``rft/rollouts``.

Deviations from the paper:

1. One update per batch of episodes, so the probability ratio is 1 and its clipping inactive; both are left out, and the
   gradient is that of advantage * log-probability.
2. The loss is averaged over all actions of the batch, not first over each episode: an episode's weight grows with its
   length instead of its actions' weight shrinking with it.
3. The divergence is the exact KL(learner || reference) over the 26 actions at every visited state, not the sampled
   estimator; it needs no sampling where there are only 26 actions.
4. The advantage divides by (standard deviation + `advantage_floor`): a group in which one look more or less is the only
   difference would otherwise count as much as one in which right and wrong answers meet.
5. The reference is never replaced by a newer policy (a single iteration of the paper's outer loop).
6. The reward is the rule above, not a learned reward model.
7. Prompts are images, augmented as in supervised fine-tuning, one view for a whole group; the gradient's norm is
   clipped at 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor

from repro_assets.training import optimization, policy, rollout, task
from repro_assets.training.augmentation import Views
from repro_assets.training.loop import Generators, Loop
from repro_assets.training.loop_config import LoopConfig
from repro_assets.training.policy import Policy
from repro_assets.training.rollout import Episodes

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

# Episodes that go through the network together, after sorting by length: shorter ones then carry less padding.
_CHUNK = 128


class RftConfig(LoopConfig):
    """Settings of reinforcement fine-tuning."""

    steps: int = Field(default=250, ge=1, le=100_000, description="updates")
    images_per_step: int = Field(default=32, ge=1, le=4096, description="images, and so groups, in an update")
    group_size: int = Field(default=16, ge=2, le=256, description="episodes on each image; under 8 many give no signal")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decoupled weight decay")
    warm_up: int = Field(default=10, ge=0, le=10_000, description="updates of linear warm-up")
    final_rate: float = Field(default=0.1, ge=0, le=1, description="share of the peak rate that is left at the end")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    look_cost: float = Field(default=0.01, ge=0, le=1, description="price of a look, in right answers (lambda)")
    divergence_weight: float = Field(
        default=0.02, ge=0, description="weight of the divergence from the reference (beta)"
    )
    advantage_floor: float = Field(default=0.01, gt=0, description="added to a group's standard deviation of rewards")
    rotation: float = Field(default=10.0, ge=0, le=45, description="augmentation: largest rotation, degrees")
    shift: float = Field(default=0.12, ge=0, le=1, description="augmentation: largest shift, half image sides")
    noise: float = Field(default=0.05, ge=0, le=1, description="augmentation: noise, standard deviation of full ink")
    log_every: int = Field(default=5, ge=1, description="updates between points of the training curve")
    validate_every: int = Field(default=25, ge=1, description="updates between validations")
    checkpoint_every: int = Field(default=50, ge=0, description="updates between checkpoints; 0: only the last")


def train_rft(
    run: Run,
    config: RftConfig,
    model: Mapping[str, Any],
    images: Mapping[str, Any],
    validation: Mapping[str, Any],
    *,
    resume: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fine-tune a policy by GRPO.

    Parameters
    ----------
    run : Run
        Gives the seeds; takes ``train/reward``, ``train/accuracy`` and ``train/looks`` (of the sampled episodes),
        ``train/loss``, ``train/divergence``, ``train/entropy`` (nats an action), ``train/informative_groups`` (share
        with rewards that differ), ``train/learning_rate``, ``train/gradient_norm``, ``validation/accuracy``,
        ``validation/looks`` and ``validation/reward`` (greedy), checkpoints and fingerprints.
    config : RftConfig
        Settings.
    model : mapping
        The model to start from, and the reference.
    images : mapping
        Labelled split to learn on.
    validation : mapping
        Labelled split for the validation curve; nothing is fitted or chosen on it.
    resume : mapping, optional
        Value of a checkpoint of this recipe to go on from, with the same `model`.

    Returns
    -------
    dict
        The model, as `repro_assets.training.policy.to_value` makes it.

    Raises
    ------
    InvalidInput
        If the model or a split is malformed; if `resume` is not a checkpoint of this recipe, config and data.
    """
    pictures, labels = task.labelled("rft", images)
    shown, shown_labels = task.labelled("validation", validation)
    reference, learner = policy.from_value(model), policy.from_value(model)
    optimizer = optimization.adamw(learner, config.weight_decay)
    generators = Generators({name: run.seeds.torch(f"rft/{name}") for name in ("batches", "rollouts")})
    seed = run.seeds.derive("rft/augmentation")
    views = Views(pictures, seed, config.rotation, config.shift, config.noise)
    batches = optimization.Batches(len(pictures), config.images_per_step, generators["batches"])

    def validate() -> dict[str, float]:
        return rollout.validate(learner, shown, shown_labels, config.look_cost)

    if resume is None:
        run.log_metrics(validate(), 0)
    with Loop(
        run,
        "rft",
        config,
        config.steps,
        {"model": learner, "optimizer": optimizer, "sampler": batches, "generators": generators},
        tensors=learner.state_dict,
        validate=validate,
        epoch=lambda step: (step - 1) * config.images_per_step // len(pictures),
        resume=resume,
    ) as loop:
        for step in loop:
            chosen = batches.next()
            seen = views(step, chosen).repeat_interleave(config.group_size, dim=0)
            truth = labels[chosen].repeat_interleave(config.group_size)
            episodes = rollout.play(learner, seen, generators["rollouts"])
            rewards = task.reward(episodes.answers, truth, episodes.looks, config.look_cost)
            advantages = group_advantages(rewards, config.group_size, config.advantage_floor)
            loss, divergence, entropy = grpo_loss(
                learner, reference, seen, episodes, advantages, config.divergence_weight
            )
            loop.note(batch=chosen, data=(seen, episodes.answers, rewards), loss=loss)
            rate = config.learning_rate * optimization.warmed_up_linear(
                step, config.steps, config.warm_up, config.final_rate
            )
            norm = optimization.update(learner, optimizer, loss, rate, config.clip_norm)
            groups = rewards.reshape(-1, config.group_size)
            loop.log(
                lambda: {
                    "train/reward": float(rewards.double().mean()),
                    "train/accuracy": float((episodes.answers == truth).double().mean()),
                    "train/looks": float(episodes.looks.double().mean()),
                    "train/loss": float(loss.detach()),
                    "train/divergence": divergence,
                    "train/entropy": entropy,
                    "train/informative_groups": float((groups.amax(dim=1) > groups.amin(dim=1)).double().mean()),
                    "train/learning_rate": rate,
                    "train/gradient_norm": norm,
                }
            )
    return policy.to_value(learner)


def group_advantages(rewards: Tensor, group_size: int, floor: float) -> Tensor:
    """(reward - mean of its group) / (standard deviation of its group + floor).

    Parameters
    ----------
    rewards : Tensor
        float32 [groups * group_size], a group's episodes side by side.
    group_size : int
        Episodes in a group.
    floor : float
        Keeps groups whose rewards hardly differ from being blown up.

    Returns
    -------
    Tensor
        float32, shaped as `rewards`; the mean over each group is 0.
    """
    grouped = rewards.reshape(-1, group_size)
    centred = grouped - grouped.mean(dim=1, keepdim=True)
    return (centred / (grouped.std(dim=1, correction=0, keepdim=True) + floor)).flatten()


def grpo_loss(
    learner: Policy,
    reference: Policy,
    images: Tensor,
    episodes: Episodes,
    advantages: Tensor,
    divergence_weight: float,
) -> tuple[Tensor, float, float]:
    """Loss of one on-policy update.

    Minus the mean over all actions of advantage * log-probability, plus `divergence_weight` times the mean over all
    visited states of KL(learner || reference).

    Parameters
    ----------
    learner, reference : Policy
        Only the learner's parameters get a gradient.
    images : Tensor
        float32 [n, 8, 8] in 0 to 1, as the episodes saw them.
    episodes : Episodes
        Played by the learner as it is now.
    advantages : Tensor
        float32 [n].
    divergence_weight : float
        Beta.

    Returns
    -------
    loss : Tensor
        Scalar.
    divergence, entropy : float
        Means over the visited states, in nats.
    """
    pushed, diverged, spread = torch.zeros(()), torch.zeros(()), 0.0
    states = int((episodes.looks + 1).sum())
    order = torch.argsort(episodes.looks, stable=True)
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        some = Episodes(*(field[part] for field in episodes))
        regions = some.regions()
        actions = some.actions[:, : regions.shape[1] + 1]
        visited = actions >= 0
        log_policy = learner(images[part], regions).log_softmax(dim=2)
        with torch.no_grad():
            log_reference = reference(images[part], regions).log_softmax(dim=2)
        taken = log_policy.gather(2, actions.clamp_min(0)[:, :, None])[:, :, 0]
        probability = log_policy.exp()
        divergence = (probability * (log_policy - log_reference)).sum(dim=2)
        pushed = pushed + (torch.where(visited, taken, 0) * advantages[part][:, None]).sum()
        diverged = diverged + torch.where(visited, divergence, 0).sum()
        disorder = -(probability * log_policy).detach().sum(dim=2)
        spread += float(torch.where(visited, disorder, 0).sum())
    loss = (divergence_weight * diverged - pushed) / states
    return loss, float(diverged.detach()) / states, spread / states
