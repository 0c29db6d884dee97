"""One root seed per run; every named consumer derives its own.

Laws: a derived seed depends on the root and the name alone, so adding a consumer changes no other; two names never
share a stream by accident (SHA-256); which names were used is part of the run's record.
"""

from __future__ import annotations

import hashlib
import numbers
import random
from typing import TYPE_CHECKING, Any

from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    import numpy
    import torch

_MASK = 2**63 - 1


class Seeds:
    """Derived seeds of one run.

    Parameters
    ----------
    root : int
        The run's seed, 0 to 2^63 - 1.

    Raises
    ------
    InvalidValue
        If `root` is outside that range, or no whole number.
    """

    def __init__(self, root: int) -> None:
        given: Any = root
        if isinstance(given, bool) or not isinstance(given, numbers.Integral):
            raise InvalidValue(f"seed {root!r} is no whole number", "0 to 2^63 - 1")
        if not 0 <= root <= _MASK:
            raise InvalidValue(f"seed {root} is out of range", "0 to 2^63 - 1")
        self.root: int = int(root)
        self.used: dict[str, int] = {}

    def derive(self, name: str) -> int:
        """Seed of the consumer `name`: the first 63 bits of SHA-256 over root and name."""
        hashed = hashlib.sha256(f"{self.root}\0{name}".encode()).digest()
        seed = int.from_bytes(hashed[:8], "big") & _MASK
        self.used[name] = seed
        return seed

    def python(self, name: str) -> random.Random:
        """Return a generator of the standard library for the consumer `name`."""
        return random.Random(self.derive(name))

    def numpy(self, name: str) -> numpy.random.Generator:
        """Return a NumPy generator (PCG64) for the consumer `name`."""
        import numpy

        return numpy.random.Generator(numpy.random.PCG64(self.derive(name)))

    def torch(self, name: str, device: str = "cpu") -> torch.Generator:
        """Return a torch generator on `device` for the consumer `name`."""
        import torch

        return torch.Generator(device=device).manual_seed(self.derive(name))
