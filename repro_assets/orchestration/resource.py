"""The resource ``repro``: one run-wide setting for seed, mode, capture level, and whether to reuse.

An asset's body calls `Repro.execute` with its recipe. The resource also writes the record of the parent run when a
process of it begins, so that a run which fails before its first recipe is on record too.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from repro_assets.artifacts.handle import Artifact
from repro_assets.capture.level import Level
from repro_assets.capture.requirements import validate_environment
from repro_assets.determinism.mode import Mode
from repro_assets.errors import CheckFailed
from repro_assets.orchestration import mirrored_runs, parents
from repro_assets.orchestration.config import AssetConfig, Named
from repro_assets.orchestration.execution import Execution, StepPlan
from repro_assets.orchestration.step_runs import open_runs
from repro_assets.recording import logs
from repro_assets.recording.monitoring import LEAST_SECONDS, MOST_SECONDS
from repro_assets.store.home import Home, find_store


class Repro(dg.ConfigurableResource[Any]):
    """Settings of a whole run, and the door to the store."""

    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Root seed; every consumer derives its own from it")
    deterministic: bool = Field(default=True, description="Deterministic algorithms, one setting for every asset")
    threads: int = Field(default=1, ge=1, le=1024, description="Threads of torch; another number gives other bits")
    capture_level: str = Field(default="standard", description="basic, standard or complete (or 1, 2, 3)")
    force: bool = Field(default=False, description="Execute even where the same work has been done")
    strict: bool = Field(
        default=False, description="Fail where a setting that changes bits came too late, instead of warning"
    )
    monitor: bool = Field(default=True, description="Sample what the machine does while a recipe runs")
    monitor_interval: float = Field(
        default=1.0, ge=LEAST_SECONDS, le=MOST_SECONDS, description="Seconds between two samples"
    )
    experiment: str = Field(default="", description="A name to group runs by")
    tags: list[str] = Field(default_factory=list, description="Tags of the runs in the catalog")
    mirrors: list[str] = Field(
        default_factory=list,
        description="Other trackers that are told meanwhile: tensorboard, mlflow, wandb:offline, with a place",
    )
    required_packages: list[str] = Field(
        default_factory=list, description="Packages without which the run fails before its first asset: numpy>=2,<3"
    )
    min_gpu_memory_gb: float = Field(
        default=0, ge=0, description="Memory that a GPU must have, in 10^9 bytes, or the run fails; 0 for no GPU"
    )
    min_cuda_version: str = Field(default="", description="The least CUDA of torch and driver, or the run fails")

    _home: Home | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Open the store, record the parent run, and refuse an environment that does not meet the requirements."""
        self._home = find_store(make=True)
        if multiprocessing.parent_process() is not None:
            # A step in a process of its own, which nobody else has told how to log.
            logs.configure()
        if context.run is not None and context.instance is not None:
            parents.record_start(self._home, context.run, context.instance)
        mirrored_runs.check(self.mirrors)
        self._check_environment()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """End what a failed asset of another's making left open."""
        if context.run is not None and context.instance is not None:
            open_runs.close(context.run.run_id, context.instance)

    def _check_environment(self) -> None:
        if not (self.required_packages or self.min_gpu_memory_gb or self.min_cuda_version):
            return
        found = validate_environment(
            self.required_packages, self.min_gpu_memory_gb or None, self.min_cuda_version or None
        )
        if not found.is_valid:
            raise CheckFailed(
                f"this environment does not meet what the run requires: {'; '.join(found.errors)}",
                "see: repro env check",
            )

    @property
    def home(self) -> Home:
        """The store."""
        if self._home is None:
            self._home = find_store(make=True)
        return self._home

    @property
    def mode(self) -> Mode:
        """The mode in which recipes run."""
        return Mode(deterministic=self.deterministic, threads=self.threads)

    @property
    def level(self) -> Level:
        """How much is captured."""
        return Level.parse(self.capture_level)

    def execute(
        self,
        context: dg.AssetExecutionContext,
        recipe: Callable[..., Any],
        config: AssetConfig,
        inputs: Mapping[str, Artifact | Path | Named],
    ) -> dg.MaterializeResult[Any]:
        """Run the recipe of one asset as its own run, or return what the same work gave before.

        Parameters
        ----------
        context : AssetExecutionContext
            The asset that is being materialized.
        recipe : callable
            ``recipe(run, config, **inputs)``, given loaded values; what it returns is the asset's value.
        config : AssetConfig
            The asset's config, which is the recipe's config too.
        inputs : mapping
            Handles by the recipe's parameter names; a Path is a raw file, which becomes an artifact first; a `Named`
            is looked up.

        Returns
        -------
        MaterializeResult
            The handle of the product, and what a person wants to know about it.
        """
        (result,) = self.execute_all(context, recipe, config, inputs)
        return result

    def execute_all(
        self,
        context: dg.AssetExecutionContext,
        recipe: Callable[..., Any],
        config: AssetConfig,
        inputs: Mapping[str, Artifact | Path | Named],
        *,
        reuse: bool = True,
    ) -> list[dg.MaterializeResult[Any]]:
        """Run the recipe of a multi-asset; it returns a mapping from output names to values.

        Without `reuse` the recipe always runs.
        """
        plan = StepPlan(
            home=self.home,
            seed=self.seed,
            mode=self.mode,
            level=self.level,
            force=self.force or config.force or not reuse,
            strict=self.strict,
            monitor=self.monitor_interval if self.monitor else None,
            experiment=self.experiment or None,
            tags=list(self.tags),
            mirrors=list(self.mirrors),
        )
        return Execution(context, plan, recipe, config).results(inputs)
