"""The global random generators: Python's, NumPy's, torch's on the CPU and on every GPU.

Laws: `seeded_globals` leaves all of them as it found them, also when the body raises; `set_global_seed` does not. Each
generator is a consumer of its own: ``global/python``, ``global/numpy``, ``global/torch``, ``global/cuda``.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from repro_assets.determinism.mode import LateSetting, SettingWarning, refuse
from repro_assets.determinism.process_start import hash_seed_in_effect
from repro_assets.determinism.rng_states import load_rng_states, save_rng_states
from repro_assets.determinism.seeds import Seeds


def set_global_seed(seed: int, *, strict: bool = False) -> Seeds:
    """Seed the global generators of this process for good: Python's, NumPy's, torch's on the CPU and on every GPU.

    The order of sets and dictionaries of texts depends on PYTHONHASHSEED, which Python reads when it starts. Where
    that was not set, a warning says so: no call can mend it.

    Parameters
    ----------
    seed : int
        The root, 0 to 2^63 - 1; every generator gets a seed of its own, derived from it.
    strict : bool
        Raise instead of warning; nothing is seeded then.

    Returns
    -------
    Seeds
        The root's seeds, to derive those of other consumers from.

    Raises
    ------
    InvalidValue
        If `seed` is out of range.
    CheckFailed
        If `strict` and the hash seed is not pinned.

    Warns
    -----
    SettingWarning
        If the hash seed is not pinned.
    """
    seeds = Seeds(seed)
    if hash_seed_in_effect() is None:
        late = LateSetting("PYTHONHASHSEED", "a number", None, "Python reads it when it starts")
        if strict:
            refuse([late])
        warnings.warn(str(late), SettingWarning, stacklevel=2)
    seed_globals(seeds)
    return seeds


def seed_globals(seeds: Seeds) -> None:
    """Seed the global generators from `seeds`."""
    import torch

    seed_host_globals(seeds)
    # torch keeps it for later where CUDA has not started yet.
    torch.cuda.manual_seed_all(seeds.derive("global/cuda"))


def seed_host_globals(seeds: Seeds) -> None:
    """Seed those that draw on the CPU."""
    import numpy
    import torch

    random.seed(seeds.derive("global/python"))
    # The legacy seeding takes 32 bits a word; two words hold all that was derived.
    derived = seeds.derive("global/numpy")
    numpy.random.seed([derived & 0xFFFFFFFF, derived >> 32])
    torch.default_generator.manual_seed(seeds.derive("global/torch"))


@contextmanager
def seeded_globals(seeds: Seeds) -> Iterator[None]:
    """Seed the global generators from `seeds` for the length of a scope.

    Parameters
    ----------
    seeds : Seeds
        The run's.
    """
    before = save_rng_states()
    try:
        seed_globals(seeds)
        yield
    finally:
        load_rng_states(before)
