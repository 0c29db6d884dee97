"""The stream that an online learner meets: images whose look has changed, without labels.

Laws: every image of a split is shifted alike but for its noise, which depends on the run's seed and the image's place
in its split alone; the stream's order of arrival depends on the seed alone; the labels of the stream are a product of
their own, so that nothing which is given the stream can see one.

A shift is a rotation, then a contrast around half ink, then noise: ``0.5 + contrast * (ink - 0.5) + noise``, ink in 0
to 1, clamped. What is rotated in from outside is blank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from repro_assets.errors import InvalidInput
from repro_assets.training import task

if TYPE_CHECKING:
    from repro_assets.recording.run import Run


class Shift(NamedTuple):
    """How images change.

    Attributes
    ----------
    rotation : float
        Degrees, anticlockwise.
    contrast : float
        Factor of the distance from half ink.
    noise : float
        Standard deviation of Gaussian noise, of full ink.
    """

    rotation: float = 0.0
    contrast: float = 1.0
    noise: float = 0.0


class StreamConfig(BaseModel):
    """The two shifts that are measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    a_rotation: float = Field(default=20.0, ge=-180, le=180, description="shift A: degrees")
    a_contrast: float = Field(default=0.8, ge=0, le=4, description="shift A: factor of the distance from half ink")
    a_noise: float = Field(default=0.05, ge=0, le=1, description="shift A: noise, standard deviation of full ink")
    b_rotation: float = Field(default=-25.0, ge=-180, le=180, description="shift B: degrees")
    b_contrast: float = Field(default=1.0, ge=0, le=4, description="shift B: factor of the distance from half ink")
    b_noise: float = Field(default=0.0, ge=0, le=1, description="shift B: noise, standard deviation of full ink")

    def shift(self, name: str) -> Shift:
        """Return shift ``a`` or ``b``."""
        return Shift(**{field: getattr(self, f"{name}_{field}") for field in Shift._fields})


SHIFTS = ("a", "b")


def shift_splits(
    run: Run,
    config: StreamConfig,
    digits: Mapping[str, Any],
    stream: Mapping[str, Any],
    validation: Mapping[str, Any],
    test: Mapping[str, Any],
) -> dict[str, dict[str, np.ndarray]]:
    """Make the shifted stream, the labels that are kept aside from it, and shifted labelled splits.

    Parameters
    ----------
    run : Run
        Gives the seeds (``stream/order``, and ``stream/noise`` with the name of split and shift); takes the sizes.
    config : StreamConfig
        The shifts.
    digits : mapping
        All digits with their labels, as `repro_assets.training.digits.read_digits` returns them.
    stream, validation, test : mapping
        Splits of them.

    Returns
    -------
    dict
        ``stream_a``, ``stream_b``: ``images`` float32 [n, 8, 8], ink 0 to 16, and ``image_ids``, in the order of
        arrival, which both share; ``validation_a``, ``validation_b``, ``test_a``, ``test_b``: the same and ``labels``
        uint8, in the order of the split; ``stream_labels``: ``labels`` uint8 [n] and ``image_ids``, as the streams.

    Raises
    ------
    InvalidInput
        If the stream is empty, or names an image that the digits do not have.
    """
    ids = np.asarray(stream["image_ids"], np.int64)
    if not len(ids):
        raise InvalidInput("the stream has no images", "give the split stream a size")
    labels = np.asarray(digits["labels"])
    if int(ids.min()) < 0 or int(ids.max()) >= len(labels):
        raise InvalidInput("the stream names an image that the digits do not have", "give the digits it was split from")
    order = run.seeds.numpy("stream/order").permutation(len(ids))
    arriving = {"images": np.asarray(stream["images"])[order], "image_ids": ids[order]}
    made: dict[str, dict[str, np.ndarray]] = {
        "stream_labels": {"labels": labels[ids[order]], "image_ids": ids[order]},
    }
    for name in SHIFTS:
        shift = config.shift(name)
        for split, value in (("stream", arriving), ("validation", validation), ("test", test)):
            generator = run.seeds.torch(f"stream/noise/{split}/{name}")
            seen = shifted(task.scale(value["images"]), shift, generator) * task.DEEPEST_INK
            kept = {field: np.asarray(value[field]) for field in ("image_ids", "labels") if field in value}
            made[f"{split}_{name}"] = {"images": seen.numpy(), **kept}
    run.log_metrics({f"{name}/images": float(len(value["image_ids"])) for name, value in made.items()})
    return made


def shifted(images: Tensor, shift: Shift, generator: torch.Generator) -> Tensor:
    """Shift images.

    Parameters
    ----------
    images : Tensor
        float32 [n, 8, 8] in 0 to 1.
    shift : Shift
        The shift.
    generator : torch.Generator
        Draws 64 normal deviates an image, also where the shift has no noise.

    Returns
    -------
    Tensor
        float32 [n, 8, 8] in 0 to 1.
    """
    deviates = torch.randn(images.shape, generator=generator)
    if shift.rotation:
        angle = math.radians(shift.rotation)
        affine = torch.tensor(
            [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]], dtype=images.dtype
        )
        grid = functional.affine_grid(affine.expand(len(images), 2, 3), [len(images), 1, 8, 8], align_corners=False)
        images = functional.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
    return (0.5 + shift.contrast * (images - 0.5) + shift.noise * deviates).clamp(0, 1)
