"""Seeding torch's global generators when torch is imported, where that has not happened yet.

Laws: torch is not imported for the sake of its seed, because that takes seconds and a script that never uses it has
nothing to seed; once something imports it, its generators are seeded before that import returns, so whoever draws gets
what he would have got had torch been there before. A scope that ends leaves the generator of the CPU as the scope
around it would have it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from repro_assets.determinism.seeds import Seeds


def loaded_torch() -> Any:
    """Return the module torch, where it is imported; None where it is not. One that is being imported is waited for."""
    torch = sys.modules.get("torch")
    if torch is not None and not hasattr(torch, "default_generator"):
        import torch
    return torch


def seed_torch(torch: Any, seeds: Seeds) -> None:
    """Seed torch's global generators: of the CPU, and of every GPU."""
    torch.default_generator.manual_seed(seeds.derive("global/torch"))
    # torch keeps it for later where CUDA has not started yet.
    torch.cuda.manual_seed_all(seeds.derive("global/cuda"))


class _Waiting:
    """Seeds that wait for torch, and the state of its generator on the CPU before they were used."""

    def __init__(self, seeds: Seeds | None) -> None:
        self.seeds = seeds
        self.before: Any = None


class _Finder:
    """Finds torch as Python does, and seeds it once it is imported; the outermost scope first."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self._looking = False

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "torch" or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        return None if spec is None or spec.loader is None else self._seeding(spec)

    def _seeding(self, spec: ModuleSpec) -> ModuleSpec:
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            loader.exec_module = execute
            execute(module)
            self._seed(module)

        loader.exec_module = exec_module
        return spec

    def _seed(self, torch: Any) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for scope in self.waiting:
            scope.before = torch.get_rng_state()
            if scope.seeds is not None:
                seed_torch(torch, scope.seeds)

    def install(self) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)


_finder = _Finder()


def seed_when_imported(seeds: Seeds) -> None:
    """Have torch seeded from `seeds` when it is imported: in the innermost scope that is open, else for good."""
    if not _finder.waiting:
        _finder.waiting.append(_Waiting(None))
    _finder.waiting[-1].seeds = seeds
    _finder.install()


@contextmanager
def scope_before_import() -> Iterator[None]:
    """Open a scope of which torch, imported within it, keeps nothing after it."""
    scope = _Waiting(None)
    _finder.waiting.append(scope)
    try:
        yield
    finally:
        _finder.waiting.remove(scope)
        _finder.uninstall()
        torch = loaded_torch()
        if torch is not None and scope.before is not None:
            torch.set_rng_state(scope.before)
