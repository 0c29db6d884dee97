"""What every asset's config holds beside its recipe's own settings."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from pydantic import Field, ValidationError

from repro_assets.errors import InvalidValue
from repro_assets.orchestration.refusals import fields_in_one_line


class Named(NamedTuple):
    """An input that is called by an artifact's name and is no asset's product for Dagster."""

    artifact: str


class AssetConfig(dg.Config):
    """Pinned inputs, and whether to execute although the same work is done.

    An asset's config class is its recipe's config and this one: ``class SftAsset(SftConfig, AssetConfig)``.
    """

    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="Pin an upstream asset: its name to an artifact (NAME, NAME:v3, NAME@alias, sha256:…)",
    )
    force: bool = Field(default=False, description="Execute even if the same work has been done")

    def named(self, *slots: str, optional: str = "") -> dict[str, Named]:
        """Return the inputs of an asset without upstreams, whose `inputs` name what it reads.

        Parameters
        ----------
        *slots : str
            Inputs that it needs; one without a name is refused where the run has begun, so that this is on record.
        optional : str
            One that it also reads where it is named.
        """
        asked = [*slots, *(slot for slot in (optional,) if slot in self.inputs)]
        return {slot: Named(self.inputs.get(slot, "")) for slot in asked}


class TrainingConfig(AssetConfig):
    """Where a training begins, beside what every asset's config holds.

    The recipe of an asset with this config takes the value of a checkpoint as its keyword `resume`.
    """

    resume: str = Field(
        default="",
        description="Go on from a run, a checkpoint, RUN@TIME, or auto: the newest unfinished run of this same work",
    )


def hyperparameters(config: Any) -> dict[str, Any]:
    """Return the recipe's own settings of an asset's config."""
    values: dict[str, Any] = config.model_dump(mode="json")
    return {name: value for name, value in values.items() if name not in TrainingConfig.model_fields}


def asset_config(given: type[Any]) -> type[AssetConfig]:
    """Return a recipe's config class with what every asset's config holds beside it.

    Parameters
    ----------
    given : type
        A class of ``dagster.Config`` or pydantic; one that is an `AssetConfig` is returned as it is.

    Raises
    ------
    InvalidValue
        If a field of it is called like one of ours.
    """
    if issubclass(given, AssetConfig):
        return given
    taken = sorted(given.model_fields.keys() & TrainingConfig.model_fields.keys())
    if taken:
        raise InvalidValue(
            f"the config {given.__name__} has the field {taken[0]}, which every asset has already",
            "call it otherwise; to continue trainings, derive the class from TrainingConfig",
        )
    names = {"__module__": given.__module__, "__qualname__": given.__qualname__, "__doc__": given.__doc__}
    return types.new_class(given.__name__, (given, AssetConfig), {}, lambda body: body.update(names))


def check_fields(name: str, node: Any, values: Mapping[str, Any]) -> None:
    """Refuse what an asset's config class would refuse when its step begins, which may be hours later.

    Raises
    ------
    InvalidValue
        If a value is of another type, out of its range, or does not go with another one; the fields are named.
    """
    compute = node.compute_fn if isinstance(node, dg.OpDefinition) else None
    given = compute.get_config_arg() if isinstance(compute, DecoratedOpFunction) and compute.has_config_arg() else None
    if given is None or any(isinstance(value, Mapping) and set(value) == {"env"} for value in values.values()):
        return  # Dagster reads such a variable when the run is launched.
    try:
        given.annotation(**values)
    except ValidationError as error:
        raise InvalidValue(f"{name}: {fields_in_one_line('ValidationError', str(error))}") from error
