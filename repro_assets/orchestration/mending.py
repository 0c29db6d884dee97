"""Mending what Dagster's storage and the journal do not agree on.

Laws: the journal is only added to; Dagster is told what is true and useful to it: that a run whose process is gone was
cancelled, and of a product that it has forgotten, where it is the newest one and its bytes are there; each thing that
was done, or was refused now, is told.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG, DATA_VERSION_TAG, INPUT_DATA_VERSION_TAG_PREFIX

from repro_assets.artifacts import repository
from repro_assets.catalog import projection, queries
from repro_assets.catalog.checking import check_catalog
from repro_assets.errors import ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import CheckMade
from repro_assets.journal.segments import journal_at
from repro_assets.orchestration import dagster_side, metadata, parents
from repro_assets.orchestration.agreement import COPY_CHECK, COPY_STATE, END_RUN, REPORT, Agreement, Finding, compare
from repro_assets.orchestration.dagster_side import Answer
from repro_assets.orchestration.instance import Unreadable, asked
from repro_assets.orchestration.recorded_side import Product
from repro_assets.orchestration.versions import TRIAL
from repro_assets.recording.redaction import redact
from repro_assets.store.home import Home


def check(home: Home, *, mended: bool = False) -> dict[str, Any]:
    """Hold the catalog against its own bytes, the journal and Dagster's storage, and mend what can be if asked to.

    Parameters
    ----------
    home : Home
        The store.
    mended : bool
        Whether to mend; what is told is then how it is afterwards.

    Returns
    -------
    dict
        ``ok``, ``rows`` (how much of Dagster's was compared), ``compared`` (by kind), ``only_in_dagster``,
        ``only_in_journal``, ``differing`` (documents of `agreement.Finding`), ``damaged`` (rows of ``file`` and
        ``reason``), ``mended`` (findings that were mended, or say ``why_not``), ``not_looked_at`` (rows of ``what`` and
        ``reason``: what could not be read, so that nothing is said of it).

    Raises
    ------
    MachineError
        If the journal or the catalog cannot be read, or anything of them or Dagster's storage where mending was asked
        for.
    """
    damaged = check_catalog(home)
    done: list[dict[str, Any]] = []
    if mended and damaged:
        projection.rebuild(home)
        damaged = check_catalog(home)
    found, unseen = Agreement(), []
    try:
        with _instance(home) as instance:
            found = compare(home, instance)
            if mended:
                done = mend(home, instance, found)
                if done:
                    found = compare(home, instance)
    except Unreadable as error:
        if mended:
            raise
        unseen.append({"what": "Dagster's storage", "reason": str(error)})
    return {
        "ok": found.ok and not damaged and not unseen,
        "rows": sum(found.compared.values()),
        "compared": found.compared,
        "only_in_dagster": [finding.document() for finding in found.only_in_dagster],
        "only_in_journal": [finding.document() for finding in found.only_in_journal],
        "differing": [finding.document() for finding in found.differing],
        "damaged": [{"file": name, "reason": reason} for name, reason in damaged],
        "mended": done,
        "not_looked_at": unseen,
    }


def _instance(home: Home) -> contextlib.AbstractContextManager[dg.DagsterInstance]:
    # Where there is none, none is made: a question writes nothing.
    return asked(home) if home.dagster.is_dir() else dg.DagsterInstance.ephemeral()


def mend(home: Home, instance: dg.DagsterInstance, found: Agreement) -> list[dict[str, Any]]:
    """Mend what can be.

    Parameters
    ----------
    home : Home
        The store.
    instance : DagsterInstance
        Its storage of Dagster.
    found : Agreement
        What `agreement.compare` found.

    Returns
    -------
    list of dict
        The documents of the findings that were mended, or were to be; the latter say ``why_not``.

    Raises
    ------
    MachineError
        If the journal cannot be written.
    """
    done = []
    # What Dagster shows as the newest is what was reported last.
    wanted = sorted(
        (finding for finding in found.findings() if finding.mending is not None),
        key=lambda finding: finding.subject.time if finding.subject is not None else 0.0,
    )
    for finding in wanted:
        document = finding.document()
        document["why_not"] = _mend_one(home, instance, finding)
        done.append(document)
    return done


def _mend_one(home: Home, instance: dg.DagsterInstance, finding: Finding) -> str | None:
    """Do what a finding says; return why it was not done, where it was not."""
    match finding.mending, finding.subject:
        case str(how), _ if how in (COPY_STATE, END_RUN):
            return _mend_run(home, instance, finding, end=how == END_RUN)
        case str(how), Answer() as answer if how == COPY_CHECK:
            _copy_check(home, answer)
            return None
        case str(how), Product() as product if how == REPORT:
            return _report(home, instance, product)
    raise AssertionError(f"nothing does this: {finding.mending}")


def _mend_run(home: Home, instance: dg.DagsterInstance, finding: Finding, *, end: bool) -> str | None:
    run = instance.get_run_by_id(finding.run_id)
    if run is None:
        return "it was deleted in Dagster meanwhile"
    if end:
        instance.report_run_canceled(run, message="The process that executed the run is gone.")
    known = queries.rows(home, "SELECT run_id FROM journal.run_starts WHERE run_id = $run LIMIT 1", {"run": run.run_id})
    if not known:
        parents.record_start(home, run, instance)
    return None if parents.reconcile(home, instance, [run.run_id]) else "its process has come to life again"


def _copy_check(home: Home, answer: Answer) -> None:
    details = {**answer.details, "copied from Dagster": True, "answered at": answer.time}
    journal_at(home.journal).append(
        CheckMade(
            answer.name,
            answer.passed,
            None,
            answer.asset,
            answer.partition,
            answer.severity,
            redact(details, f"check.{answer.name}")[0],
            answer.run_id or None,
        )
    )


def _report(home: Home, instance: dg.DagsterInstance, product: Product) -> str | None:
    """Tell Dagster of a product; return why it was not told."""
    try:
        artifact = repository.by_digest(home, Digest.parse(product.digest), name=product.name, run_id=product.run_id)
        whole = artifact.is_whole()
    except ReproError as error:
        return error.message
    if not whole:
        return f"the bytes of {product.name} are not all there"
    read = queries.rows(
        home,
        "SELECT asset, any_value(digest) AS digest FROM run_inputs WHERE run_id = $run AND asset IS NOT NULL "
        "GROUP BY asset HAVING count(DISTINCT digest) = 1 AND count(partition) = 0",
        {"run": product.run_id},
    )
    tags = {
        DATA_VERSION_TAG: product.digest,
        **({CODE_VERSION_TAG: product.code_version} if product.code_version else {}),
        **{f"{INPUT_DATA_VERSION_TAG_PREFIX}/{row['asset']}": row["digest"] for row in read},
    }
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=dg.AssetKey.from_user_string(product.asset),
            partition=product.partition,
            description="Reported again from its record.",
            metadata={
                "name": product.name,
                "run": product.run_id,
                TRIAL: product.trial,
                dagster_side.PARENT: product.dagster_run,
                "runs again with": dg.MetadataValue.md(f"`repro replay {product.run_id}`"),
                **metadata.of_artifact(
                    dataclasses.replace(artifact, collection=product.collection, version=product.version)
                ),
            },
            tags=tags,
        )
    )
    return None
