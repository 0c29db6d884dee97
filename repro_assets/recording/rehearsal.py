"""The process of one run of `verify_determinism`: ``python -m repro_assets.recording.rehearsal PLAN ANSWER RESULT``.

Laws: it imports the target, applies the mode, seeds the global generators (but not around a recipe that says no to
that), calls the target and writes what it returned; every way in which that fails is in the answer, with who can do
something about it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.determinism.global_rng import seeded_globals
from repro_assets.determinism.mode import Mode, applied
from repro_assets.determinism.results import write_result
from repro_assets.determinism.rng_states import load_rng_states, save_rng_states
from repro_assets.determinism.seeds import Seeds
from repro_assets.errors import InvalidValue, ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording import ranks
from repro_assets.recording.lifetime import begin, recorded
from repro_assets.recording.recipes import arguments_of, is_seeded, recipe_of
from repro_assets.recording.redaction import redact_message
from repro_assets.recording.run import new_run_id
from repro_assets.store.home import make_store, open_store
from repro_assets.wording import type_in_words


def main(arguments: list[str]) -> int:
    """Run the target once and write the answer."""
    plan = json.loads(Path(arguments[0]).read_text())
    sys.path[:] = list(dict.fromkeys([*plan["path"], *sys.path]))
    late: list[str] = []
    error = None
    try:
        _rehearse(plan, Path(arguments[2]), late)
    except ReproError as failure:
        error = {"kind": failure.exit_code, "message": failure.message, "remedy": failure.remedy}
    except _TargetRaised as failure:
        error = {"kind": "target", "message": str(failure), "remedy": ""}
    partial = Path(arguments[1]).with_suffix(".partial")
    partial.write_text(json.dumps({"late": late, "error": error}))
    partial.rename(arguments[1])
    return 0


class _TargetRaised(Exception):
    """What the target raised, in one line."""


def _rehearse(plan: Mapping[str, Any], result: Path, late: list[str]) -> None:
    name, seeds = plan["target"], Seeds(plan["seed"])
    with applied(Mode(**plan["mode"]), strict=plan["strict"]) as found:
        late += map(str, found)
        unseeded = save_rng_states()
        with seeded_globals(seeds):
            target = imported(name)
            if not is_seeded(target):
                load_rng_states(unseeded)
            with _arguments(name, target, plan["rehearsal"], seeds, Path(plan["store"])) as arguments, _blamed(name):
                if ranks.processes_of(arguments.get("config")) > 1:
                    made = _by_ranks(target, plan, arguments)
                else:
                    made = target(**arguments)
        write_result(made, result)


def _by_ranks(target: Callable[..., Any], plan: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    rehearsal, run = plan["rehearsal"], arguments["run"]
    return ranks.execute(
        run,
        target,
        arguments["config"],
        rehearsal["inputs"],
        values=rehearsal["config"],
        inputs_home=run.home if rehearsal["home"] is None else open_store(Path(rehearsal["home"])),
        mode=Mode(**plan["mode"]),
        what=plan["target"],
    )


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Make whatever is raised the target's own failure."""
    try:
        yield
    except (Exception, SystemExit) as error:
        # Only where it was raised: what was raised is said once, by whoever asked.
        print(redact_message("".join(traceback.format_tb(error.__traceback__))), end="", file=sys.stderr)
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        said = redact_message(f"{type(error).__name__}: {error}")
        raise _TargetRaised(f"{name} raised {said}{where}") from error


def imported(name: str) -> Callable[..., Any]:
    """Return what ``module:function`` names.

    Raises
    ------
    InvalidValue
        If there is none, or it cannot be called.
    """
    module_name, _, path = name.partition(":")
    try:
        known = importlib.util.find_spec(module_name) is not None
    except (ModuleNotFoundError, ValueError):
        known = False
    if not known:
        raise InvalidValue(f"there is no module {module_name!r}", "write it like: package.module:function")
    with _blamed(name):
        # The person named it on the command line or in a call.
        module = importlib.import_module(module_name)
    try:
        target: Callable[..., Any] = recipe_of(functools.reduce(getattr, path.split("."), module))
    except AttributeError:
        raise InvalidValue(f"module {module_name} has no {path!r}", "write it like: package.module:function") from None
    if not callable(target):
        raise InvalidValue(f"{name} is {type_in_words(target)}, which cannot be called", "name a function")
    return target


@contextmanager
def _arguments(
    name: str, target: Callable[..., Any], rehearsal: Mapping[str, Any], seeds: Seeds, store: Path
) -> Iterator[dict[str, Any]]:
    """Yield what the target's parameters ask for; a run lives as long as the scope."""
    parameters = inspect.signature(target).parameters
    given: dict[str, Any] = {}
    asked = {key for key, each in parameters.items() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
    if rehearsal["home"] is not None:
        home = open_store(Path(rehearsal["home"]))
        inputs = {
            slot: repository.by_digest(home, Digest.parse(digest), name=slot)
            for slot, digest in rehearsal["inputs"].items()
        }
        given |= arguments_of(target, inputs)
    if "seed" in asked:
        given["seed"] = seeds.root
    if "seeds" in asked:
        given["seeds"] = seeds
    if "config" in asked and "run" in asked:
        given["config"] = config_of(name, target, rehearsal["config"])
    # Of an input with several partitions there is a slot for each, such as days[monday].
    there = {slot.partition("[")[0] for slot in given}
    missing = [
        key for key in asked - {"run"} if key not in there and parameters[key].default is inspect.Parameter.empty
    ]
    if missing:
        raise InvalidValue(
            f"{name} needs {', '.join(sorted(missing))}, which nobody gives",
            "give it defaults, or name the asset, whose recorded inputs are then used",
        )
    if "run" not in asked:
        yield given
        return
    started = RunStarted(run_id=new_run_id(), run_kind="rehearsal", name=name, recipe=name, seed=seeds.root)
    # A store of its own, which whoever started this process throws away.
    with recorded(begin(make_store(store), started)) as run:
        yield {**given, "run": run}


def config_of(name: str, target: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Return the config that a recipe's annotation asks for.

    Raises
    ------
    InvalidValue
        If there is no such annotation, or the values do not fit it.
    """
    annotation: Any = inspect.signature(target).parameters["config"].annotation
    if isinstance(annotation, str):
        # Only this one annotation: others may name what is imported for type checkers alone.
        namespace = getattr(target, "__globals__", {})
        first, *rest = annotation.split(".")
        annotation = functools.reduce(lambda found, each: getattr(found, each, None), rest, namespace.get(first))
    if annotation is inspect.Parameter.empty or not isinstance(annotation, type):
        raise InvalidValue(f"the config of {name} has no class", "annotate it: config: Config")
    try:
        return annotation(**values)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"the config of {name} does not fit: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
