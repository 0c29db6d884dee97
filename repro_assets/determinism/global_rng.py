"""The global random generators: Python's, NumPy's, torch's on the CPU and on every GPU.

Laws: `seeded_globals` leaves all of them as it found them, also when the body raises; `set_global_seed` does not. Each
generator is a consumer of its own: ``global/python``, ``global/numpy``, ``global/torch``, ``global/cuda``. What is not
installed is left out; torch is seeded when it is imported (`repro_assets.determinism.late_torch`).
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from repro_assets.determinism.late_torch import loaded_torch, scope_before_import, seed_torch, seed_when_imported
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
    """Seed the global generators from `seeds`: those of what is installed; torch's when it is imported."""
    torch = loaded_torch()
    _seed_python_and_numpy(seeds)
    if torch is not None:
        seed_torch(torch, seeds)
    elif _is_installed("torch"):
        seed_when_imported(seeds)


def seed_host_globals(seeds: Seeds) -> None:
    """Seed those that draw on the CPU."""
    _seed_python_and_numpy(seeds)
    if _is_installed("torch"):
        import torch

        torch.default_generator.manual_seed(seeds.derive("global/torch"))


def _seed_python_and_numpy(seeds: Seeds) -> None:
    random.seed(seeds.derive("global/python"))
    if _is_installed("numpy"):
        import numpy

        # The legacy seeding takes 32 bits a word; two words hold all that was derived.
        derived = seeds.derive("global/numpy")
        numpy.random.seed([derived & 0xFFFFFFFF, derived >> 32])


@contextmanager
def seeded_globals(seeds: Seeds) -> Iterator[None]:
    """Seed the global generators from `seeds` for the length of a scope.

    Parameters
    ----------
    seeds : Seeds
        The run's.
    """
    with _restored():
        seed_globals(seeds)
        yield


@contextmanager
def _restored() -> Iterator[None]:
    if loaded_torch() is not None:
        before = save_rng_states()
        try:
            yield
        finally:
            load_rng_states(before)
        return
    of_python = random.getstate()
    numpy_random = importlib.import_module("numpy.random") if _is_installed("numpy") else None
    of_numpy = numpy_random.get_state() if numpy_random is not None else None
    try:
        with scope_before_import():
            yield
    finally:
        random.setstate(of_python)
        if numpy_random is not None:
            numpy_random.set_state(of_numpy)


@cache
def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
