"""The words of ``repro train``, and the run that they mean.

Law: `MODES` alone says which asset a mode trains; a mode that has problems trains one partition of it for each.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repro_assets.cli.run_options import Words, requests
from repro_assets.errors import InvalidValue

if TYPE_CHECKING:
    from repro_assets.determinism.mode import Mode
    from repro_assets.orchestration.request import RunRequest

MODES = {
    "sft": "models/sft",
    "rft": "models/rft",
    "ttrl": "models/ttrl",
    "morphogenesis": "models/morphogenesis",
}
WITH_PROBLEMS = ("morphogenesis",)
IN_PARALLEL = ("sft",)


@dataclass(slots=True)
class TrainingWords(Words):
    """What was said; the words of a run, and these.

    Parameters
    ----------
    mode : str
        What is trained, a key of `MODES`.
    problem : str
        Which problem it is trained on: a partition.
    project : str
        A name over experiments; a tag of the runs.
    offline : bool
        Whether no remote and no exporter may be asked.
    nproc : int
        How many processes train, where they are of a mode in `IN_PARALLEL`.
    """

    mode: str | None = None
    problem: str | None = None
    project: str | None = None
    offline: bool | None = None
    nproc: int | None = None


def training_requests(words: TrainingWords) -> tuple[str, list[RunRequest], Mode]:
    """Return the asset that is trained, what to execute one after the other, and the mode of the processes.

    Raises
    ------
    InvalidValue
        If no mode or an unknown one is said, words exclude each other, or a value is outside what is allowed.
    """
    if words.mode not in MODES:
        said = "--mode is missing" if words.mode is None else f"{words.mode!r} is no mode of training"
        raise InvalidValue(said, f"one of {', '.join(MODES)}")
    if words.select or words.job is not None:
        raise InvalidValue("repro train chooses the assets by --mode", "leave select and job out, or use repro run")
    if words.problem is not None and words.mode not in WITH_PROBLEMS:
        raise InvalidValue(f"{words.mode} has no problems", f"leave --problem out, or --mode {WITH_PROBLEMS[0]}")
    if words.mode in WITH_PROBLEMS and words.problem is None and words.partition is None:
        from repro_assets.training.synthetic import PROBLEMS

        raise InvalidValue("--problem is missing", f"one of {', '.join(PROBLEMS)}")
    if None not in (words.problem, words.partition) and words.problem != words.partition:
        raise InvalidValue("--problem and --partition are the same choice", "give one")
    processes = {} if words.nproc is None else {"processes": _processes(words)}
    project = [f"project={words.project}"] if words.project is not None else []
    asset = MODES[words.mode]
    asked, mode = requests(
        dataclasses.replace(
            words,
            select=[asset],
            set={**words.set, **processes},
            partition=words.partition or words.problem,
            tags=[*words.tags, *project],
        )
    )
    tags = {} if words.project is None else {"project": words.project}
    return (
        asset,
        [dataclasses.replace(each, with_missing=True, tags={**each.tags, **tags}) for each in asked],
        mode,
    )


def _processes(words: TrainingWords) -> int:
    assert words.nproc is not None
    if words.mode not in IN_PARALLEL:
        raise InvalidValue(
            f"{words.mode} is trained by one process", f"leave --nproc out, or --mode {' or '.join(IN_PARALLEL)}"
        )
    if words.nproc < 1:
        raise InvalidValue(f"--nproc {words.nproc} is no number of processes", "1 or more")
    if any(name.rpartition(".")[2] == "processes" for name in words.set):
        raise InvalidValue("--nproc and --set processes are the same choice", "give one")
    return words.nproc
