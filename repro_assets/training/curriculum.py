"""Which examples a training sees when: the interface of all curricula, and the one of stages.

Laws: a curriculum decides by what it is told and by nothing else, and draws nothing at random; it changes only in
`observe`, and every change is returned; `state_dict` is the whole of what it remembers, as JSON values, and whoever
loads it goes on as if never stopped; the shares of a mix sum to 1.

Stages. At each evaluation, in this order:

1. The figures that the config names are taken; one that is missing or no number is an error. A figure that decides is
   smoothed: the mean of the last `smoothing_window_size` evaluations since the last change. Before there are so many,
   only rule 4 can apply.
2. In the first `cooldown_cycles` evaluations after a change, and for `rollback_cooldown` steps after a rollback,
   nothing changes and nothing counts for rule 4.
3. Rollback: if the smoothed `rollback_metric` is worse than the best it has been since the last rollback by more than
   `rollback_threshold` (a signed change, negative is worse, whether high or low is good), the stage before begins again
   (the first one stays), with the present mix eased: the shares of medium and hard divided by `rollback_factor`, the
   remainder given to simple. A new best is looked for.
4. Advance: all exit criteria of the stage hold for `patience_cycles` evaluations in a row, and the stage is at least
   `min_steps` and `advancement_interval` steps old; or it is `max_steps` old, whatever the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.metric_direction import lower_is_better
from repro_assets.training.levels import LEVELS, levels

Direction = Literal["by_name", "lower", "higher"]
_STRICT = ConfigDict(frozen=True, extra="forbid")
_Model = TypeVar("_Model", bound=BaseModel)


class Change(NamedTuple):
    """What a curriculum decided.

    Attributes
    ----------
    step : int
        Updates made when it was decided; it holds from the next one on.
    from_stage, to_stage : str
        `from_stage` is None at the start.
    reason : str
        ``start``, ``criteria``, ``max_steps``, ``rollback``, ``pace`` (competence grew) or ``losses`` (they moved).
    metrics : dict
        The figures that decided, as smoothed.
    mix : dict
        Share of each level from now on; sums to 1.
    """

    step: int
    from_stage: str | None
    to_stage: str
    reason: str
    metrics: dict[str, float]
    mix: dict[str, float]


class Curriculum(Protocol):
    """What a recipe needs of a curriculum; steps are counted from 1."""

    def start(self) -> Change:
        """What holds for the first update."""
        ...

    def observe(self, step: int, metrics: Mapping[str, float], /) -> list[Change]:
        """Take the figures of the evaluation after `step` updates; return what changes."""
        ...

    def learn(self, rows: np.ndarray, losses: np.ndarray, /) -> None:
        """Take the losses, [m], of the examples `rows`, int64 [m], of an update."""
        ...

    def mix(self, step: int, /) -> dict[str, float]:
        """Expected share of each level in update `step`."""
        ...

    def weights(self, step: int, /) -> np.ndarray:
        """Probability of each example in update `step`, float64 [n]."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything remembered, as JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from `state`."""
        ...


class Mix(BaseModel):
    """Share of each level; they sum to 1."""

    model_config = _STRICT

    simple: float = Field(ge=0, le=1, allow_inf_nan=False)
    medium: float = Field(ge=0, le=1, allow_inf_nan=False)
    hard: float = Field(ge=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = math.fsum((self.simple, self.medium, self.hard))
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares of simple, medium and hard sum to {total:g}, not to 1")
        return self

    def eased(self, factor: float) -> Mix:
        """The shares of medium and hard divided by `factor`, the remainder given to simple."""
        medium, hard = self.medium / factor, self.hard / factor
        return Mix(simple=max(0.0, 1 - math.fsum((medium, hard))), medium=medium, hard=hard)


class Criterion(BaseModel):
    """A smoothed figure is good enough; a bare number stands for a threshold in the direction of the name."""

    model_config = _STRICT

    threshold: float = Field(allow_inf_nan=False)
    direction: Direction = "by_name"

    def holds(self, metric: str, value: float) -> bool:
        """Whether `value` has reached the threshold."""
        return value <= self.threshold if _is_lower(metric, self.direction) else value >= self.threshold


class Stage(BaseModel):
    """A stretch of the training with one mix."""

    model_config = _STRICT

    name: str = Field(min_length=1)
    mix: Mix
    min_steps: int = Field(default=0, ge=0, description="updates before which its criteria do not end it")
    max_steps: int | None = Field(default=None, ge=1, description="updates at which it ends whatever the figures")
    exit: dict[str, Criterion] = Field(default_factory=dict, description="metric to criterion; all must hold")

    @field_validator("exit", mode="before")
    @classmethod
    def _bare_thresholds(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"threshold": it} if isinstance(it, int | float) else it for name, it in value.items()}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_steps is not None and self.max_steps < self.min_steps:
            raise ValueError(f"stage {self.name!r}: max_steps {self.max_steps} is below min_steps {self.min_steps}")
        return self


class StagesConfig(BaseModel):
    """Settings of the curriculum of stages."""

    model_config = _STRICT

    stages: tuple[Stage, ...] = Field(min_length=1)
    smoothing_window_size: int = Field(default=3, ge=1, description="evaluations in a smoothed figure")
    patience_cycles: int = Field(default=2, ge=1, description="evaluations in a row for which the criteria must hold")
    cooldown_cycles: int = Field(default=3, ge=0, description="evaluations after a change in which nothing changes")
    advancement_interval: int = Field(default=500, ge=0, description="steps between a change and the next advance")
    rollback_enabled: bool = True
    rollback_metric: str = Field(default="validation/accuracy", min_length=1)
    rollback_direction: Direction = "by_name"
    rollback_threshold: float = Field(default=-0.05, lt=0, allow_inf_nan=False, description="change that is too bad")
    rollback_relative: bool = Field(default=False, description="the change is a share of the best figure")
    rollback_cooldown: int = Field(default=1000, ge=0, description="steps after a rollback in which nothing changes")
    rollback_factor: float = Field(default=2.0, gt=1, allow_inf_nan=False, description="divides the harder shares")

    @model_validator(mode="after")
    def _can_be_passed_through(self) -> Self:
        names = [stage.name for stage in self.stages]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two stages are named {twice[0]!r}")
        for stage in self.stages[:-1]:
            if not stage.exit and stage.max_steps is None:
                raise ValueError(f"stage {stage.name!r} never ends: give exit criteria or max_steps")
        last = self.stages[-1]
        if last.exit or last.max_steps is not None:
            raise ValueError(f"stage {last.name!r} is the last: leave out its exit and max_steps")
        return self

    def metrics(self) -> list[str]:
        """The figures that every evaluation must give."""
        named = {name for stage in self.stages for name in stage.exit}
        return sorted(named | ({self.rollback_metric} if self.rollback_enabled else set()))


class _State(BaseModel):
    """What `Stages` remembers between two evaluations."""

    model_config = ConfigDict(extra="forbid")

    stage: int = Field(default=0, ge=0)
    since: int = 0
    mix: Mix
    observed: int = -1
    windows: dict[str, list[float]] = Field(default_factory=dict)
    held: int = 0
    cooling: int = 0
    quiet_until: int = 0
    best: float | None = None


class Stages:
    """Stages that end by measured figures; the rules are in the module's docstring.

    Parameters
    ----------
    config : StagesConfig
        The stages and the rules' settings.
    ranked : ndarray
        float64 [n], as `repro_assets.training.levels.ranks` returns it.
    """

    def __init__(self, config: StagesConfig, ranked: np.ndarray) -> None:
        self.config = config
        self._levels = levels(ranked)
        self._counts = np.bincount(self._levels, minlength=len(LEVELS))
        self._state = _State(mix=config.stages[0].mix)

    @property
    def stage(self) -> Stage:
        """The stage in force."""
        return self.config.stages[self._state.stage]

    def start(self) -> Change:
        """The first stage."""
        return Change(0, None, self.config.stages[0].name, "start", {}, self.config.stages[0].mix.model_dump())

    def learn(self, _rows: np.ndarray, _losses: np.ndarray, /) -> None:
        """Nothing: stages go by evaluations."""

    def mix(self, _step: int, /) -> dict[str, float]:
        """The mix in force."""
        return self._state.mix.model_dump()

    def weights(self, _step: int, /) -> np.ndarray:
        """The share of its level, spread evenly over it."""
        shares = np.array([getattr(self._state.mix, level) for level in LEVELS])
        weights: np.ndarray = (shares / self._counts)[self._levels]
        return weights

    def observe(self, step: int, metrics: Mapping[str, float], /) -> list[Change]:
        """Take the figures of an evaluation; return the change that they make, if any.

        Raises
        ------
        InvalidValue
            If `step` does not follow the one before.
        InvalidInput
            If a figure that the config names is missing or not a finite number.
        """
        state, config = self._state, self.config
        if step <= state.observed:
            raise InvalidValue(f"an evaluation at step {step} cannot follow the one at step {state.observed}")
        figures = {name: _figure(name, metrics, step) for name in config.metrics()}
        state.observed = step
        for name, value in figures.items():
            state.windows[name] = [*state.windows.get(name, []), value][-config.smoothing_window_size :]
        whole = all(len(window) == config.smoothing_window_size for window in state.windows.values())
        smoothed = {name: math.fsum(window) / len(window) for name, window in state.windows.items()}
        regressed = whole and config.rollback_enabled and self._regressed(smoothed[config.rollback_metric])
        if state.cooling or step < state.quiet_until:
            state.cooling, state.held = max(0, state.cooling - 1), 0
            return []
        if regressed and (state.stage > 0 or state.mix.simple < 1):
            return [self._roll_back(step, smoothed)]
        holds = whole and all(criterion.holds(name, smoothed[name]) for name, criterion in self.stage.exit.items())
        state.held = state.held + 1 if holds and self.stage.exit else 0
        reason = self._way_on(step - state.since)
        return [] if reason is None else [self._advance(step, reason, smoothed)]

    def _regressed(self, value: float) -> bool:
        """Whether `value` is too bad against the best so far, which it becomes where it is better."""
        state, config = self._state, self.config
        sign = -1 if _is_lower(config.rollback_metric, config.rollback_direction) else 1
        if state.best is None or sign * (value - state.best) > 0:
            state.best = value
            return False
        scale = abs(state.best) if config.rollback_relative else 1.0
        return sign * (value - state.best) < config.rollback_threshold * scale

    def _way_on(self, age: int) -> str | None:
        stage, config = self.stage, self.config
        if self._state.stage == len(config.stages) - 1:
            return None
        if self._state.held >= config.patience_cycles and age >= max(stage.min_steps, config.advancement_interval):
            return "criteria"
        return "max_steps" if stage.max_steps is not None and age >= stage.max_steps else None

    def _advance(self, step: int, reason: str, smoothed: dict[str, float]) -> Change:
        to = self._state.stage + 1
        return self._enter(step, to, self.config.stages[to].mix, reason, smoothed)

    def _roll_back(self, step: int, smoothed: dict[str, float]) -> Change:
        state = self._state
        eased = state.mix.eased(self.config.rollback_factor)
        state.quiet_until, state.best = step + self.config.rollback_cooldown, None
        return self._enter(step, max(0, state.stage - 1), eased, "rollback", smoothed)

    def _enter(self, step: int, stage: int, mix: Mix, reason: str, smoothed: dict[str, float]) -> Change:
        state, before = self._state, self.stage.name
        state.stage, state.since, state.mix = stage, step, mix
        state.windows, state.held, state.cooling = {}, 0, self.config.cooldown_cycles
        return Change(step, before, self.stage.name, reason, smoothed, mix.model_dump())

    def state_dict(self) -> dict[str, Any]:
        """Everything remembered, as JSON values."""
        return self._state.model_dump()

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from `state`.

        Raises
        ------
        InvalidInput
            If it is not the state of a curriculum with these stages.
        """
        loaded = checked(_State, state)
        if loaded.stage >= len(self.config.stages):
            raise InvalidInput(
                f"the state is of stage {loaded.stage + 1}, of {len(self.config.stages)} stages",
                "give a checkpoint that was made with the same curriculum",
            )
        self._state = loaded


def checked(model: type[_Model], state: Mapping[str, Any]) -> _Model:
    """Read a state back into the model that wrote it, or raise InvalidInput."""
    try:
        return model.model_validate(dict(state))
    except ValidationError as error:
        raise InvalidInput(
            f"the state of the curriculum is not one of this strategy: {explained(error)}",
            "give a checkpoint that was made with the same curriculum",
        ) from error


def explained(error: ValidationError) -> str:
    """The first complaint of a validation, in one line with its place."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _is_lower(metric: str, direction: Direction) -> bool:
    return lower_is_better(metric) if direction == "by_name" else direction == "lower"


def _figure(name: str, metrics: Mapping[str, float], step: int) -> float:
    if name not in metrics:
        raise InvalidInput(
            f"the evaluation at step {step} has no figure {name}, by which the curriculum goes",
            f"name one of {', '.join(sorted(metrics)) or 'the figures that are measured, of which there are none'}",
        )
    value = float(metrics[name])
    if not math.isfinite(value):
        raise InvalidInput(f"the evaluation at step {step} gives {name} as {value}", "lower the learning rate")
    return value
