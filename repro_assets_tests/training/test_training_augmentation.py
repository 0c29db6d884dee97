"""What is done to an image depends on what it is and on how often it was drawn, and on nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from repro_assets.training import task
from repro_assets.training.augmentation import Views, augment

STRENGTHS = {"rotation": 10.0, "shift": 0.12, "noise": 0.05}


@pytest.fixture(scope="module")
def images(splits):
    return task.scale(splits["rft"]["images"][:50])


def test_strength_zero_is_the_identity_and_otherwise_every_image_moves(images):
    still = augment(images, 3, 1, range(50), rotation=0, shift=0, noise=0)
    assert torch.equal(still, images)
    moved = augment(images, 3, 1, range(50), **STRENGTHS)
    assert moved.shape == images.shape
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    assert bool(((moved - images).abs().amax(dim=(1, 2)) > 0.02).all())


def test_place_company_and_threads_change_no_bit(images):
    whole = augment(images, 3, 1, torch.arange(50), **STRENGTHS)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(augment(images[order], 3, 1, order, **STRENGTHS), whole[order])
    alone = torch.cat([augment(images[[row]], 3, 1, [row], **STRENGTHS) for row in range(50)])
    assert torch.equal(alone, whole)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        many = augment(images.repeat(40, 1, 1), 3, 1, list(range(50)) * 40, **STRENGTHS)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(many, whole.repeat(40, 1, 1))


def test_what_is_sent_to_a_worker_that_is_not_forked_gives_the_same_views(images):
    views = Views(images, 3, **STRENGTHS)
    drawn = torch.tensor([4, 0, 4])
    sent = pickle.loads(pickle.dumps(views))
    assert torch.equal(sent(2, drawn), views(2, drawn))
    assert torch.equal(views(2, drawn), augment(images[drawn], 3, 2, drawn, **STRENGTHS))


def test_another_seed_draw_or_index_is_another_view(images):
    one = augment(images[:1], 3, 1, [7], **STRENGTHS)
    for seed, draw, index in ((4, 1, 7), (3, 2, 7), (3, 1, 8), (3, 7, 1), (2**63 - 1, 1, 7)):
        assert not torch.equal(augment(images[:1], seed, draw, [index], **STRENGTHS), one)


def test_the_numbers_are_uniform_and_normal():
    grey = torch.full((400, 8, 8), 0.5)
    noise = (augment(grey, 1, 1, range(400), rotation=0, shift=0, noise=0.05) - 0.5) / 0.05
    assert abs(float(noise.mean())) < 0.03
    assert abs(float(noise.std()) - 1) < 0.02
    assert np.unique(noise.numpy()).size > 20_000


def test_a_rotation_is_one_by_the_angle_and_stays_within_it():
    image = torch.zeros(200, 9, 9)
    image[:, 4, 8] = 1
    turned = augment(image, 5, 1, range(200), rotation=45, shift=0, noise=0)
    assert float(turned[:, :, :4].abs().max()) == 0
    mass = turned.sum(dim=(1, 2))
    places = torch.arange(9, dtype=torch.float32) - 4
    across = (turned.sum(dim=1) * places).sum(dim=1) / mass
    down = (turned.sum(dim=2) * places).sum(dim=1) / mass
    angles = torch.rad2deg(torch.atan2(down, across))[mass > 0.3]
    assert float(angles.abs().max()) < 50
    assert float(angles.min()) < -35
    assert float(angles.max()) > 35


def test_a_shift_of_one_pixel_moves_the_image_by_one_pixel():
    image = torch.zeros(200, 8, 8)
    image[:, 3:5, 3:5] = 1
    moved = augment(image, 0, 1, range(200), rotation=0, shift=0.25, noise=0)
    places = torch.arange(8, dtype=torch.float32)
    for axis in (1, 2):
        centre = (moved.sum(dim=axis) * places).sum(dim=1) / moved.sum(dim=(1, 2)) - 3.5
        assert float(centre.abs().max()) <= 1.001
        assert float(centre.abs().max()) > 0.95
