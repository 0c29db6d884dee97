"""Test-time reinforcement learning (TTRL): a policy adapts to a stream of shifted images that nobody has labelled.

Source: Zuo et al. 2025, "TTRL: Test-Time Reinforcement Learning", arXiv 2504.16084. An update shows images, has the
policy answer each several times, takes what the answers agree on for the label, and rewards the answers that gave it,
with the policy before adaptation as reference.

Laws: no label reaches the learner: those of the stream are measured against and change no bit of the model; an
experience is on the disk before the update that learns from it; the reference is the model that is given; the model
that is returned is the one after the last update; equal inputs, config and seed give equal bits; continuing from a
checkpoint, which holds model, optimizer, generators, position in the stream and experience buffer, gives the bits of
never having stopped, and makes the inserts after the checkpoint again, with the same ids and digests.

Seeds: ``ttrl/batches``, ``ttrl/augmentation``, ``ttrl/rollouts``, ``ttrl/replay``.

Deviations from the paper:

1. Every answer sees a view of its own (rotation, shift, noise), so that a vote is one over views, too.
2. Neighbours vote along: the experiences of the buffer that are most like the image (`voting.of_neighbours`).
3. Votes are balanced (`voting.balanced`): without it the update feeds what is voted for most until one digit is left.
4. An image counts only where the vote's top share reaches `agreement`.
5. The advantage, the divergence and the loss are those of `repro_assets.training.rft`.

Limits:

1. Balancing assumes that all digits are equally frequent. A stream in which they are not is pushed towards it.
2. `transductive` first passes over the whole stream, so an image is voted on with the help of images that come later.
   Without it the stream is met once, `arrivals` images an update, neighbours are of what has been seen, and the other
   places of an update are replays drawn from the buffer by priority.
3. A vote is no better than the model that starts: where a shift leaves it right too seldom, agreement is on the wrong
   digit and adaptation makes it worse. Nothing here notices that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from repro_assets.errors import InvalidInput
from repro_assets.recording.experiences import ExperienceRecorder
from repro_assets.recording.tracing import span
from repro_assets.training import optimization, policy, rollout, task, voting
from repro_assets.training.augmentation import augment
from repro_assets.training.experience import ExperienceBuffer, combine
from repro_assets.training.experience_rows import LEARNED, PASSED, Layout
from repro_assets.training.loop import Generators, Loop, Stateful
from repro_assets.training.loop_config import LoopConfig
from repro_assets.training.policy import Policy
from repro_assets.training.rft import group_advantages, grpo_loss
from repro_assets.training.rollout import Episodes

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

Array = np.ndarray


class TtrlConfig(LoopConfig):
    """Settings of test-time reinforcement learning."""

    CHANGES_NO_BITS: ClassVar[frozenset[str]] = LoopConfig.CHANGES_NO_BITS | {"snapshot_every", "snapshot_count"}

    steps: int = Field(default=80, ge=1, le=100_000, description="updates")
    images_per_step: int = Field(default=32, ge=1, le=4096, description="images in an update")
    group_size: int = Field(default=16, ge=2, le=256, description="answers to each image")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decoupled weight decay")
    warm_up: int = Field(default=5, ge=0, le=10_000, description="updates of linear warm-up")
    final_rate: float = Field(default=0.1, ge=0, le=1, description="share of the peak rate that is left at the end")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    look_cost: float = Field(default=0.0, ge=0, le=1, description="price of a look, in agreed answers (lambda)")
    divergence_weight: float = Field(default=0.05, ge=0, description="weight of the divergence from the model (beta)")
    advantage_floor: float = Field(default=0.1, gt=0, description="added to a group's standard deviation of rewards")
    rotation: float = Field(default=15.0, ge=0, le=45, description="views: largest rotation, degrees")
    shift: float = Field(default=0.12, ge=0, le=1, description="views: largest shift, half image sides")
    noise: float = Field(default=0.03, ge=0, le=1, description="views: noise, standard deviation of full ink")
    transductive: bool = Field(default=True, description="first pass over the whole stream before the first update")
    arrivals: int = Field(default=5, ge=1, le=4096, description="new images in an update of a stream met once")
    vote: Literal["simple", "balanced"] = Field(default="balanced", description="how answers become a label")
    balance_prior: float = Field(default=10.0, ge=0, description="votes of equal shares added to the mean vote")
    agreement: float = Field(default=0.5, ge=0, le=1, description="least top share of a vote that is learned from")
    neighbours: int = Field(default=10, ge=0, le=1000, description="experiences that vote along")
    own_share: float = Field(default=0.5, ge=0, le=1, description="weight of the image's own answers against them")
    sharpness: float = Field(default=10.0, ge=0, le=1000, description="factor of the likeness before the softmax")
    space: Literal["visual", "text", "combined"] = Field(default="visual", description="embedding of the likeness")
    capacity: int = Field(default=10_000, ge=1, le=10_000_000, description="experiences that the buffer holds")
    age_horizon: int = Field(default=1000, ge=1, description="positions after which an experience is as old as any")
    snapshot_every: int = Field(default=20, ge=0, description="updates between snapshots of the buffer; 0: none")
    snapshot_count: int = Field(default=0, ge=0, description="new experiences that make a snapshot; 0: none")
    log_every: int = Field(default=1, ge=1, description="updates between points of the training curve")
    validate_every: int = Field(default=20, ge=1, description="updates between measurements against the kept labels")
    checkpoint_every: int = Field(default=20, ge=0, description="updates between checkpoints; 0: only the last")


class _Answered(NamedTuple):
    """Images and their answers: `places` in the stream, what was `seen`, `episodes`, own vote, embeddings."""

    places: Array
    seen: Tensor
    episodes: Episodes
    own: Array
    visual: Array
    text: Array


class _Voted(NamedTuple):
    """Votes [n, 10], the neighbours that took part (ids and their votes' winners), labels and top shares."""

    votes: Array
    neighbours: Array
    neighbours_say: Array
    labels: Array
    confidence: Array


class _Place:
    """Where in the stream the learner is: images that have arrived, and images answered, which is the position."""

    def __init__(self) -> None:
        self.arrived = 0
        self.answered = 0

    def state_dict(self) -> dict[str, int]:
        return {"arrived": self.arrived, "answered": self.answered}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        self.arrived, self.answered = int(state["arrived"]), int(state["answered"])


def train_ttrl(
    run: Run,
    config: TtrlConfig,
    model: Mapping[str, Any],
    stream: Mapping[str, Any],
    stream_labels: Mapping[str, Any],
    *,
    resume: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Adapt a policy to a stream without labels.

    Parameters
    ----------
    run : Run
        Gives the seeds; takes ``train/reward`` (answers that are the vote's), ``train/confidence`` (the vote's top
        share), ``train/divergence`` and ``train/entropy`` (nats an action), ``train/updated`` (share of the images that
        were learned from), ``train/looks``, ``train/loss``, ``train/learning_rate``, ``train/gradient_norm``,
        ``buffer/size``; measured against the labels kept aside: ``aside/pseudo_label_accuracy`` (of the images learned
        from), ``aside/vote_accuracy`` (of all) and ``aside/accuracy`` (greedy, on the stream); inserts and snapshots of
        the buffer, checkpoints and fingerprints.
    config : TtrlConfig
        Settings.
    model : mapping
        The model to start from, and the reference.
    stream : mapping
        ``images`` [n, 8, 8], ink 0 to 16, and ``image_ids``, in the order of arrival.
    stream_labels : mapping
        ``labels`` of the stream, kept aside: they are compared with and change no bit of what is returned.

    Returns
    -------
    dict
        ``model``, as `repro_assets.training.policy.to_value` makes it, and ``experience``: the rows of the buffer.

    Raises
    ------
    InvalidInput
        If model or stream is malformed, or the stream carries labels; if `resume` is no checkpoint of this recipe,
        config and data.
    """
    if "labels" in stream:
        raise InvalidInput("the stream carries labels, which the learner must not see", "give them as stream_labels")
    pictures, aside = task.labelled("stream", {**stream, "labels": stream_labels.get("labels", [])})
    reference, learner = policy.from_value(model), policy.from_value(model)
    optimizer = optimization.adamw(learner, config.weight_decay)
    names = ("batches", "rollouts", "replay")
    generators = Generators({name: run.seeds.torch(f"ttrl/{name}") for name in names})
    batches = optimization.Batches(len(pictures), config.images_per_step, generators["batches"])
    width = learner.architecture.width
    buffer = ExperienceBuffer(Layout(visual=64, text=width), config.capacity, config.age_horizon)
    recorder = ExperienceRecorder(run, buffer.snapshot, every=config.snapshot_every, count=config.snapshot_count)
    place = _Place()
    seed = run.seeds.derive("ttrl/augmentation")
    adaptation = _Adaptation(config, learner, pictures, generators, seed, buffer, recorder, place)

    def measure() -> dict[str, float]:
        with span("validate"):
            episodes = rollout.play(learner, pictures)
        return {"aside/accuracy": float((episodes.answers == aside).double().mean())}

    if resume is None:
        run.log_metrics(measure(), 0)
        if config.transductive:
            with span("first pass"):
                adaptation.pass_over()
    parts: dict[str, Stateful] = {
        "model": learner,
        "optimizer": optimizer,
        "sampler": batches,
        "generators": generators,
        "stream": place,
        "buffer": buffer,
    }
    with Loop(
        run, "ttrl", config, config.steps, parts, tensors=learner.state_dict, validate=measure, resume=resume
    ) as loop:
        for step in loop:
            answered = adaptation.answer(_each_once(batches) if config.transductive else adaptation.arriving())
            voted = adaptation.vote(answered)
            ids, rewards = adaptation.remember(answered, voted)
            clear = voted.confidence >= config.agreement
            loop.note(batch=answered.places, data=(answered.seen, rewards))
            rate = config.learning_rate * optimization.warmed_up_linear(
                step, config.steps, config.warm_up, config.final_rate
            )
            figures: dict[str, float] = {}
            if clear.any():
                chosen = torch.from_numpy(np.repeat(clear, config.group_size))
                advantages = group_advantages(rewards[chosen], config.group_size, config.advantage_floor)
                loss, divergence, entropy = grpo_loss(
                    learner,
                    reference,
                    answered.seen[chosen],
                    Episodes(*(field[chosen] for field in answered.episodes)),
                    advantages,
                    config.divergence_weight,
                )
                loop.note(loss=loss)
                figures["train/gradient_norm"] = optimization.update(learner, optimizer, loss, rate, config.clip_norm)
                figures |= {"train/loss": float(loss.detach()), "train/divergence": divergence}
                figures["train/entropy"] = entropy
            adaptation.settle(ids, clear)
            recorder.after(step, held=len(buffer), position=place.answered)
            right = voted.labels == aside[answered.places].numpy()
            figures |= {
                "train/reward": float(rewards.double().mean()),
                "train/confidence": float(voted.confidence.mean()),
                "train/updated": float(clear.mean()),
                "train/looks": float(answered.episodes.looks.double().mean()),
                "train/learning_rate": rate,
                "buffer/size": float(len(buffer)),
                "aside/vote_accuracy": float(right.mean()),
            }
            if clear.any():
                figures["aside/pseudo_label_accuracy"] = float(right[clear].mean())
            loop.log(lambda: figures)
    return {"model": policy.to_value(learner), "experience": buffer.snapshot()}


def _each_once(batches: optimization.Batches) -> Array:
    """Next batch; an image that comes at the end of one order and the beginning of the next counts once."""
    drawn = batches.next().numpy()
    _, first = np.unique(drawn, return_index=True)
    places: Array = drawn[np.sort(first)]
    return places


class _Adaptation:
    """One learner at a stream: answers, votes, remembers. What it changes are its parts, which a checkpoint holds."""

    def __init__(
        self,
        config: TtrlConfig,
        learner: Policy,
        pictures: Tensor,
        generators: Generators,
        seed: int,
        buffer: ExperienceBuffer,
        recorder: ExperienceRecorder,
        place: _Place,
    ) -> None:
        self.config = config
        self.learner = learner
        self.pictures = pictures
        self.generators = generators
        self.seed = seed
        self.buffer = buffer
        self.recorder = recorder
        self.place = place

    def pass_over(self) -> None:
        """Answer every image of the stream once, without learning, in the order of arrival."""
        size = self.config.images_per_step
        for start in range(0, len(self.pictures), size):
            answered = self.answer(np.arange(start, min(start + size, len(self.pictures))))
            labels = answered.own.argmax(axis=1)
            nobody = np.empty((len(labels), 0), np.int64)
            self.remember(answered, _Voted(answered.own, nobody, nobody, labels, answered.own.max(axis=1)))

    def arriving(self) -> Array:
        """Places of the next images of the stream, and of experiences to fill up with, drawn by priority."""
        start, count = self.place.arrived, self.config.arrivals
        new = np.arange(start, min(start + count, len(self.pictures)))
        self.place.arrived += len(new)
        replayed = self.buffer.sample(self.config.images_per_step - len(new), self.generators["replay"])
        return np.concatenate((new, self.buffer.take(replayed)["source"]))

    def answer(self, places: Array) -> _Answered:
        """Answer each of these images `group_size` times, each time by another view."""
        config = self.config
        images = self.pictures[torch.from_numpy(places)]
        views = torch.from_numpy(places).repeat_interleave(config.group_size) * config.group_size
        views += torch.arange(config.group_size).repeat(len(places))
        seen = augment(
            images.repeat_interleave(config.group_size, dim=0),
            self.seed,
            self.place.answered,
            views,
            rotation=config.rotation,
            shift=config.shift,
            noise=config.noise,
        )
        episodes = rollout.play(self.learner, seen, self.generators["rollouts"])
        own = voting.shares(episodes.answers, config.group_size, task.DIGITS)
        flat = images.flatten(1)
        visual = (flat - flat.mean(dim=1, keepdim=True)).numpy()
        return _Answered(places, seen, episodes, own, visual, self._read(seen, episodes))

    @torch.no_grad()
    def _read(self, seen: Tensor, episodes: Episodes) -> Array:
        """What the policy makes of an image: the state that it answers from, mean over the answers, [n, width]."""
        states = self.learner.states(seen, episodes.regions())
        last = states[torch.arange(len(states)), episodes.looks]
        mean: Array = last.reshape(-1, self.config.group_size, last.shape[1]).mean(dim=1).numpy()
        return mean

    def vote(self, answered: _Answered) -> _Voted:
        """Vote on each image: its own answers, its neighbours', balanced; the image itself is no neighbour."""
        config, votes = self.config, answered.own
        ids = np.empty((len(votes), 0), np.int64)
        say = ids
        if config.neighbours and len(self.buffer):
            queries = {
                "visual": answered.visual,
                "text": answered.text,
                "combined": combine(answered.visual, answered.text),
            }[config.space]
            ids, distances = self.buffer.search(
                queries, config.neighbours, space=config.space, but_not_of=answered.places
            )
            theirs = np.zeros((*ids.shape, task.DIGITS))
            theirs[ids >= 0] = self.buffer.take(ids[ids >= 0])["vote"]
            say = theirs.argmax(axis=2)
            votes = voting.mixed(votes, voting.of_neighbours(theirs, distances, config.sharpness), config.own_share)
        if config.vote == "balanced":
            votes = voting.balanced(votes, self.buffer.votes(), config.balance_prior)
        return _Voted(votes, ids, say, votes.argmax(axis=1), votes.max(axis=1))

    def remember(self, answered: _Answered, voted: _Voted) -> tuple[Array, Tensor]:
        """Put the images into the buffer, each in the place of what was known of it, and on the disk.

        Returns
        -------
        ids : ndarray
            int64 [n].
        rewards : Tensor
            float32 [n * group_size], of every answer.
        """
        size = self.config.group_size
        labels = torch.from_numpy(voted.labels).repeat_interleave(size)
        rewards = task.reward(answered.episodes.answers, labels, answered.episodes.looks, self.config.look_cost)
        # The first answer that is the vote's; the first one where none is.
        agreeing = (answered.episodes.answers == labels).reshape(-1, size).to(torch.int8).argmax(dim=1)
        told = torch.arange(len(agreeing)) * size + agreeing
        first = self.place.answered
        self.place.answered += len(answered.places)
        images = self.pictures[torch.from_numpy(answered.places)]
        self._retrieved(voted)
        self.buffer.remove(self.buffer.of_sources(answered.places))
        ids = self.buffer.insert(
            {
                "source": answered.places,
                "timestamp": np.arange(first, self.place.answered),
                "features": images.numpy(),
                "question": task.coarse_view(images).numpy(),
                "trajectory": answered.episodes.actions[told].to(torch.int8).numpy(),
                "vote": answered.own,
                "confidence": voted.confidence,
                "reward": rewards.reshape(-1, size).mean(dim=1).numpy(),
                "visual": answered.visual,
                "text": answered.text,
            }
        )
        self.recorder.inserted(self.buffer.inserted(ids), int(ids[0]), self.place.answered)
        return ids, rewards

    def _retrieved(self, voted: _Voted) -> None:
        there = voted.neighbours >= 0
        helped = voted.neighbours_say == voted.labels[:, None]
        self.buffer.note_retrieved(voted.neighbours[there], helped[there])

    def settle(self, ids: Array, clear: Array) -> None:
        """Say which experiences were learned from."""
        self.buffer.set_status(ids[clear], LEARNED)
        self.buffer.set_status(ids[~clear], PASSED)
