"""Exports that Dagster executes: a job that the launchpad asks what to export, and assets that are such an export.

Laws: both do what ``repro export`` does with the same words; an export of which bytes are gone fails.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from repro_assets.errors import InvalidValue, ReproError
from repro_assets.interchange.formats import EXPORTS, Exported, export, format_of, need_place
from repro_assets.interchange.subjects import asked_for
from repro_assets.store.home import find_store

PLACES = ("partition", "run")


class ExportConfig(dg.Config):
    """What is exported, and how."""

    what: list[str] = Field(default=[], description="Runs and artifacts, by id, name, version or digest, or last.")
    where: str | None = Field(
        default=None, description="Also the runs with this SQL condition over the columns of runs_wide."
    )
    format: str = Field(description=f"One of {', '.join(EXPORTS)}.")
    to: str = Field(description="The file or folder; of a tool with a server also its address.")
    force: bool = Field(default=False, description="Replace a file that is there.")
    with_environment: bool = Field(default=False, description="With the packages of the environments, from pip.")
    anonymize: bool = Field(default=False, description="Without hosts, accounts, homes, remotes and device ids.")


@dg.op(name="export_records", description="Writes runs or artifacts in the format of another tool.")
def export_op(context: dg.OpExecutionContext, config: ExportConfig) -> None:
    """Export what the config names; fail where bytes of it are gone."""
    done = _written(config)
    context.add_output_metadata(_described(done))
    _say(context, done)


export_job = dg.GraphDefinition(
    "export",
    node_defs=[export_op],
    description="Writes runs, models or data sets in the format of another tool; the launchpad asks which.",
).to_job()


def exported_asset(
    key: dg.AssetKey | str,
    what: str,
    *,
    format: str,
    to: str | Path,
    deps: Iterable[Any],
    group: str = "exports",
    description: str | None = None,
    partitions_def: dg.PartitionsDefinition[Any] | None = None,
    automation_condition: dg.AutomationCondition[dg.AssetKey] | None = None,
    with_environment: bool = False,
    anonymize: bool = False,
) -> dg.AssetsDefinition:
    """Make the asset that is an export: a model's bill of materials beside the model, say.

    Parameters
    ----------
    key : asset key
        What it is called in the graph.
    what : str
        What is exported, as ``repro export`` takes it: ``model-sft`` is that model's newest version.
    format : str
        One of ``repro export --help``.
    to : str or Path
        The file, which is replaced, or the folder, which must be new; from the folder of the executing process. Folders
        above it are made. In it and in `what`, ``{run}`` stands for the id of Dagster's run, ``{partition}`` for the
        partition.
    deps : iterable
        The assets that it is exported from.
    group : str
        Its group.
    description : str, optional
        What a person reads on its page.
    partitions_def : PartitionsDefinition, optional
        Its partitions.
    automation_condition : AutomationCondition, optional
        When Dagster makes it by itself; `AutomationCondition.eager` makes it after each of `deps`.
    with_environment, anonymize : bool
        As the options of the command.

    Returns
    -------
    AssetsDefinition
        Its materialization carries path, name, digest, notes and what the format says. It fails with `dagster.Failure`
        where the export is refused.

    Raises
    ------
    InvalidValue
        If there is no such format, `to` is empty, or `what` or `to` names another place.
    """
    format_of(EXPORTS, format, "export")
    need_place(to)
    places = PLACES if partitions_def is not None else PLACES[1:]
    for text in (what, str(to)):
        _filled(text, dict.fromkeys(places, ""))

    def write(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        known = {"run": context.run.run_id}
        if partitions_def is not None:
            known["partition"] = context.partition_key
        target = _filled(str(to), known)
        if "://" not in target:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        done = _written(
            ExportConfig(
                what=[_filled(what, known)],
                format=format,
                to=target,
                force=True,
                with_environment=with_environment,
                anonymize=anonymize,
            )
        )
        _say(context, done)
        version = dg.DataVersion(done.digest) if done.digest is not None else None
        return dg.MaterializeResult(metadata=_described(done), data_version=version)

    return dg.asset(
        key=dg.AssetKey.from_coercible(key),
        deps=list(deps),
        group_name=group,
        description=description or f"{what} as {format}.",
        partitions_def=partitions_def,
        automation_condition=automation_condition,
        kinds={format},
    )(write)


def _filled(text: str, known: dict[str, str]) -> str:
    try:
        return text.format_map(known)
    except (KeyError, IndexError, ValueError) as error:
        raise InvalidValue(
            f"{text!r} has a place that nothing fills", f"of {', '.join(f'{{{name}}}' for name in known)}"
        ) from error


def _written(asked: ExportConfig) -> Exported:
    try:
        home = find_store(make=True)
        done = export(
            *asked_for(home, asked.what, asked.where),
            to=asked.to,
            format=asked.format,
            home=home,
            force=asked.force,
            with_environment=asked.with_environment,
            anonymize=asked.anonymize,
        )
    except ReproError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if not done.verified:
        raise dg.Failure(
            f"{done.path} is written, but bytes of {done.name} are gone (see: repro store fsck --full)",
            metadata=_described(done),
            allow_retries=False,
        )
    return done


def _described(done: Exported) -> dict[str, dg.MetadataValue]:
    place = dg.MetadataValue.path(done.path.absolute()) if isinstance(done.path, Path) else None
    return {
        "path": place or dg.MetadataValue.text(str(done.path)),
        "format": dg.MetadataValue.text(done.format),
        "exported": dg.MetadataValue.text(done.name),
        "digest": dg.MetadataValue.text(done.digest or "none"),
        "facts": dg.MetadataValue.json(done.facts),
        "notes": dg.MetadataValue.json(list(done.notes)),
    }


def _say(context: Any, done: Exported) -> None:
    context.log.info(f"{done.path}: {done.name}")
    for note in done.notes:
        context.log.info(note)
