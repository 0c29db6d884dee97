"""Traces of a person's own file, filtered and scored as a data set.

Laws: every row of the file is kept or counted under one reason, as in `repro_assets.training.filtering`, or the line
that is malformed is named and nothing is made; the same traces give the same data set whichever format they are in; a
set for ``rft`` or ``eval`` has one trace of an image, its best, since there a row stands for an image to be answered,
and the others are counted as ``not_the_best``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from repro_assets.errors import InvalidInput
from repro_assets.training.filtering import FilterConfig, Sorted, read_traces, report, sort_out
from repro_assets.training.references import best_trace, by_image
from repro_assets.training.trace_files import FORMATS, read_traces_file
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import pandas

    from repro_assets.recording.run import Run

TYPES = ("sft", "rft", "eval")
NOT_THE_BEST = "not_the_best"


class FilterFileConfig(FilterConfig):
    """What is dropped, and what the data set is for."""

    dataset_name: str = Field(default="traces", description="name of the data set, to which its type is added")
    dataset_type: str = Field(default="sft", description=f"what it is for: {', '.join(TYPES)}")
    file_format: str = Field(default="jsonl", description=f"format of the file: {', '.join(FORMATS)}")

    @field_validator("dataset_type")
    @classmethod
    def _type(cls, value: str) -> str:
        if value not in TYPES:
            raise ValueError(f"one of {', '.join(TYPES)}")
        return value

    @field_validator("file_format")
    @classmethod
    def _format(cls, value: str) -> str:
        if value not in FORMATS:
            raise ValueError(f"one of {', '.join(FORMATS)}")
        return value


def filter_file(run: Run, config: FilterFileConfig, file: bytes) -> pandas.DataFrame:
    """Read a file of raw traces, drop bad ones by rule and score the others.

    Parameters
    ----------
    run : Run
        Takes the metrics of `filter_and_score`, the parameter ``columns_left_out``, and ``dropped/not_the_best``.
    config : FilterFileConfig
        The rules, and the file's format.
    file : bytes
        Its content.

    Returns
    -------
    pandas.DataFrame
        As `filter_and_score`.

    Raises
    ------
    InvalidInput
        If a row is malformed (its line is named), or nothing is kept.
    """
    if not isinstance(file, bytes):
        raise InvalidInput(f"the file is {type_in_words(file)}, not the bytes of one", "store it with --type bytes")
    read = read_traces_file(file, config.file_format)
    read_traces(read.table, read.places)
    run.log_params({"columns_left_out": read.left_out})
    table = read.table.astype(dict.fromkeys(("image_id", "trace_id", "label"), "int64"))
    kept, dropped = sort_out(config, table)
    if config.dataset_type != "sft":
        best = _best(kept)
        kept, dropped = best, {**dropped, NOT_THE_BEST: len(kept) - len(best)}
    return report(run, Sorted(kept, dropped))


def _best(kept: pandas.DataFrame) -> pandas.DataFrame:
    best = {best_trace(traces) for traces in by_image(kept).values()}
    chosen: pandas.DataFrame = kept[kept["trace_id"].isin(best)].reset_index(drop=True)
    return chosen
