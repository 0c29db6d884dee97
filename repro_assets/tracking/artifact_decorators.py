"""Decorators that give a function its artifacts, and keep what it makes.

Laws: they belong to the run that encloses the call, and where there is none, to one of the call's own; inputs are
resolved and recorded before the function begins, outputs stored before it returns; what was asked for and is not
there is an error before the function's work begins, where that can be known.
"""

from __future__ import annotations

import functools
import inspect
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from repro_assets.errors import InvalidValue
from repro_assets.metric_direction import lower_is_better
from repro_assets.recording.enclosing import enclosing_run
from repro_assets.recording.run import Run
from repro_assets.tracking import arguments, opened
from repro_assets.tracking.experiment import Experiment
from repro_assets.wording import type_in_words

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def track_artifacts(
    inputs: Sequence[str] | Mapping[str, str] = (),
    outputs: Sequence[str] = (),
    *,
    capture_args: bool = True,
    capture_source: bool = True,
) -> Callable[[Callable[Given, Answer]], Callable[..., Answer]]:
    """Pass artifacts to a function as values, and keep what it returns.

    Parameters
    ----------
    inputs : sequence or mapping
        Names of artifacts (``NAME``, ``NAME:v3``, ``NAME@alias``, a digest): a mapping by parameter, a sequence for the
        parameters in their order. A caller who gives the argument himself is given way to, with a warning of the run.
    outputs : sequence of str
        Collections of what it returns: of one, the value; of several, the members of a tuple by position or of a
        mapping by name.
    capture_args : bool
        Whether the arguments are recorded as parameters, whole.
    capture_source : bool
        Whether the function's source text is recorded.

    Returns
    -------
    callable
        The decorator; of coroutines and generators use `reproducible`.

    Raises
    ------
    InvalidValue
        At the decoration if there are more inputs than parameters, or an input is for no parameter; at the call if
        what is returned does not fit `outputs`.
    UnknownName
        At the call, if an artifact is not known.
    """
    if callable(inputs):
        raise InvalidValue("track_artifacts is used without parentheses", "write: @track_artifacts()")
    wanted = [outputs] if isinstance(outputs, str) else list(outputs)

    def decorate(function: Callable[Given, Answer]) -> Callable[..., Answer]:
        _refuse_other_forms(function, "track_artifacts")
        named = _by_parameter(function, inputs)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Answer:
            with enclosing_experiment(function) as experiment:
                partly = inspect.signature(function).bind_partial(*args, **kwargs).arguments
                for parameter, text in named.items():
                    if parameter not in partly:
                        kwargs[parameter] = experiment.use_artifact(text).load()
                    else:
                        given_instead = f"{function.__name__} was given its argument {parameter} by the caller"
                        experiment.run.warnings.append(f"{given_instead}: the artifact {text} was not read")
                if capture_args:
                    given = {
                        name: value
                        for name, value in arguments.bound(function, args, kwargs).items()
                        if name not in named or name in partly
                    }
                    experiment.log_params({f"{function.__name__}.{name}": value for name, value in given.items()})
                if capture_source:
                    experiment.log_param(f"{function.__name__}.source", arguments.source_of(function))
                answer = function(*args, **kwargs)
                for name, value in _by_output(function, wanted, answer).items():
                    experiment.log_artifact(value, name)
                return answer

        return call

    return decorate


def checkpoint(
    frequency: str | int = "epoch",
    *,
    save_best: bool = False,
    metric: str | None = None,
    mode: str | None = None,
) -> Callable[[Callable[Given, Answer]], Callable[Given, Answer]]:
    """Store a checkpoint after calls of a function that trains: the state of each argument that has a ``state_dict``.

    Parameters
    ----------
    frequency : str or int
        ``epoch`` or ``step``: after every call, which is one; a number: after so many calls.
    save_best : bool
        Also keep the one with the best value so far as ``checkpoint_best_<count>``; the best before it is let go.
    metric : str, optional
        Which member of the mapping that the function returns; needed by `save_best`.
    mode : str, optional
        ``min`` or ``max``; by the metric's name if left out.

    Returns
    -------
    callable
        The decorator. Calls are counted for each run, from 1.

    Raises
    ------
    InvalidValue
        At the decoration if `frequency` is another word or under 1, or `save_best` has no metric; at the call if no
        argument has a state, or the metric is not among what was returned or is no number.
    """
    if callable(frequency):
        raise InvalidValue("checkpoint is used without parentheses", "write: @checkpoint()")
    if not isinstance(frequency, str) and (type(frequency) is not int or frequency < 1):
        raise InvalidValue(f"a checkpoint cannot be made every {frequency!r} calls", "epoch, step, or 1 or more")
    if isinstance(frequency, str) and frequency not in ("epoch", "step"):
        raise InvalidValue(f"{frequency!r} is no frequency", "epoch, step, or a number of calls")
    if save_best and metric is None:
        raise InvalidValue("save_best needs a metric", "name one: metric='loss'")
    if mode not in (None, "min", "max"):
        raise InvalidValue(f"{mode!r} is not a mode", "max or min")
    kind, every = (frequency, 1) if isinstance(frequency, str) else ("step", frequency)
    smaller = mode == "min" or (mode is None and metric is not None and lower_is_better(metric))

    def decorate(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
        _refuse_other_forms(function, "checkpoint")
        counts: weakref.WeakKeyDictionary[Run, _Count] = weakref.WeakKeyDictionary()

        @functools.wraps(function)
        def call(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
            with enclosing_experiment(function) as experiment:
                given = arguments.bound(function, args, kwargs)
                holders = {name: value for name, value in given.items() if hasattr(value, "state_dict")}
                if not holders:
                    raise InvalidValue(
                        f"no argument of {function.__qualname__} has a state_dict", "give it the model, for example"
                    )
                answer = function(*args, **kwargs)
                count = counts.setdefault(experiment.run, _Count())
                count.calls += 1
                figures = _figures(answer)
                value = None if metric is None else _figure(function, figures, metric)
                is_best = save_best and value is not None and count.improves(value, smaller)
                if count.calls % every == 0 or is_best:
                    state = {name: holder.state_dict() for name, holder in holders.items()}
                    saved: Any = state
                    if count.calls % every == 0:
                        saved = experiment.checkpoint(state, step=count.calls, kind=kind, metrics=figures)
                    if is_best:
                        experiment.checkpoint(saved, step=count.calls, kind="best", metrics=figures)
                        if count.best_name is not None:
                            experiment.run.forget_checkpoint(count.best_name)
                        count.best_name = f"checkpoint_best_{count.calls}"
                return answer

        return call

    return decorate


class _Count:
    """What a decorated function did in one run."""

    def __init__(self) -> None:
        self.calls = 0
        self.best: float | None = None
        self.best_name: str | None = None

    def improves(self, value: float, smaller: bool) -> bool:
        """Whether a value is better than every one before; NaN never is."""
        better = not math.isnan(value) and (self.best is None or (value < self.best if smaller else value > self.best))
        if better:
            self.best = value
        return better


@contextmanager
def enclosing_experiment(function: Callable[..., Any]) -> Iterator[Experiment]:
    """Give the experiment that encloses the call, or one of its own."""
    found = opened.current()
    if found is None and (there := enclosing_run()) is not None:
        found = Experiment.of(there)
    if found is not None:
        yield found
        return
    made = Experiment(function.__name__)
    made.recipe = f"{function.__module__}:{function.__qualname__}"
    made.plan = {"function": made.recipe}
    with made:
        yield made


def _refuse_other_forms(function: Callable[..., Any], what: str) -> None:
    forms = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    if any(form(function) for form in forms):
        raise InvalidValue(f"{what} is for functions that return", "use reproducible, and log within")


def _by_parameter(function: Callable[..., Any], inputs: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    parameters = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in ("self", "cls")
    ]
    if isinstance(inputs, Mapping):
        strange = sorted(set(inputs) - set(parameters))
        if strange:
            raise InvalidValue(f"{function.__qualname__} has no parameter {strange[0]!r}", ", ".join(parameters))
        return dict(inputs)
    given = [inputs] if isinstance(inputs, str) else list(inputs)
    if len(given) > len(parameters):
        raise InvalidValue(
            f"{function.__qualname__} has {len(parameters)} parameters and is given {len(given)} artifacts",
            "name at most one for each",
        )
    return dict(zip(parameters, given, strict=False))


def _by_output(function: Callable[..., Any], names: list[str], answer: Any) -> dict[str, Any]:
    if not names:
        return {}
    if isinstance(answer, Mapping) and set(names) <= set(answer):
        return {name: answer[name] for name in names}
    if len(names) == 1:
        return {names[0]: answer}
    if isinstance(answer, tuple) and len(answer) == len(names):
        return dict(zip(names, answer, strict=True))
    raise InvalidValue(
        f"{function.__qualname__} returned {type_in_words(answer)} where {', '.join(names)} are to be kept",
        f"return a tuple of {len(names)}, or a mapping with these names",
    )


def _figures(answer: Any) -> dict[str, float]:
    if not isinstance(answer, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in answer.items()
        if not isinstance(value, (bool, str)) and hasattr(value, "__float__")
    }


def _figure(function: Callable[..., Any], figures: Mapping[str, float], metric: str) -> float:
    if metric not in figures:
        raise InvalidValue(
            f"{function.__qualname__} returned no number {metric!r}",
            f"it returned: {', '.join(sorted(figures)) or 'no numbers by name'}",
        )
    return figures[metric]
