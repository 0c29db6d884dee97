"""Small random changes of images, each a function of what the image is and of how often it was drawn.

Laws: what is done to an image is a function of the seed, the draw and the image's index alone, so neither its place in
the batch, nor who prepares the batch, nor how many threads do, changes a bit; strengths of zero give the images back
unchanged, with equal bits.

The numbers are those of a counter-based generator (Philox; Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), keyed by the seed, with index and draw in its counter: it has no state that would have to be saved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def augment(
    images: Tensor,
    seed: int,
    draw: int,
    indices: Tensor | Sequence[int],
    *,
    rotation: float,
    shift: float,
    noise: float,
) -> Tensor:
    """Rotate, shift and add noise.

    Parameters
    ----------
    images : Tensor
        float32 [n, height, width] in 0 to 1.
    seed : int
        Of the consumer, 0 to 2^63 - 1, as `repro_assets.determinism.seeds.Seeds.derive` gives it.
    draw : int
        Which time the images are drawn, such as the number of the update.
    indices : Tensor or sequence of int
        [n], which image each is; one that is there twice is changed in the same way twice.
    rotation : float
        Largest rotation either way, in degrees; uniform.
    shift : float
        Largest shift either way and along each axis, in half image sides; uniform.
    noise : float
        Standard deviation of Gaussian noise, in units of full ink.

    Returns
    -------
    Tensor
        float32 [n, height, width], bilinear with blank surroundings, clamped to 0 to 1.
    """
    uniform, deviates = (part.to(images.device) for part in _numbers(seed, draw, indices, images.shape[1:]))
    if rotation or shift:
        angle = uniform[:, 0] * math.radians(rotation)
        moved = uniform[:, 1:] * shift
        grid = _grid(torch.cos(angle), torch.sin(angle), moved, images.shape[1], images.shape[2])
        images = functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
    return (images + noise * deviates).clamp(0, 1) if noise else images


@dataclass(frozen=True, slots=True)
class Views:
    """Views of images by draw and index; it can be sent to another process.

    Parameters
    ----------
    images : Tensor
        float32 [n, height, width] in 0 to 1; an index is a place in it.
    seed, rotation, shift, noise
        As in `augment`.
    """

    images: Tensor
    seed: int
    rotation: float
    shift: float
    noise: float

    def __call__(self, draw: int, indices: Tensor) -> Tensor:
        """Return the views, float32 [len(indices), height, width]."""
        return augment(
            self.images[indices],
            self.seed,
            draw,
            indices,
            rotation=self.rotation,
            shift=self.shift,
            noise=self.noise,
        )


def _numbers(seed: int, draw: int, indices: Tensor | Sequence[int], shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Return float32 [n, 3] uniform in -1 to 1, and [n, *shape] standard normal."""
    bits = np.random.Philox(key=[seed, 0])
    generator = np.random.Generator(bits)
    # As it is at the beginning, with nothing left over; the first word of the counter counts blocks of one image.
    state = bits.state
    uniform = np.empty((len(indices), 3), np.float32)
    deviates = np.empty((len(indices), *shape), np.float32)
    for row, index in enumerate(map(int, indices)):
        state["state"]["counter"] = np.array([0, index, draw, 0], np.uint64)
        bits.state = state
        generator.random(dtype=np.float32, out=uniform[row])
        generator.standard_normal(dtype=np.float32, out=deviates[row])
    return torch.from_numpy(2 * uniform - 1), torch.from_numpy(deviates)


def _grid(cosine: Tensor, sine: Tensor, moved: Tensor, height: int, width: int) -> Tensor:
    """Return where each pixel comes from, float32 [n, height, width, 2] in -1 to 1.

    That of `torch.nn.functional.affine_grid`, whose matrix product may round differently with other threads.
    """
    across = (2 * torch.arange(width, dtype=torch.float32, device=cosine.device) + 1) / width - 1
    down = ((2 * torch.arange(height, dtype=torch.float32, device=cosine.device) + 1) / height - 1)[:, None]
    cosine, sine = cosine[:, None, None], sine[:, None, None]
    x = cosine * across - sine * down + moved[:, 0, None, None]
    y = sine * across + cosine * down + moved[:, 1, None, None]
    return torch.stack((x, y), dim=3)
