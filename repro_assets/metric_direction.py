"""Which way of a metric is better, by its name.

Laws: the words of a name decide and nothing within a word, so ``lossless_share`` is no loss; whoever says the direction
is not asked here.
"""

from __future__ import annotations

import itertools
import re

_LOWER_IS_BETTER = frozenset(
    {
        *("loss", "losses", "logloss", "cost", "regret", "error", "errors", "err", "mistakes", "failures", "dropped"),
        *("perplexity", "ppl", "nll", "bpb", "bpc", "bpd", "ce", "bce", "crossentropy", "deviance", "aic", "bic"),
        *("mse", "mae", "rmse", "msle", "rmsle", "mape", "smape", "wape", "kl", "divergence", "brier", "ece", "mce"),
        *("wer", "cer", "eer", "fpr", "fnr", "fid", "kid", "lpips", "epe", "hausdorff"),
        *("latency", "duration", "ms", "us", "ns", "second", "seconds", "minutes", "hours", "memory"),
    }
)
_HIGHER_IS_BETTER = frozenset(
    {
        *("accuracy", "acc", "precision", "recall", "f", "auc", "auroc", "auprc", "ap", "map", "ndcg", "mrr", "hits"),
        *("bleu", "rouge", "meteor", "psnr", "ssim", "iou", "dice", "reward", "return", "score", "throughput"),
        *("success", "passed", "correct", "r", "likelihood", "elbo", "per"),
    }
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def lower_is_better(name: str) -> bool:
    """Whether a word of `name` is one of loss, error, perplexity, kl and their like.

    Words are parted by anything that is no letter, and by the capitals of ``evalLoss``.
    """
    words = _words(name)
    # Of so much per second, more is better.
    telling = {word for before, word in itertools.pairwise(["", *words]) if before != "per"}
    return not _LOWER_IS_BETTER.isdisjoint(telling) or "cross_entropy" in "_".join(words)


def is_told(name: str) -> bool:
    """Whether a word of `name` says which way is better; else higher is a guess."""
    return lower_is_better(name) or not _HIGHER_IS_BETTER.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
