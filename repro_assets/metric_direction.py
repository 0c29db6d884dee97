"""Which way of a metric is better, by its name.

Laws: the words of a name decide and nothing within a word, so ``lossless_share`` is no loss; whoever says the direction
is not asked here.
"""

from __future__ import annotations

import re

_LOWER_IS_BETTER = {
    *("loss", "losses", "error", "errors", "perplexity", "ppl", "nll", "mse", "mae", "rmse", "kl", "divergence"),
    *("seconds", "dropped"),
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def lower_is_better(name: str) -> bool:
    """Whether a word of `name` is one of loss, error, perplexity, kl and their like.

    Words are parted by anything that is no letter, and by the capitals of ``evalLoss``.
    """
    return any(word.lower() in _LOWER_IS_BETTER for word in _WORD.findall(name))
