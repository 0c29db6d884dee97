"""Curricula beyond stages: pacing by competence, sampling in proportion to the loss; and which one a config means.

Laws: those of `repro_assets.training.curriculum`; a probability is never 0 but for examples that are too hard for the
competence so far.

Competence (Platanios et al. 2019, arXiv 1903.09848, with the square root): after t updates an example may be drawn if
no more than the share c(t) = min(1, sqrt(t (1 - c0^2) / T + c0^2)) of the examples is as easy, all such alike.

Loss: an example's probability is in proportion to its loss, as last seen and smoothed; one that was never drawn counts
with the mean of those that were. The share `uniform` is spread evenly. The gradient is not weighted back, so what is
minimized is no longer the mean loss over the traces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repro_assets.errors import InvalidInput
from repro_assets.training.curriculum import Change, Curriculum, Stages, StagesConfig, checked, explained
from repro_assets.training.levels import LEVELS, levels, ranks

Strategy = Literal["stages", "competence", "loss"]
_STRICT = ConfigDict(frozen=True, extra="forbid")
# A smaller move of every share is not worth a record.
_MOVED = 0.01


class CompetenceConfig(BaseModel):
    """Settings of pacing by competence."""

    model_config = _STRICT

    initial: float = Field(default=0.1, gt=0, le=1, description="competence before the first update (c0)")
    steps: int = Field(default=300, ge=1, description="updates after which everything may be drawn (T)")


class LossConfig(BaseModel):
    """Settings of sampling in proportion to the loss."""

    model_config = _STRICT

    uniform: float = Field(default=0.2, gt=0, le=1, description="share of the draws that ignores the losses")
    momentum: float = Field(default=0.5, ge=0, lt=1, description="weight of an example's earlier losses")


SETTINGS: dict[str, type[BaseModel]] = {"stages": StagesConfig, "competence": CompetenceConfig, "loss": LossConfig}


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mix: dict[str, float] | None = None


class _Losses(_Recorded):
    losses: list[float | None]


class Competence:
    """Easy examples first, all of them after `steps` updates.

    Parameters
    ----------
    config : CompetenceConfig
        Settings.
    ranked : ndarray
        float64 [n], as `repro_assets.training.levels.ranks` returns it.
    """

    def __init__(self, config: CompetenceConfig, ranked: np.ndarray) -> None:
        self.config = config
        self._ranked, self._levels = ranked, levels(ranked)
        self._state = _Recorded()

    def competence(self, updates: int) -> float:
        """Share of the examples, from the easiest, that may be drawn after so many updates."""
        start = self.config.initial**2
        return min(1.0, math.sqrt(updates * (1 - start) / self.config.steps + start))

    def start(self) -> Change:
        """The easiest examples."""
        return self._change(0, None)

    def learn(self, _rows: np.ndarray, _losses: np.ndarray, /) -> None:
        """Nothing: the pace is set beforehand."""

    def weights(self, step: int, /) -> np.ndarray:
        """Even over what may be drawn; the easiest example may always be."""
        competence = max(self.competence(step - 1), float(self._ranked.min()))
        allowed = self._ranked <= competence
        weights: np.ndarray = allowed / allowed.sum()
        return weights

    def mix(self, step: int, /) -> dict[str, float]:
        """Shares of the levels among what may be drawn."""
        return _shares(self.weights(step), self._levels)

    def observe(self, step: int, _metrics: Mapping[str, float], /) -> list[Change]:
        """Return how far the pace has come since the evaluation before; the figures do not count."""
        mix = self.mix(step + 1)
        if not _moved(self._state.mix, mix):
            return []
        self._state.mix = mix
        return [self._change(step, "competence")]

    def _change(self, updates: int, before: str | None) -> Change:
        reached = {"competence": self.competence(updates)}
        reason = "start" if before is None else "pace"
        return Change(updates, before, "competence", reason, reached, self.mix(updates + 1))

    def state_dict(self) -> dict[str, Any]:
        """Everything remembered, as JSON values."""
        return self._state.model_dump()

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from `state`; InvalidInput if it is another strategy's."""
        self._state = checked(_Recorded, state)


class LossProportional:
    """Examples whose loss is high are drawn more often.

    Parameters
    ----------
    config : LossConfig
        Settings.
    ranked : ndarray
        float64 [n], as `repro_assets.training.levels.ranks` returns it; only the mix is about it.
    """

    def __init__(self, config: LossConfig, ranked: np.ndarray) -> None:
        self.config = config
        self._levels = levels(ranked)
        self._losses = np.full(len(ranked), np.nan)
        self._mix: dict[str, float] | None = None

    def start(self) -> Change:
        """All alike, as no loss is known."""
        return Change(0, None, "loss", "start", {}, self.mix(1))

    def learn(self, rows: np.ndarray, losses: np.ndarray, /) -> None:
        """Take the losses of an update; an example that is in it twice counts with its last place.

        Raises
        ------
        InvalidInput
            If a loss is negative or no finite number.
        """
        if not (np.isfinite(losses).all() and (losses >= 0).all()):
            raise InvalidInput("a loss to sample by is negative or not finite", "lower the learning rate")
        held = self._losses[rows]
        share = self.config.momentum
        self._losses[rows] = np.where(np.isnan(held), losses, share * held + (1 - share) * losses)

    def weights(self, _step: int, /) -> np.ndarray:
        """In proportion to the losses, and `uniform` of it even."""
        count = len(self._losses)
        known = ~np.isnan(self._losses)
        if not known.any():
            return np.full(count, 1 / count)
        losses = np.where(known, self._losses, self._losses[known].mean())
        total = losses.sum()
        drawn = losses / total if total > 0 else np.full(count, 1 / count)
        weights: np.ndarray = self.config.uniform / count + (1 - self.config.uniform) * drawn
        return weights

    def mix(self, step: int, /) -> dict[str, float]:
        """Shares of the levels, as the losses are now."""
        return _shares(self.weights(step), self._levels)

    def observe(self, step: int, _metrics: Mapping[str, float], /) -> list[Change]:
        """Return how the shares moved since the change before; the figures do not count."""
        mix = self.mix(step + 1)
        if not _moved(self._mix, mix):
            return []
        self._mix = mix
        known = self._losses[~np.isnan(self._losses)]
        figures = {"sampled_loss": float(known.mean()), "sampled_share": len(known) / len(self._losses)}
        return [Change(step, "loss", "loss", "losses", figures if len(known) else {}, mix)]

    def state_dict(self) -> dict[str, Any]:
        """Everything remembered, as JSON values."""
        losses = [None if math.isnan(loss) else loss for loss in self._losses.tolist()]
        return _Losses(mix=self._mix, losses=losses).model_dump()

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from `state`; InvalidInput if it is another strategy's or of other examples."""
        loaded = checked(_Losses, state)
        if len(loaded.losses) != len(self._losses):
            raise InvalidInput(
                f"the state has the losses of {len(loaded.losses)} examples, not of {len(self._losses)}",
                "give a checkpoint that was made with the same data",
            )
        self._losses = np.array([math.nan if loss is None else loss for loss in loaded.losses])
        self._mix = loaded.mix


def read_settings(strategy: Strategy, settings: Mapping[str, Any]) -> BaseModel:
    """Settings of a strategy from plain values.

    Raises
    ------
    ValueError
        If a setting is unknown or out of range; the first one is named, with what is wrong.
    """
    try:
        return SETTINGS[strategy].model_validate(dict(settings))
    except ValidationError as error:
        raise ValueError(f"for {strategy}, {explained(error)}") from error


def make_curriculum(strategy: Strategy, settings: Mapping[str, Any], difficulties: Any) -> Curriculum:
    """The curriculum that a config means, over examples of these difficulties, 0 to 1, [n]."""
    read, ranked = read_settings(strategy, settings), ranks(difficulties)
    if isinstance(read, StagesConfig):
        return Stages(read, ranked)
    if isinstance(read, CompetenceConfig):
        return Competence(read, ranked)
    assert isinstance(read, LossConfig)
    return LossProportional(read, ranked)


def _shares(weights: np.ndarray, level: np.ndarray) -> dict[str, float]:
    sums = np.bincount(level, weights=weights, minlength=len(LEVELS))
    return dict(zip(LEVELS, sums.tolist(), strict=True))


def _moved(before: Mapping[str, float] | None, mix: Mapping[str, float]) -> bool:
    return before is None or any(abs(mix[level] - before[level]) >= _MOVED for level in LEVELS)
