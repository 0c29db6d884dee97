"""Fingerprints of models and of data are kept as artifacts and are, read back, what they were."""

from __future__ import annotations

import pytest
import torch

from repro_assets import (
    DataFingerprint,
    Experiment,
    ModelFingerprint,
    diff_fingerprints,
    fingerprint_data,
    fingerprint_model,
)
from repro_assets.errors import InvalidValue

QUICK = {"capture_source": False, "capture_environment": False, "monitor": None}


class Squares(torch.utils.data.Dataset):
    """Samples that no kind of artifact holds."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {"x": torch.tensor(index**2), "y": -0.0}


class Words:
    """As tokenizers are."""

    def __init__(self, *words):
        self.words = words

    def get_vocab(self):
        return {word: number for number, word in enumerate(self.words)}


def model(width=4):
    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Dropout(1.0), torch.nn.Linear(width, 2**20))


def test_an_architecture_is_kept_without_weights_and_compared_later(project):
    with Experiment("first", **QUICK) as first:
        kept = first.log_artifact(
            fingerprint_model(model(), weights=False, tokenizer=Words("a", "b")).document(), "architecture"
        )
    assert sum(entry.size for entry in kept.manifest.entries) < 10_000, "no weight is in it"
    with Experiment("second", **QUICK) as second:
        before = ModelFingerprint.from_document(second.use_artifact("architecture").load())
    assert before.architecture["counts"]["parameters"] == 4 * 3 + 4 + 4 * 2**20 + 2**20
    assert before.digest == fingerprint_model(model(), weights=False, tokenizer=Words("a", "b")).digest
    assert not diff_fingerprints(before, fingerprint_model(model(), weights=False, tokenizer=Words("a", "b")))
    wider = diff_fingerprints(before, fingerprint_model(model(5), weights=False, tokenizer=Words("a", "b")))
    assert any("0.weight" in str(found) for found in wider)
    (other,) = diff_fingerprints(before, fingerprint_model(model(), weights=False, tokenizer=Words("a", "c")))
    assert "vocabulary" in str(other)


def test_data_that_no_kind_holds_is_known_by_its_fingerprint(project):
    with Experiment("first", **QUICK) as first:
        with pytest.raises(InvalidValue, match="a Squares is not something") as refused:
            first.track_dataset(Squares(10), "squares")
        assert "use_value(fingerprint_data(data).document(), 'dataset-squares')" in str(refused.value)
        first.use_value(fingerprint_data(Squares(10), ["squared"]).document(), "dataset-squares")
    with Experiment("second", **QUICK) as second:
        before = DataFingerprint.from_document(second.use_artifact("dataset-squares").load())
    assert before.digest == fingerprint_data(Squares(10), ["squared"]).digest
    assert not diff_fingerprints(before, fingerprint_data(Squares(10), ["squared"]))
    assert diff_fingerprints(before, fingerprint_data(Squares(11), ["squared"]))
    assert diff_fingerprints(before, fingerprint_data(Squares(10), ["cubed"]))
