import numpy as np
import pytest
import torch

from repro_assets.errors import InvalidInput
from repro_assets.training import task
from repro_assets.training.stream import Shift, StreamConfig, shift_splits, shifted


@pytest.fixture(scope="module")
def made(new_run, splits, raw_digits):
    return shift_splits(new_run(0), StreamConfig(), raw_digits, splits["stream"], splits["validation"], splits["test"])


def test_the_stream_has_no_labels_and_those_kept_aside_are_its_own(made, splits, raw_digits):
    assert set(made["stream_a"]) == set(made["stream_b"]) == {"images", "image_ids"}
    ids = made["stream_a"]["image_ids"]
    assert np.array_equal(ids, made["stream_b"]["image_ids"]) and np.array_equal(
        ids, made["stream_labels"]["image_ids"]
    )
    assert sorted(ids) == sorted(splits["stream"]["image_ids"]) and not np.array_equal(ids, sorted(ids))
    assert np.array_equal(made["stream_labels"]["labels"], raw_digits["labels"][ids])


def test_labelled_splits_keep_order_and_labels(made, splits):
    for split in ("validation", "test"):
        for shift in "ab":
            for field in ("labels", "image_ids"):
                assert np.array_equal(made[f"{split}_{shift}"][field], splits[split][field])
    images, labels = task.labelled("test", made["test_a"])
    assert images.shape == (400, 8, 8) and len(labels) == 400
    assert float(images.min()) >= 0 and float(images.max()) <= 1


def test_another_seed_gives_another_order_and_other_noise_and_the_same_one_the_same_bits(
    new_run, splits, raw_digits, made
):
    def again(seed):
        parts = (splits["stream"], splits["validation"], splits["test"])
        return shift_splits(new_run(seed), StreamConfig(), raw_digits, *parts)

    same, other = again(0), again(1)
    assert all(np.array_equal(same[name][field], value[field]) for name, value in made.items() for field in value)
    assert not np.array_equal(other["stream_a"]["image_ids"], made["stream_a"]["image_ids"])
    assert not np.array_equal(other["test_a"]["images"], made["test_a"]["images"])
    assert np.array_equal(other["test_b"]["images"], made["test_b"]["images"]), "shift B has no noise"


def test_a_shift_turns_flattens_and_adds_noise():
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 8, 8)
    image[0, 1:3, 6:8] = 1
    turned = shifted(image, Shift(rotation=90.0), generator)
    assert torch.allclose(turned, image.rot90(1, (1, 2)), atol=1e-5)
    assert torch.equal(shifted(image, Shift(), generator), image)
    flat = shifted(image, Shift(contrast=0.5), generator)
    assert sorted(flat.unique().tolist()) == [0.25, 0.75]
    grey = torch.full((100, 8, 8), 0.5)
    assert float(shifted(grey, Shift(noise=0.05), generator).std()) == pytest.approx(0.05, abs=0.002)


def test_a_stream_that_is_empty_or_of_other_digits_is_refused(new_run, splits, raw_digits):
    rest = (splits["validation"], splits["test"])
    none = {name: value[:0] for name, value in splits["stream"].items()}
    with pytest.raises(InvalidInput, match="no images"):
        shift_splits(new_run(0), StreamConfig(), raw_digits, none, *rest)
    few = {name: value[:10] for name, value in raw_digits.items()}
    with pytest.raises(InvalidInput, match="do not have"):
        shift_splits(new_run(0), StreamConfig(), few, splits["stream"], *rest)
