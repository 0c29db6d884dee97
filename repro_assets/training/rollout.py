"""Episodes of a policy on images.

Laws: all noise is drawn before the first step and belongs to a place in the batch, so when other episodes end changes
no draw; the greedy choice draws nothing; an episode's actions are complete: its looks, then its answer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from repro_assets.recording.tracing import span
from repro_assets.training import task
from repro_assets.training.policy import Cache, Policy


class Episodes(NamedTuple):
    """Finished episodes.

    Attributes
    ----------
    actions : Tensor
        int64 [n, 9]: looks, then the answer; -1 after the end.
    looks : Tensor
        int64 [n], looks taken; the answer stands at this position.
    answers : Tensor
        int64 [n], digit answered.
    """

    actions: Tensor
    looks: Tensor
    answers: Tensor

    def regions(self) -> Tensor:
        """Regions looked at, int64 [n, most looks of any episode]; region 0 after an episode's end."""
        longest = int(self.looks.max())
        actions = self.actions[:, :longest]
        return torch.where((actions >= 0) & (actions < task.REGIONS), actions, 0)


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, float32.

    -log(-log u) with the inner logarithm kept away from 0, where u rounds to 1; clamping the outer one would bend the
    distribution.
    """
    uniform = torch.rand(shape, generator=generator)
    tiny = torch.finfo(torch.float32).tiny
    return -torch.log((-torch.log(uniform.clamp_min(tiny))).clamp_min(tiny))


@torch.no_grad()
def play(policy: Policy, images: Tensor, generator: torch.Generator | None = None) -> Episodes:
    """Play one episode per image.

    Parameters
    ----------
    policy : Policy
        Chooses the actions.
    images : Tensor
        float32 [n, 8, 8] in 0 to 1.
    generator : torch.Generator or None
        Draws the actions from the policy's distribution; None takes the likeliest action.

    Returns
    -------
    Episodes
        One per image, in the order of `images`.
    """
    count, device = len(images), images.device
    positions = task.MAX_LOOKS + 1
    noise = None if generator is None else gumbel((count, positions, task.ACTIONS), generator).to(device)
    actions = torch.full((count, positions), -1, dtype=torch.int64, device=device)
    looks = torch.full((count,), task.MAX_LOOKS, dtype=torch.int64, device=device)
    playing = torch.arange(count, device=device)
    pixels = task.region_pixels(images)
    token = policy.coarse_token(images)
    cache: Cache | None = None
    for taken in range(positions):
        logits, cache = policy.step(token, cache)
        logits = task.allow(logits, taken)
        if noise is not None:
            logits = logits + noise[playing, taken]
        action = logits.argmax(dim=1)
        actions[playing, taken] = action
        goes_on = action < task.REGIONS
        looks[playing[~goes_on]] = taken
        playing = playing[goes_on]
        if len(playing) == 0:
            break
        cache = [(key[goes_on], value[goes_on]) for key, value in cache]
        token = policy.look_tokens(pixels[playing], action[goes_on][:, None], taken)
    answers = actions.gather(1, looks[:, None])[:, 0] - task.REGIONS
    return Episodes(actions, looks, answers)


def validate(policy: Policy, images: Tensor, labels: Tensor, look_cost: float) -> dict[str, float]:
    """Greedy accuracy, mean looks and mean reward on labelled images, named ``validation/...``."""
    with span("validate"):
        episodes = play(policy, images)
    earned = task.reward(episodes.answers, labels, episodes.looks, look_cost)
    return {
        "validation/accuracy": float((episodes.answers == labels).double().mean()),
        "validation/looks": float(episodes.looks.double().mean()),
        "validation/reward": float(earned.double().mean()),
    }
