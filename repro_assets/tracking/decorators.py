"""Decorators that record the calls of a function.

Laws: a decorated function keeps its name, signature, types and documentation, and returns, yields and raises what it
did; methods, generators, coroutines and asynchronous generators are recorded from their first step to their last.
What Dagster executes has a run already, and a call there belongs to it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

from repro_assets.capture.level import Level
from repro_assets.errors import InvalidValue
from repro_assets.recording.enclosing import enclosing_run
from repro_assets.recording.redaction import redact
from repro_assets.tracking import arguments, opened
from repro_assets.tracking.experiment import Experiment

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def reproducible(
    name: str | None = None,
    capture_level: str | int | Level = Level.STANDARD,
    **options: Any,
) -> Callable[[Callable[Given, Answer]], Callable[Given, Answer]]:
    """Record every call of a function as a run: its arguments, what it logs, and what it returns.

    Parameters
    ----------
    name : str, optional
        What the run is called; the function's name if left out.
    capture_level : str or int
        ``basic``, ``standard`` or ``complete``, or 1, 2, 3.
    options : object
        Further parameters of `Experiment`. A parameter of the function that is called ``seed`` is the seed, unless one
        is given here.

    Returns
    -------
    callable
        The decorator. What the function returns is kept as the output ``result``, numbers by name as metrics too.

    Raises
    ------
    InvalidValue
        If an option is none of `Experiment`, or out of range; at the decoration, not at the call.
    """
    if callable(name):
        raise InvalidValue("reproducible is used without parentheses", "write: @reproducible()")
    unknown = set(options) - set(inspect.signature(Experiment).parameters)
    if unknown or "config" in options:
        raise InvalidValue(
            f"reproducible has no option {min(unknown | {'config'} & set(options))!r}", "give those of Experiment"
        )
    Level.parse(capture_level)

    def decorate(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
        def make(given: Mapping[str, Any]) -> Experiment:
            there = enclosing_run()
            if there is not None and opened.current() is None:
                there.log_params(arguments.described(given))
                return Experiment.of(there)
            chosen = dict(options)
            seed = given.get("seed")
            if "seed" not in chosen and isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
                chosen["seed"] = seed
            made = Experiment(name or function.__name__, capture_level=capture_level, **chosen)
            made.config = arguments.described(given)
            made.recipe = f"{function.__module__}:{function.__qualname__}"
            made.plan = {"function": made.recipe}
            return made

        return wrapped(function, make, _keep_result)

    return decorate


def _keep_result(experiment: Experiment, answer: Any) -> None:
    # What a run of another layer returns is that layer's to keep.
    if answer is None or not experiment.is_owned:
        return
    if isinstance(answer, Mapping):
        numbers = {
            str(key): float(value)
            for key, value in answer.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        experiment.log_metrics({key: value for key, value in numbers.items() if key not in experiment.run.last_metrics})
    _, secrets = redact(answer, "result")
    if secrets:
        # An artifact's bytes are its identity: nothing can be taken out of them.
        experiment.log_param("result", answer)
        experiment.run.warnings.append(f"the result is not kept: {secrets[0]}")
        return
    try:
        experiment.keep_result(answer)
    except InvalidValue as error:
        experiment.log_param("result", answer)
        experiment.run.warnings.append(f"the result is described and not kept: {error.message}")


def wrapped(
    function: Callable[Given, Answer],
    make: Callable[[Mapping[str, Any]], Experiment],
    kept: Callable[[Experiment, Any], None],
) -> Callable[Given, Answer]:
    """Wrap a function of any form in an experiment of each call."""
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            experiment = make(arguments.bound(function, args, kwargs))
            experiment.begin()
            steps = cast(Any, function)(*args, **kwargs)
            with _ended(experiment):
                try:
                    step = steps.asend(None)
                    while True:
                        try:
                            with experiment.enclosing():
                                item = await step
                        except StopAsyncIteration:
                            return
                        try:
                            step = steps.asend((yield item))
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001 (it is the function's to handle)
                            step = steps.athrow(error)
                finally:
                    await steps.aclose()

        return cast(Callable[Given, Answer], stream)
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            experiment = make(arguments.bound(function, args, kwargs))
            experiment.begin()
            steps = cast(Any, function)(*args, **kwargs)
            with _ended(experiment):
                answer = yield from _Enclosed(experiment, steps)
                kept(experiment, answer)
                return answer

        return cast(Callable[Given, Answer], generate)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def work(*args: Any, **kwargs: Any) -> Any:
            with make(arguments.bound(function, args, kwargs)) as experiment:
                answer = await cast(Any, function)(*args, **kwargs)
                kept(experiment, answer)
                return answer

        return cast(Callable[Given, Answer], work)

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        with make(arguments.bound(function, args, kwargs)) as experiment:
            answer = function(*args, **kwargs)
            kept(experiment, answer)
            return answer

    return call


@contextmanager
def _ended(experiment: Experiment) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        experiment.finish_with(error)
        raise
    experiment.finish_with(None)


class _Enclosed:
    """A generator each step of which the experiment encloses; what runs between the steps is somebody else's."""

    def __init__(self, experiment: Experiment, steps: Any) -> None:
        self._experiment = experiment
        self._steps = steps

    def __iter__(self) -> _Enclosed:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        with self._experiment.enclosing():
            return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        with self._experiment.enclosing():
            return self._steps.throw(*error)

    def close(self) -> None:
        with self._experiment.enclosing():
            self._steps.close()
