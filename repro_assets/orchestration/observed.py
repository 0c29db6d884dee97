"""Folders and files from elsewhere as observable source assets.

Laws: the data version is the digest that the folder would have as a tree artifact, or the file as a bytes artifact, so
an asset that reads it becomes stale when a bit of it changes, and not when it is copied, touched or moved. Where
something in it cannot be read, or could not be part of an artifact, the observation fails and names it: no version
would be true, and the last one stays. Nothing is stored.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from repro_assets.capture.data_manifest.content import Content, content_of
from repro_assets.wording import type_in_words

KIND = "files"
NAMED = 20


def observed_source(
    key: dg.AssetKey | str | Sequence[str],
    path: Path,
    *,
    group: str = "data",
    description: str | None = None,
    automation_condition: dg.AutomationCondition[dg.AssetKey] | None = None,
) -> dg.SourceAsset:
    """Make the source asset of a folder or file that others write.

    Parameters
    ----------
    key : asset key
        What it is called in the graph.
    path : Path
        The folder or file; a relative one is looked for from the folder of the executing process.
    group : str
        Its group.
    description : str, optional
        What a person reads on its page.
    automation_condition : AutomationCondition, optional
        When Dagster observes it by itself.

    Returns
    -------
    SourceAsset
        Its observation carries files, bytes, kind and place as metadata. It fails with `dagster.Failure`, whose
        metadata name up to `NAMED` things, where something in it cannot be read; and with `InvalidInput` where
        `path` is not there.
    """

    def observe() -> dg.ObserveResult:
        content = content_of(path)
        if content.digest is None:
            raise dg.Failure(
                f"{path} has no digest: {len(content.refused)} things in it cannot be read or stored, first "
                f"{content.refused[0][0]!r}: {content.refused[0][1]}",
                metadata=_described(path, content),
                allow_retries=False,
            )
        return dg.ObserveResult(data_version=dg.DataVersion(str(content.digest)), metadata=_described(path, content))

    with warnings.catch_warnings():
        # Dagster calls observable source assets beta at every definition; pinned versions and a test hold them here.
        warnings.simplefilter("ignore", dg.BetaWarning)
        source = dg.observable_source_asset(
            key=dg.AssetKey.from_coercible(key),
            group_name=group,
            description=description or f"The content of {path}, as it is when it is observed.",
            metadata={"path": dg.MetadataValue.path(path)},
            tags={f"dagster/kind/{KIND}": ""},
            automation_condition=automation_condition,
        )(observe)
    if not isinstance(source, dg.SourceAsset):
        raise TypeError(f"dagster made {type_in_words(source)} of an observable source asset")
    return source


def _described(path: Path, content: Content) -> dict[str, dg.MetadataValue]:
    refused = [{"path": name, "reason": reason} for name, reason in content.refused[:NAMED]]
    return {
        "files": dg.MetadataValue.int(content.files),
        "bytes": dg.MetadataValue.int(content.bytes),
        "kind": dg.MetadataValue.text(content.kind),
        "digest": dg.MetadataValue.text(str(content.digest) if content.digest is not None else "none"),
        "could not be read": dg.MetadataValue.int(len(content.refused)),
        "not read": dg.MetadataValue.json(refused),
        "observed at": dg.MetadataValue.path(path.absolute()),
    }
