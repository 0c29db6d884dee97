"""The look/answer task: what a policy sees, what it may do, what it earns.

Laws: the policy knows an image only through its coarse view and the regions it chose to look at; after `MAX_LOOKS`
looks only answers are left; an episode ends with its one answer; a second look at a region is allowed and costs the
same; reward = (answer is right) - look_cost * looks.

An action is an integer: 0 to 15 looks at region 4 * row + column of the 4 x 4 grid of 2 x 2 pixel regions, 16 to 25
answers the digit action - 16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from repro_assets.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

REGIONS = 16
DIGITS = 10
ACTIONS = REGIONS + DIGITS
MAX_LOOKS = 8
COARSE = 4
REGION_PIXELS = 4
DEEPEST_INK = 16.0

# Finite, so that the divergence of two masked distributions is 0 and not NaN; exp of it is 0 in float32.
_FORBIDDEN = -1e9


def scale(images: Any) -> Tensor:
    """Ink counts as float32 in 0 to 1.

    Parameters
    ----------
    images : array or tensor
        [n, 8, 8], ink 0 to 16.

    Returns
    -------
    Tensor
        float32 [n, 8, 8].
    """
    return torch.as_tensor(images).to(torch.float32) / DEEPEST_INK


def coarse_view(images: Tensor) -> Tensor:
    """Means of the four 4 x 4 blocks, row by row: [n, 8, 8] to [n, 4], in the units of `images`."""
    return images.reshape(-1, 2, 4, 2, 4).mean(dim=(2, 4)).reshape(-1, COARSE)


def region_pixels(images: Tensor) -> Tensor:
    """Pixels of every region: [n, 8, 8] to [n, 16, 4], in the units of `images`."""
    return images.reshape(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, REGIONS, REGION_PIXELS)


def allow(logits: Tensor, looks_taken: int) -> Tensor:
    """Logits with the looks ruled out where `looks_taken` has reached `MAX_LOOKS`.

    Parameters
    ----------
    logits : Tensor
        [..., 26], all at the point where `looks_taken` looks have been taken.
    looks_taken : int
        0 to `MAX_LOOKS`.
    """
    if looks_taken < MAX_LOOKS:
        return logits
    ruled_out = torch.arange(ACTIONS, device=logits.device) < REGIONS
    return logits.masked_fill(ruled_out, _FORBIDDEN)


def allow_sequence(logits: Tensor) -> Tensor:
    """`allow` at every position of [n, positions, 26], where position t comes after t looks."""
    if logits.shape[1] <= MAX_LOOKS:
        return logits
    after = torch.arange(logits.shape[1], device=logits.device)[:, None] >= MAX_LOOKS
    ruled_out = torch.arange(ACTIONS, device=logits.device)[None, :] < REGIONS
    return logits.masked_fill(after & ruled_out, _FORBIDDEN)


def reward(answers: Tensor, labels: Tensor, looks: Tensor, look_cost: float) -> Tensor:
    """Reward of finished episodes.

    Parameters
    ----------
    answers, labels, looks : Tensor
        int64 [n]: digit answered, true digit, looks taken.
    look_cost : float
        Price of a look in units of a right answer (lambda).

    Returns
    -------
    Tensor
        float32 [n].
    """
    return (answers == labels).to(torch.float32) - look_cost * looks.to(torch.float32)


def labelled(name: str, split: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Scaled images and labels of a split.

    Parameters
    ----------
    name : str
        What the split is called in an error.
    split : mapping
        ``images`` [n, 8, 8], ink 0 to 16, and ``labels`` [n], 0 to 9.

    Returns
    -------
    images : Tensor
        float32 [n, 8, 8] in 0 to 1.
    labels : Tensor
        int64 [n].

    Raises
    ------
    InvalidInput
        If there are no images, or no label for each, or one is not a digit.
    """
    remedy = "give a labelled split as split_digits makes it"
    absent = [field for field in ("images", "labels") if field not in split]
    if absent:
        raise InvalidInput(f"the {name} data has no {' and no '.join(absent)}", remedy)
    images, labels = torch.as_tensor(split["images"]), torch.as_tensor(split["labels"]).to(torch.int64)
    if images.ndim != 3 or tuple(images.shape[1:]) != (8, 8) or len(images) == 0:
        raise InvalidInput(f"the {name} images have the shape {tuple(images.shape)}, not [n, 8, 8]", remedy)
    if labels.shape != images.shape[:1]:
        raise InvalidInput(f"the {name} data has {len(images)} images and {labels.numel()} labels", remedy)
    if int(labels.min()) < 0 or int(labels.max()) >= DIGITS:
        raise InvalidInput(f"the {name} data has a label outside 0 to 9", remedy)
    return scale(images), labels
