"""Which raw traces are worth learning from: dropped by stated rules, the rest scored.

Laws: a malformed trace stops the filter, a bad one is dropped and counted; every trace is either kept or counted under
exactly one reason, the first that applies in the order of `REASONS`; the filter reads the table's columns alone; kept
rows keep their order and get the columns ``quality`` and ``difficulty`` (`repro_assets.training.difficulty`).

Quality, in 0 to 1: half the posterior that the last thought gives the digit answered (0 where it names others), half
the share of the `MAX_LOOKS` looks that were not needed, 1 - looks / 8. So a confident, short trace scores high, a lucky
guess or a long search low.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.errors import InvalidInput
from repro_assets.training import task
from repro_assets.training.difficulty import trace_difficulty
from repro_assets.training.trace_files import COLUMNS
from repro_assets.training.traces import read_thought
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import pandas

    from repro_assets.recording.run import Run

REASONS = ("wrong_answer", "repeated_look", "too_many_looks", "low_quality")


class FilterConfig(BaseModel):
    """What is dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drop_wrong_answers: bool = Field(default=True, description="drop traces whose answer is not the label")
    drop_repeated_looks: bool = Field(default=True, description="drop traces that look at a region twice")
    max_looks: int = Field(default=7, ge=0, le=task.MAX_LOOKS, description="drop traces with more looks than this")
    min_quality_score: float = Field(default=0.0, ge=0, le=1, description="drop traces whose quality is lower")


def filter_and_score(run: Run, config: FilterConfig, traces: pandas.DataFrame) -> pandas.DataFrame:
    """Drop bad traces by rule and score the others.

    Parameters
    ----------
    run : Run
        Takes the metrics ``traces``, ``kept``, ``dropped/<reason>`` for every reason, ``quality/mean`` and
        ``difficulty/mean``.
    config : FilterConfig
        The rules.
    traces : pandas.DataFrame
        Raw traces, as `repro_assets.training.traces` describes them.

    Returns
    -------
    pandas.DataFrame
        The kept rows with the columns ``quality`` and ``difficulty`` (float64), index 0, 1, ....

    Raises
    ------
    InvalidInput
        If a column is missing, a trace is malformed (the trace is named), or nothing is kept.
    """
    return report(run, sort_out(config, traces))


class Sorted(NamedTuple):
    """The traces that are kept, with their quality, and how many were dropped for each reason."""

    kept: pandas.DataFrame
    dropped: dict[str, int]


def sort_out(config: FilterConfig, traces: pandas.DataFrame) -> Sorted:
    """Keep or drop each trace by the rules.

    Raises
    ------
    InvalidInput
        If a column is missing or a trace is malformed.
    """
    dropped = dict.fromkeys(REASONS, 0)
    kept, qualities, difficulties = [], [], []
    for place, (label, actions, thoughts) in enumerate(read_traces(traces)):
        score = quality(actions, thoughts)
        reason = _reason(config, label, actions, score)
        if reason is None:
            kept.append(place)
            qualities.append(score)
            difficulties.append(trace_difficulty(label, actions, thoughts))
        else:
            dropped[reason] += 1
    result = traces.iloc[kept][list(COLUMNS)].reset_index(drop=True)
    result["quality"], result["difficulty"] = qualities, difficulties
    return Sorted(result, dropped)


def report(run: Run, found: Sorted) -> pandas.DataFrame:
    """Record how many traces were kept and dropped, and return those that were kept.

    Raises
    ------
    InvalidInput
        If there are none.
    """
    total = len(found.kept) + sum(found.dropped.values())
    counts = {f"dropped/{reason}": float(count) for reason, count in found.dropped.items()}
    run.log_metrics({"traces": float(total), "kept": float(len(found.kept)), **counts})
    if found.kept.empty:
        raise InvalidInput(
            f"the filter leaves none of {total} traces ({ {name: n for name, n in found.dropped.items() if n} })",
            "lower min_quality_score, raise max_looks, or look at the raw traces",
        )
    run.log_metrics({f"{name}/mean": float(np.mean(found.kept[name])) for name in ("quality", "difficulty")})
    return found.kept


def quality(actions: list[int], thoughts: list[str]) -> float:
    """Quality of a well-formed trace, 0 to 1; the formula is in the module's docstring."""
    believed = (read_thought(thoughts[-1]) or {}).get(actions[-1] - task.REGIONS, 0.0)
    return 0.5 * believed + 0.5 * (1 - (len(actions) - 1) / task.MAX_LOOKS)


def _reason(config: FilterConfig, label: int, actions: list[int], score: float) -> str | None:
    looks = actions[:-1]
    if config.drop_wrong_answers and actions[-1] - task.REGIONS != label:
        return "wrong_answer"
    if config.drop_repeated_looks and len(set(looks)) < len(looks):
        return "repeated_look"
    if len(looks) > config.max_looks:
        return "too_many_looks"
    if score < config.min_quality_score:
        return "low_quality"
    return None


def read_traces(
    traces: pandas.DataFrame, places: Sequence[str] | None = None
) -> list[tuple[int, list[int], list[str]]]:
    """Check every trace and return its label, actions and thoughts, in the order of the rows.

    Parameters
    ----------
    traces : pandas.DataFrame
        The traces.
    places : sequence of str, optional
        Where each stands in a person's file (``line 3``), for the error.

    Raises
    ------
    InvalidInput
        If a column is missing, a trace id is used twice or a trace is malformed.
    """
    missing = [name for name in COLUMNS if name not in traces.columns]
    if missing:
        raise InvalidInput(f"the traces have no column {', '.join(missing)}", f"give the columns {', '.join(COLUMNS)}")
    if len(traces) == 0:
        raise InvalidInput("the table of traces is empty", "generate the raw traces again")
    rows = []
    known: set[int] = set()
    for place, record in enumerate(traces[list(COLUMNS)].itertuples(index=False, name=None)):
        image_id, trace_id, label, actions, thoughts = record
        where = f"in row {place}" if places is None else f"in {places[place]}"
        if not _is_whole(trace_id):
            raise _malformed(where, f"trace_id is {trace_id!r}, not an integer")
        name = f"{trace_id} (image {image_id})" if places is None else f"{trace_id} {where}"
        if trace_id in known:
            raise _malformed(name, "its trace_id is used twice")
        known.add(trace_id)
        if not _is_whole(image_id) or image_id < 0:
            raise _malformed(name, "image_id is not an integer of 0 or more")
        if not _is_whole(label) or not 0 <= label < task.DIGITS:
            raise _malformed(name, f"label is {label!r}, not 0 to 9")
        rows.append((int(label), _actions(name, actions), _thoughts(name, thoughts, actions)))
    return rows


def _actions(name: str, actions: Any) -> list[int]:
    if not isinstance(actions, list | tuple | np.ndarray):
        raise _malformed(name, f"actions is {type_in_words(actions)}, not a list")
    if len(actions) == 0:
        raise _malformed(name, "it has no actions")
    if not all(_is_whole(action) for action in actions):
        raise _malformed(name, "an action is not an integer")
    numbers = [int(action) for action in actions]
    outside = [number for number in numbers if not 0 <= number < task.ACTIONS]
    if outside:
        raise _malformed(name, f"action {outside[0]} is outside 0 to {task.ACTIONS - 1}")
    if numbers[-1] < task.REGIONS:
        raise _malformed(name, f"the last action {numbers[-1]} is a look, not an answer")
    if any(number >= task.REGIONS for number in numbers[:-1]):
        raise _malformed(name, "it answers before its last action")
    if len(numbers) > task.MAX_LOOKS + 1:
        raise _malformed(name, f"it has {len(numbers) - 1} looks of {task.MAX_LOOKS}")
    return numbers


def _thoughts(name: str, thoughts: Any, actions: Any) -> list[str]:
    if not isinstance(thoughts, list | tuple | np.ndarray):
        raise _malformed(name, f"thoughts is {type_in_words(thoughts)}, not a list")
    if len(thoughts) != len(actions):
        raise _malformed(name, f"{len(thoughts)} thoughts for {len(actions)} actions")
    for thought in thoughts:
        if not isinstance(thought, str) or read_thought(thought) is None:
            raise _malformed(name, f"the thought {thought!r} does not read like '3 (0.612) or 8 (0.301)'")
    return [str(thought) for thought in thoughts]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)


def _malformed(name: str, what: str) -> InvalidInput:
    return InvalidInput(f"trace {name}: {what}", "correct or remove this trace")
