"""`reproducible_asset` and `reproducible_multi_asset`: a plain function as an asset with a run on record.

Laws: Dagster's own decorator gets every argument that it knows; an input is a handle until the work is known to be new,
so reuse loads nothing; what the decorator cannot keep is refused when the asset is defined.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.plan.outputs import StepOutputHandle

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.orchestration.bodies import Body, check_return
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.io_manager import ArtifactIOManager
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro
from repro_assets.orchestration.step_runs import LoadedInput, open_runs
from repro_assets.wording import type_in_words

RESOURCE = "repro"
STORED = dg.DagsterType(
    # What another IO manager loads is let through, and stored by the step.
    type_check_fn=lambda _, __: True,
    name="StoredArtifact",
    typing_type=Artifact,
    description="The handle of a stored artifact.",
)
_REFUSED = {
    "config_schema": "annotate a parameter config with a class that derives from dagster.Config",
    "dagster_type": "annotate what the function returns",
    "check_specs": "make the check an asset check of its own: @dagster.asset_check",
    "specs": "give outs, of dagster.AssetOut",
    "output_required": "return a value",
    "non_argument_deps": "give deps",
}


def reproducible_asset(
    function: Callable[..., Any] | None = None,
    *,
    collection: str | None = None,
    display: str | None = None,
    files: Mapping[str, str | Path] | None = None,
    config: type[Any] | None = None,
    seeded: bool = True,
    reuse: bool = True,
    **arguments: Any,
) -> Any:
    """Make an asset of a plain function, with a run on record for each execution: traced, reused, replayed.

    A parameter annotated `Run` gets the run handle, `config` an instance of its class, one annotated with a resource
    that resource, and a context Dagster's. Any other parameter is an input: annotated `Artifact` it arrives as a
    handle, annotated `Path` as a copy of the stored file or folder, else as its value; of several partitions, a
    dictionary by partition. The function returns a value that a kind of artifact holds, or an `Artifact`.

    Parameters
    ----------
    function : callable, optional
        The function; left out where arguments are given to the decorator.
    collection : str, optional
        Name under which products get versions; the asset's key joined by dashes if left out.
    display : str, optional
        Display name of a product, with ``{version}``, ``{run}`` and others (`orchestration.naming`).
    files : mapping, optional
        Parameter to a raw file or folder, from the project's top. Its bytes are an input of the run, and part of the
        code version that Dagster shows.
    config : type, optional
        A subclass of the class that `config` is annotated with, which has other defaults.
    seeded : bool
        Whether the global generators of Python, NumPy and torch are seeded from the run's seed around the call.
    reuse : bool
        Whether identical work that is done already is returned instead of executing.
    **arguments
        What ``dagster.asset`` takes.

    Returns
    -------
    AssetsDefinition
        The asset, or the decorator that makes it. The plain function is its ``__wrapped__``.

    Raises
    ------
    InvalidValue
        If a parameter, an argument or the promised value cannot be kept.
    """

    def decorate(body_function: Callable[..., Any]) -> dg.AssetsDefinition:
        kept, body = _prepared(body_function, (), files, config, seeded, arguments)
        check_return(body_function)
        names = {COLLECTION: collection, DISPLAY: display or collection}
        metadata = {key: value for key, value in names.items() if value is not None}
        kept["metadata"] = {**(kept.get("metadata") or {}), **metadata}
        kept.setdefault("name", None if kept.get("key") else body.__name__)

        def compute(context: dg.AssetExecutionContext, **given: Any) -> dg.MaterializeResult[Any]:
            (result,) = _executed(body, context, given, reuse)
            return result

        return _made(body, dg.asset(_described(compute, body, dg.MaterializeResult[Any], kept), **kept))

    return decorate if function is None else decorate(function)


def reproducible_multi_asset(
    *,
    outs: Mapping[str, dg.AssetOut],
    files: Mapping[str, str | Path] | None = None,
    config: type[Any] | None = None,
    seeded: bool = True,
    reuse: bool = True,
    **arguments: Any,
) -> Any:
    """Make several assets of one plain function, which returns a mapping from their names, or a tuple in their order.

    With ``can_subset=True`` a part of them can be materialized; the function is called as always and may read from
    Dagster's context what is selected, and return that alone.

    Parameters
    ----------
    outs : mapping
        ``dagster.AssetOut`` by name. Its metadata may name a collection and a display name (`COLLECTION`, `DISPLAY`).
    files, config, seeded, reuse
        As for `reproducible_asset`.
    **arguments
        What ``dagster.multi_asset`` takes.

    Returns
    -------
    callable
        The decorator.

    Raises
    ------
    InvalidValue
        As for `reproducible_asset`.
    """

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        kept, body = _prepared(function, tuple(outs), files, config, seeded, arguments)
        kept.setdefault("name", body.__name__)

        def compute(context: dg.AssetExecutionContext, **given: Any) -> Iterator[dg.MaterializeResult[Any]]:
            yield from _executed(body, context, given, reuse)

        returns = Iterator[dg.MaterializeResult[Any]]
        given = _subsettable(outs) if kept.get("can_subset") else outs
        return _made(body, dg.multi_asset(outs=given, **kept)(_described(compute, body, returns, kept)))

    return decorate


def _subsettable(outs: Mapping[str, dg.AssetOut]) -> dict[str, dg.AssetOut]:
    """Return outputs none of which Dagster insists on; that all that are selected are made is seen to by the step."""
    found = {name: copy.copy(out) for name, out in outs.items()}
    for out in found.values():
        out.is_required = False
    return found


def _prepared(
    function: Callable[..., Any],
    outs: tuple[str, ...],
    files: Mapping[str, str | Path] | None,
    config: type[Any] | None,
    seeded: bool,
    arguments: dict[str, Any],
) -> tuple[dict[str, Any], Body]:
    """Return Dagster's arguments, completed, and the body."""
    for name, remedy in _REFUSED.items():
        if arguments.get(name) not in (None, True if name == "output_required" else None):
            raise InvalidValue(f"a reproducible asset takes no {name}", remedy)
    backfill = arguments.get("backfill_policy")
    if backfill is not None and backfill.max_partitions_per_run != 1:
        raise InvalidValue(
            "a reproducible asset makes one partition in a run, because each has a version of its own",
            "use dagster.BackfillPolicy.multi_run(1), or leave the policy out",
        )
    ins: dict[str, dg.AssetIn] = dict(arguments.get("ins") or {})
    places = {name: Path(place) for name, place in (files or {}).items()}
    body = Body(function, ins=ins, files=places, outs=outs, config=config, seeded=seeded)
    for name in body.inputs.keys() - places.keys():
        given = ins.get(name, dg.AssetIn())
        if given.dagster_type not in (None, dg.AssetIn().dagster_type):
            raise InvalidValue(f"the input {name} has a dagster_type", "annotate the parameter")
        ins[name] = given._replace(dagster_type=STORED)
    for name in ins.keys() & places.keys():
        raise InvalidValue(f"the parameter {name} is both an input and a file", "leave one of them out")
    version = arguments.get("code_version") or _version(function, places)
    return {**arguments, "ins": ins, "code_version": version}, body


def _version(function: Callable[..., Any], files: Mapping[str, Path]) -> str:
    try:
        return asset_version(function, *files.values())
    except UnknownName as error:
        raise UnknownName(
            f"{function.__qualname__} is in {function.__module__}, which cannot be imported by that name",
            "put the asset into a module of the project",
        ) from error


def _described(compute: Any, body: Body, returns: Any, kept: dict[str, Any]) -> Callable[..., Any]:
    """Give Dagster the signature that it reads: context, config, resources, inputs; and name and text."""
    by_name = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=dg.AssetExecutionContext),
        inspect.Parameter("config", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=body.config_class),
    ]
    names = [item for item in body.inputs if item not in body.files]
    parameters += [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    resources = {item.name: item.annotation for item in body.resources}
    if RESOURCE in names or (RESOURCE in resources and not _is_ours(resources[RESOURCE])):
        raise InvalidValue(f"{body.__qualname__} calls something else {RESOURCE}", "call it otherwise")
    if kept.get("required_resource_keys"):
        kept["required_resource_keys"] = {*kept["required_resource_keys"], RESOURCE}
    else:
        resources = {RESOURCE: Repro, **resources}
    parameters += [inspect.Parameter(name, by_name, annotation=kind) for name, kind in resources.items()]
    compute.__signature__ = inspect.Signature(parameters, return_annotation=returns)
    compute.__name__, compute.__doc__ = body.__name__, body.__doc__
    compute.__module__, compute.__qualname__ = body.__module__, body.__qualname__
    compute.__recipe__ = body
    made: Callable[..., Any] = compute
    return made


def _is_ours(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Repro)


def is_reproducible(asset: Any) -> bool:
    """Tell whether something is an asset that was made here, also where Dagster has copied it since."""
    node = asset.node_def if isinstance(asset, dg.AssetsDefinition) and asset.is_executable else None
    compute = node.compute_fn if isinstance(node, dg.OpDefinition) else None
    return hasattr(getattr(compute, "decorated_fn", None), "__recipe__")


def _made(body: Body, asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """Have Python's own way lead from the asset to the function, and the records' way to the recipe."""
    asset.__doc__ = body.__doc__
    vars(asset).update(__wrapped__=body.function, __recipe__=body)
    return asset


def _executed(
    body: Body, context: dg.AssetExecutionContext, given: dict[str, Any], reuse: bool
) -> list[dg.MaterializeResult[Any]]:
    repro = given[RESOURCE] if RESOURCE in given else getattr(context.resources, RESOURCE)
    if not isinstance(repro, Repro):
        raise InvalidValue(
            f"the resource {RESOURCE} is {type_in_words(repro)}", "give the resources of reproducible_resources()"
        )
    _check_io_manager(context)
    inputs: dict[str, Artifact | Path] = {}
    for name in body.inputs:
        if name in body.files:
            inputs[name] = body.files[name]
            continue
        several = isinstance(given[name], dict) and all(isinstance(item, Artifact) for item in given[name].values())
        if several:
            inputs |= {f"{name}[{partition}]": item for partition, item in given[name].items()}
        else:
            inputs[name] = _stored(repro, context, name, given[name])
    resources = {item.name: given[item.name] for item in body.resources}
    recipe = body.bound(context, resources)
    return repro.execute_all(context, recipe, given["config"], inputs, reuse=reuse)


def _stored(repro: Repro, context: dg.AssetExecutionContext, name: str, value: Any) -> Artifact:
    """Return the handle of an input; what another IO manager loaded is stored first, so that it is on record."""
    if isinstance(value, Artifact):
        return value
    step = context.get_step_execution_context()
    asset = context.assets_def.node_keys_by_input_name[name].to_user_string()
    try:
        artifact = repository.put(repro.home, value, name=asset)
    except InvalidValue as error:
        raise InvalidValue(f"the input {name} came from another IO manager: {error.message}", error.remedy) from error
    open_runs.note(step, LoadedInput(name, artifact, asset, None, pinned=False))
    return artifact


def _check_io_manager(context: dg.AssetExecutionContext) -> None:
    step = context.get_step_execution_context()
    for name, key in context.assets_def.keys_by_output_name.items():
        manager = step.get_io_manager(StepOutputHandle(step.step.key, name))
        if not isinstance(manager, ArtifactIOManager):
            raise InvalidValue(
                f"what {key.to_user_string()} makes would go to {type_in_words(manager)}, not to the store",
                "give the resources of reproducible_resources(), or name its IO manager in io_manager_key",
            )
