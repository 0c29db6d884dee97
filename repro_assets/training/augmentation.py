"""Small random changes of the images, drawn anew for each image of a batch.

Laws: every draw comes from the generator that is given and belongs to a place in the batch; strengths of zero give the
images back unchanged, with equal bits, though the same numbers are drawn.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def augment(images: Tensor, generator: torch.Generator, *, rotation: float, shift: float, noise: float) -> Tensor:
    """Rotate, shift and add noise.

    Parameters
    ----------
    images : Tensor
        float32 [n, 8, 8] in 0 to 1.
    generator : torch.Generator
        Draws four numbers and 64 normal deviates an image.
    rotation : float
        Largest rotation either way, in degrees; uniform.
    shift : float
        Largest shift either way and along each axis, in half image sides; uniform.
    noise : float
        Standard deviation of Gaussian noise, in units of full ink.

    Returns
    -------
    Tensor
        float32 [n, 8, 8], bilinear with blank surroundings, clamped to 0 to 1.
    """
    count = len(images)
    angle = (2 * torch.rand(count, generator=generator) - 1) * math.radians(rotation)
    moved = (2 * torch.rand(count, 2, generator=generator) - 1) * shift
    deviates = torch.randn(images.shape, generator=generator)
    if rotation or shift:
        cosine, sine = torch.cos(angle), torch.sin(angle)
        affine = torch.stack(
            (
                torch.stack((cosine, -sine, moved[:, 0]), dim=1),
                torch.stack((sine, cosine, moved[:, 1]), dim=1),
            ),
            dim=1,
        )
        grid = functional.affine_grid(affine, [count, 1, *images.shape[1:]], align_corners=False)
        images = functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
    return (images + noise * deviates).clamp(0, 1) if noise else images
