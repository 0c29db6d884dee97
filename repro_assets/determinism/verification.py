"""Whether a function or a recipe gives the same bits in every process.

Laws: each run is a process of its own, with another PYTHONHASHSEED and an empty working folder of another name; seed,
mode and inputs are the same; everything that comes back is compared, to the last bit; what cannot be compared is an
error and never counts as equal; a run that takes too long is ended with all that it started.

A recipe is rehearsed with the handle of a run in a store of its own, which is thrown away: nothing of it is recorded.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from repro_assets.determinism.fresh_process import run_module
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.process_start import warning_filters
from repro_assets.determinism.results import Written, first_difference
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import CheckFailed, InvalidValue, MachineError

CHILD = "repro_assets.recording.rehearsal"
FORMAT = 1
TIMEOUT = 600.0
MOST_RUNS = 100


class TargetFailed(CheckFailed):
    """The function that was to be verified raised, ended its process, was killed, or did not end in time."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a recipe is given beside the seed.

    Parameters
    ----------
    config : dict
        Fields of its config; those that are left out have their defaults.
    home : str or None
        Store that holds the inputs.
    inputs : dict
        Digest of the artifact for each of its parameters.
    """

    config: dict[str, Any] = field(default_factory=dict)
    home: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify_determinism` found.

    Parameters
    ----------
    target : str
        ``module:function``.
    deterministic : bool
        Whether all runs gave the same bits.
    digests : list of str
        Of the result of each run.
    first_difference : dict or None
        ``runs``, the numbers of the two runs; ``path`` into the result; ``what`` differs there: ``members``, ``type``,
        ``shape`` or ``content``; ``element`` and ``byte`` of the first element that differs; ``values``, both sides.
    warnings : list of str
        Settings that did not hold in the runs.
    seconds : float
        Wall time of all runs.
    """

    target: str
    deterministic: bool
    digests: list[str]
    first_difference: dict[str, Any] | None
    warnings: list[str]
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the JSON answer of the command line."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        if self.first_difference is None:
            return f"{self.target} is deterministic: {len(self.digests)} runs gave {self.digests[0]}"
        found = self.first_difference
        place = f" at {found['path']}" if found["path"] else ""
        element = f", element {found['element']}" if found["element"] is not None else ""
        old, new = found["values"]
        return f"{self.target} is not deterministic: {found['what']} differs{place}{element}: {old} and {new}"


def verify_determinism(
    target: str | Callable[..., Any],
    runs: int = 2,
    seed: int = 0,
    *,
    mode: Mode | None = None,
    timeout: float = TIMEOUT,
    strict: bool = False,
    rehearsal: Rehearsal | None = None,
    path: Sequence[str | os.PathLike[str]] = (),
    log: IO[bytes] | None = None,
) -> Verification:
    """Run a function several times in fresh processes and compare everything that it returns.

    Parameters
    ----------
    target : str or callable
        ``module:function``, or a function at the top of a module that can be imported. It is given what its parameters
        ask for by name: ``seed``, ``seeds`` (a `Seeds`), and, as a recipe, ``run``, ``config`` and inputs. The global
        generators are seeded and the mode applies, whether it asks or not.
    runs : int
        How often, 2 to 100. More find more: an order that depends on hashes may agree by chance.
    seed : int
        The root seed, the same for every run.
    mode : Mode, optional
        The settings; `Mode()` if left out. Its hash seed is replaced.
    timeout : float
        Seconds for each run.
    strict : bool
        Have a setting that did not hold end it with an error, instead of a warning in the answer.
    rehearsal : Rehearsal, optional
        Config and inputs of a recipe.
    path : sequence of paths
        Folders where modules are looked for first, beside the current folder and this process's own.
    log : file, optional
        Where the output of the runs goes; this process's stderr if left out.

    Returns
    -------
    Verification
        The verdict, the digests, and the first difference.

    Raises
    ------
    InvalidValue
        If the target is not there, or needs something that nobody gives; if what it returns cannot be compared; if
        `runs` or `seed` is out of range.
    TargetFailed
        If it raised, ended its process, was killed, or took longer than `timeout`.
    CheckFailed
        If `strict` and a setting does not hold.
    MachineError
        If a process could not be started.
    """
    name = target if isinstance(target, str) else name_of(target)
    if not 2 <= runs <= MOST_RUNS:
        raise InvalidValue(f"{runs} runs cannot be compared", f"2 to {MOST_RUNS}")
    if timeout <= 0:
        raise InvalidValue(f"timeout is {timeout:g} s", "more than 0")
    if ":" not in name:
        raise InvalidValue(f"{name!r} is not module:function", "write it like: package.module:function")
    Seeds(seed)
    folders = [*(os.fspath(each) for each in path), str(Path.cwd()), *(each for each in sys.path if each)]
    plan = {
        "format": FORMAT,
        "target": name,
        "seed": seed,
        "path": [str(Path(each).absolute()) for each in folders],
        "rehearsal": dataclasses.asdict(rehearsal or Rehearsal()),
        "strict": strict,
    }
    began = time.monotonic()
    results, warnings = [], []
    with tempfile.TemporaryDirectory(prefix="repro-verify-") as folder:
        for number in range(runs):
            # Names of unlike length, because a path may enter what is computed.
            work = Path(folder, f"run-{'x' * number}{number}")
            work.mkdir()
            chosen = dataclasses.replace(mode or Mode(), hash_seed=str(number))
            asked = {**plan, "mode": dataclasses.asdict(chosen), "store": str(work / "store")}
            answer = _run(asked, chosen, work, timeout, log)
            results.append(Written.read(work / "result"))
            warnings += [line for line in answer["late"] if line not in warnings]
        digests = [result.digest for result in results]
        other = next((number for number, digest in enumerate(digests) if digest != digests[0]), None)
        difference = None
        if other is not None:
            difference = {"runs": [0, other], **(first_difference(results[0], results[other]) or {})}
    return Verification(name, difference is None, digests, difference, warnings, time.monotonic() - began)


def name_of(target: Callable[..., Any]) -> str:
    """Return ``module:function`` of a function that another process can import.

    Raises
    ------
    InvalidValue
        If it cannot: a lambda, a local function, or one of ``__main__``.
    """
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", "")
    if module in (None, "__main__") or not name or "<" in name:
        raise InvalidValue(
            f"{name or target!r} cannot be imported by another process", "put it at the top of a module of its own"
        )
    return f"{module}:{name}"


def _run(plan: Mapping[str, Any], mode: Mode, work: Path, timeout: float, log: IO[bytes] | None) -> dict[str, Any]:
    asked, answered, there = work / "plan.json", work / "answer.json", work / "folder"
    asked.write_text(json.dumps(plan))
    (work / "result").mkdir()
    there.mkdir()
    variables = {**os.environ, **mode.environment(), "PYTHONWARNINGS": warning_filters(os.environ)}
    try:
        code = run_module(CHILD, [asked, answered, work / "result"], there, variables, timeout, log)
    except subprocess.TimeoutExpired as error:
        raise TargetFailed(
            f"{plan['target']} took more than {timeout:g} s and was ended", "give a longer --timeout"
        ) from error
    if not answered.is_file():
        how = f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with code {code}"
        raise TargetFailed(
            f"{plan['target']} did not return: the process that ran it {how}", "--verbose shows what it wrote"
        )
    answer: dict[str, Any] = json.loads(answered.read_text())
    failed = answer["error"]
    if failed is not None:
        kinds = {"target": TargetFailed, 1: CheckFailed, 2: InvalidValue}
        raise kinds.get(failed["kind"], MachineError)(failed["message"], failed["remedy"])
    return answer
