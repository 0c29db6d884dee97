"""Which way of a metric is better is told by the words of its name."""

from __future__ import annotations

import pytest

from repro_assets.metric_direction import is_told, lower_is_better


@pytest.mark.parametrize(
    "name",
    [
        *("validation/loss", "loss", "evalLoss", "train/perplexity", "PPL", "error_rate", "train/kl", "KLDivergence"),
        *("fid", "test/WER", "latency_ms", "bce", "val_ce", "cross_entropy", "valCrossEntropy", "brier", "seconds"),
    ],
)
def test_a_word_for_what_should_be_small_decides(name: str) -> None:
    assert lower_is_better(name)


@pytest.mark.parametrize(
    "name",
    [
        *("validation/accuracy", "reward", "lossless_share", "skill", "policy/entropy", "f1", "bleu", "psnr", "auc"),
        *("tokens_per_second", "imagesPerMs", "words_per_minute", "cosine", "services", "reliability", ""),
    ],
)
def test_every_other_name_is_better_high(name: str) -> None:
    assert not lower_is_better(name)


def test_a_name_that_says_nothing_is_known_to() -> None:
    assert [name for name in ("f1", "r2", "val_acc", "tokens_per_second", "fid") if not is_told(name)] == []
    assert not any(map(is_told, ("myscores", "entropy", "x", "")))
