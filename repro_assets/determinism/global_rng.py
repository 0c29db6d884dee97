"""The global random generators: Python's, NumPy's and torch's.

Laws: `seeded_globals` leaves all of them as it found them, also when the body raises. Saved states are plain values and
tensors, so a checkpoint can hold them without pickle; loading them continues every stream exactly where it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from repro_assets.determinism.seeds import Seeds
from repro_assets.determinism.torch_settings import cuda_runs
from repro_assets.errors import InvalidValue

FORMAT = 1


@contextmanager
def seeded_globals(seeds: Seeds) -> Iterator[None]:
    """Seed the global generators from `seeds` for the length of a scope.

    Each generator is a consumer of its own: ``global/python``, ``global/numpy``, ``global/torch``, ``global/cuda``.

    Parameters
    ----------
    seeds : Seeds
        The run's.
    """
    import numpy
    import torch

    before = save_rng_states()
    try:
        random.seed(seeds.derive("global/python"))
        # The legacy seeding takes 32 bits a word; two words hold all that was derived.
        derived = seeds.derive("global/numpy")
        numpy.random.seed([derived & 0xFFFFFFFF, derived >> 32])
        torch.default_generator.manual_seed(seeds.derive("global/torch"))
        cuda = seeds.derive("global/cuda")
        # torch keeps it for later where CUDA has not started yet.
        torch.cuda.manual_seed_all(cuda)
        yield
    finally:
        load_rng_states(before)


def save_rng_states() -> dict[str, Any]:
    """Read the states of all global generators.

    Returns
    -------
    dict
        ``format``; ``python`` and ``numpy`` in JSON; ``torch`` a uint8 tensor; ``cuda`` a list of uint8 tensors, one
        for each device, empty where CUDA has not been started.
    """
    import numpy
    import torch

    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = numpy.random.get_state()
    return {
        "format": FORMAT,
        "python": {"version": version, "words": list(words), "gauss": gauss},
        "numpy": {
            "kind": str(kind),
            "keys": [int(key) for key in keys],
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda_runs() else [],
    }


def load_rng_states(states: Mapping[str, Any]) -> None:
    """Continue all global generators from what `save_rng_states` gave.

    Raises
    ------
    InvalidValue
        If `states` has another format, lacks a generator, or was saved with another number of GPUs.
    """
    import numpy
    import torch

    if states.get("format") != FORMAT:
        raise InvalidValue(f"RNG states of format {states.get('format')!r} do not read here", f"format {FORMAT}")
    missing = [name for name in ("python", "numpy", "torch", "cuda") if name not in states]
    if missing:
        raise InvalidValue(f"the RNG states lack {', '.join(missing)}")
    cuda = list(states["cuda"])
    if cuda and len(cuda) != torch.cuda.device_count():
        raise InvalidValue(
            f"the RNG states are of {len(cuda)} GPUs and this machine has {torch.cuda.device_count()}",
            "resume with as many GPUs as the checkpoint was made with",
        )
    python, legacy = states["python"], states["numpy"]
    random.setstate((python["version"], tuple(python["words"]), python["gauss"]))
    numpy.random.set_state(
        (
            legacy["kind"],
            numpy.asarray(legacy["keys"], dtype=numpy.uint32),
            int(legacy["position"]),
            int(legacy["has_gauss"]),
            float(legacy["cached"]),
        )
    )
    torch.set_rng_state(states["torch"].cpu())
    if cuda:
        torch.cuda.set_rng_state_all([state.cpu() for state in cuda])
