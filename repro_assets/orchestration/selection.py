"""Which assets a request means: those that are selected, what is missing upstream, and the one that is resumed.

Laws: one function that makes several assets makes them together; an upstream asset is missing where nobody but a trial
has materialized it and the request pins no artifact in its place; what is resumed is one asset of the selection, but
for ``auto``, which every asset that can be resumed decides by its own work.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.orchestration import versions
from repro_assets.recording import logs, resumption
from repro_assets.recording.resumption import AUTO, SLOT
from repro_assets.store.home import Home


def selected(definition: dg.RepositoryDefinition, selection: list[str]) -> set[dg.AssetKey]:
    """Return the assets that keys, last parts of keys, or selections in Dagster's syntax name.

    Raises
    ------
    UnknownName
        If one of them names nothing, or does not read.
    """
    graph = definition.asset_graph
    known = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
    by_last: dict[str, list[dg.AssetKey]] = {}
    for key in known.values():
        by_last.setdefault(key.path[-1], []).append(key)
    found: set[dg.AssetKey] = set()
    for text in (item.strip() for entry in selection for item in entry.split(",")):
        if text in known:
            found.add(known[text])
        elif len(by_last.get(text, [])) == 1:
            found.add(by_last[text][0])
        elif any(sign in text for sign in '*+:()" ') and text:
            try:
                found |= dg.AssetSelection.from_string(text).resolve(graph)
            except dg.DagsterError as error:
                raise UnknownName(f"the selection {text!r} does not read: {error}") from error
        else:
            near = sorted(name for name in known if text and text in name)[:4] or sorted(known)
            raise UnknownName(f"there is no asset named {text!r}", f"there are {', '.join(near)}")
    return _together(definition, found)


def with_missing_upstream(
    definition: dg.RepositoryDefinition,
    keys: set[dg.AssetKey],
    partition: str | None,
    pinned: Mapping[str, str],
    instance: dg.DagsterInstance,
) -> set[dg.AssetKey]:
    """Return the assets and, of all that they are made from, those that are missing.

    Parameters
    ----------
    definition : RepositoryDefinition
        The code location.
    keys : set of AssetKey
        What is selected.
    partition : str or None
        The partition that is materialized.
    pinned : mapping
        Upstream assets, by key or its last part, in whose place an artifact is read.
    instance : DagsterInstance
        Knows what has been materialized.
    """
    graph = definition.asset_graph
    found, waiting = set(keys), sorted(keys)
    while waiting:
        for parent in sorted(graph.get(waiting.pop()).parent_keys - found):
            node = graph.get(parent)
            if not node.is_materializable or pinned.keys() & {parent.to_user_string(), parent.path[-1]}:
                continue
            if not versions.is_materialized(instance, parent, partition if node.is_partitioned else None):
                fresh = _together(definition, {parent}) - found
                found |= fresh
                waiting += sorted(fresh)
    return found


def resumed(job: dg.JobDefinition, keys: set[dg.AssetKey], home: Home, text: str) -> dict[str, str]:
    """Return the op that is resumed and the checkpoint for it; for ``auto`` every op that can be resumed.

    Raises
    ------
    InvalidValue
        If nothing that is selected can be resumed, or not what the checkpoint is of.
    UnknownName, AmbiguousName, MissingObject
        As `resumption.find` does.
    """
    able = {key: job.asset_layer.get(key).assets_def.node_def for key in sorted(keys)}
    able = {
        key: op
        for key, op in able.items()
        if isinstance(op, dg.OpDefinition) and SLOT in getattr(op.config_schema.config_type, "fields", {})
    }
    names = ", ".join(key.to_user_string() for key in able)
    if not able:
        raise InvalidValue("nothing that is selected can be resumed", "select a model that is trained: models/sft")
    if text == AUTO:
        return dict.fromkeys((op.name for op in able.values()), AUTO)
    checkpoint = resumption.find(home, text)
    fitting = [op.name for key, op in able.items() if key.to_user_string() == checkpoint.asset]
    if len(fitting) != 1:
        raise InvalidValue(
            f"{checkpoint} is a checkpoint of {checkpoint.asset}, which is not selected",
            f"what can be resumed: {names}",
        )
    for reason in checkpoint.passed_over:
        logs.get_logger("resume").warning(f"passed over: {reason}")
    return {fitting[0]: str(checkpoint)}


def _together(definition: dg.RepositoryDefinition, keys: set[dg.AssetKey]) -> set[dg.AssetKey]:
    if not keys:
        return keys
    graph = definition.asset_graph
    return set(dg.AssetSelection.assets(*keys).required_multi_asset_neighbors().resolve(graph))
