"""What a person wants to see on an asset's page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dagster as dg

from repro_assets.artifacts.handle import Artifact
from repro_assets.cards.markdown import code, table, text
from repro_assets.determinism.leaves import is_a
from repro_assets.determinism.model_fingerprints import fingerprint_model
from repro_assets.determinism.model_values import tensors_in
from repro_assets.orchestration.changes import ENVIRONMENT
from repro_assets.orchestration.step_runs import LoadedInput
from repro_assets.orchestration.versions import TRIAL
from repro_assets.recording.reuse import Earlier
from repro_assets.recording.run import Run
from repro_assets.report.folder import newest
from repro_assets.store.home import Home

KEY_NUMBERS = 12


def facts(run: Run) -> dict[str, Any]:
    """Return what holds for the work itself, so also where it is reused: seed, code, device, key numbers."""
    started = run.started
    found: dict[str, Any] = {
        "seed": started.seed,
        "commit": started.source_facts.get("commit") or "none",
        "dirty": bool(started.source_facts.get("dirty")),
        "device": started.device or "cpu",
        "capture level": started.capture_level,
        **({"environment captured": False} if started.environment is None else {ENVIRONMENT: started.environment}),
        "source tree": started.source or "not captured at this level",
    }
    numbers = run.last_metrics
    for name in sorted(numbers, key=lambda name: (name.count("/"), name))[:KEY_NUMBERS]:
        found[name] = numbers[name]
    return found


def of_run(run: Run, product: Artifact, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Describe a product that this run made."""
    found: dict[str, Any] = {
        "name": product.name,
        "run": run.run_id,
        "reused": False,
        TRIAL: run.started.trial,
        **facts(run),
        "derived seeds": dg.MetadataValue.json({name: str(seed) for name, seed in run.seeds.used.items()}),
        "inputs": dg.MetadataValue.json({slot: str(item) for slot, item in inputs.items()}),
        "runs again with": dg.MetadataValue.md(f"`repro replay {run.run_id}`"),
    }
    if run.started.replay_of:
        found["replay of"] = run.started.replay_of
    if run.warnings:
        found["warnings"] = dg.MetadataValue.md("\n".join(f"- {line}" for line in run.warnings))
    if run.span.trace_id is not None:
        found["trace"] = run.span.trace_id
    if run.readings:
        found["system"] = dg.MetadataValue.json(
            {name: {"mean": item.mean, "max": item.greatest} for name, item in sorted(run.readings.items())}
        )
    if run.checkpoints:
        found["checkpoints"] = dg.MetadataValue.json(list(run.checkpoints))
    curves = {name: points for name, points in run.curves.items() if len(points) > 1}
    if curves:
        found["curve"] = dg.MetadataValue.md(
            f"![curves]({picture(curves, product.collection or run.started.name, run.events)})"
        )
    return found


def of_parents(loaded: Sequence[LoadedInput], handles: Mapping[str, Artifact]) -> dict[str, Any]:
    """Say which version of what it was made from, with links to the materializations; nothing where it read nothing.

    Parameters
    ----------
    loaded : sequence of LoadedInput
        What was loaded from assets.
    handles : mapping
        Everything that the recipe was given, by argument; what is not in `loaded` is no asset's.
    """
    places: dict[str, list[tuple[Artifact, str, str]]] = {}
    for item in loaded:
        asset = text(item.asset if item.partition is None else f"{item.asset}[{item.partition}]")
        link, version = f"/assets/{quote(item.asset)}", str(item.artifact)
        if item.event is not None:
            version = item.event.version or version
            # So Dagster's own pages name a materialization.
            link += f"?view=events&asOf={int(item.event.timestamp * 1000)}" if item.event.run_id else ""
        places.setdefault(item.slot, []).append((item.artifact, version, f"[{asset}]({link})"))
    # A recipe may call by another name what its asset calls so.
    known = {item.artifact.digest for item in loaded}
    for slot, artifact in handles.items():
        if artifact.digest not in known:
            places.setdefault(slot, []).append((artifact, str(artifact), ""))
    rows = [
        (code(slot), code(version), code(artifact.digest), code(artifact.run_id) if artifact.run_id else "", asset)
        for slot, found in sorted(places.items())
        for artifact, version, asset in found
    ]
    if not rows:
        return {}
    return {"parents": dg.MetadataValue.md(table(("input", "version", "digest", "made by run", "asset"), rows))}


def of_manifests(manifests: Mapping[str, Artifact]) -> dict[str, str]:
    """Name the manifests of the source files, and how one is had."""
    return {
        slot.replace("_", " "): f"{artifact} ({artifact.digest}); repro artifacts get {artifact} --to manifest.json"
        for slot, artifact in manifests.items()
    }


def of_model(value: Any) -> dict[str, Any]:
    """Describe a value that holds torch tensors, as models and states of a training do; nothing of any other."""
    if not any(is_a(leaf, "torch", "Tensor") for _, leaf in tensors_in(value)):
        return {}
    found = fingerprint_model(value)
    return {
        "parameters": found.architecture["counts"]["parameters"],
        "architecture": dg.MetadataValue.md(f"```text\n{found.text()}\n```"),
        "architecture digest": str(found.architecture_digest),
        "weights digest": str(found.weights_digest),
    }


def of_reuse(earlier: Earlier, product: Artifact, *, trial: bool) -> dict[str, Any]:
    """Describe a product that an earlier run made."""
    return {
        "name": product.name,
        "run": earlier.run_id,
        "reused": True,
        TRIAL: trial,
        **earlier.facts,
        "runs again with": dg.MetadataValue.md(f"`repro replay {earlier.run_id}`"),
    }


def of_artifact(artifact: Artifact) -> dict[str, Any]:
    """Describe the stored bytes: digest, kind, size, parts, version."""
    manifest = artifact.manifest
    return {
        "digest": str(artifact.digest),
        "kind": artifact.kind,
        "size": manifest.size,
        "parts": len(manifest.entries),
        "version": f"{artifact.collection}:v{artifact.version}" if artifact.version is not None else "none",
    }


def of_report(home: Home) -> dict[str, Any]:
    """Return where the store's newest report is; nothing where there is none."""
    page = newest(home)
    return {} if page is None else {"report": dg.MetadataValue.path(str(page))}


def picture(
    curves: Mapping[str, Sequence[tuple[int, float]]], title: str, events: Sequence[tuple[int, str]] = ()
) -> str:
    """Draw metric curves, one panel for each group after the last slash, as a data URI of a PNG; events are lines."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    groups = sorted({name.rpartition("/")[2] for name in curves})
    kinds = {event: f"C{9 - place}" for place, event in enumerate(sorted({event for _, event in events}))}
    figure = Figure(figsize=(4.2 * min(len(groups), 3), 2.8 * -(-len(groups) // 3)), layout="constrained")
    axes = figure.subplots(-(-len(groups) // 3), min(len(groups), 3), squeeze=False).flatten()
    for axis, group in zip(axes, groups, strict=False):
        for name, points in sorted(curves.items()):
            if name.rpartition("/")[2] == group:
                axis.plot([step for step, _ in points], [value for _, value in points], label=name, linewidth=1.2)
        axis.legend(fontsize=7)
        for step, event in events:
            axis.axvline(step, color=kinds[event], linestyle=":", linewidth=0.9)
        axis.set_title(group, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[len(groups) :]:
        axis.set_axis_off()
    if kinds:
        lines = [Line2D([], [], color=color, linestyle=":") for color in kinds.values()]
        figure.legend(lines, list(kinds), loc="outside lower center", ncols=len(kinds), fontsize=8)
    figure.suptitle(title, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
