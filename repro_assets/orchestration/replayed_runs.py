"""The runs that this process has made as replays, for the child's answer."""

from __future__ import annotations

from repro_assets.recording.run import Run
from repro_assets.replay.plan import Replayed

_runs: list[Run] = []


def note(run: Run) -> None:
    """Remember a run if it replays another."""
    if run.started.replay_of is not None:
        _runs.append(run)


def collected() -> list[Replayed]:
    """Describe every remembered run."""
    return [
        Replayed(
            original=str(run.started.replay_of),
            run_id=run.run_id,
            state=run.state or "RUNNING",
            products={slot: str(artifact.digest) for slot, artifact in run.outputs.items()},
            settings=run.started.settings,
            environment=run.started.environment,
            metrics=dict(run.last_metrics),
        )
        for run in _runs
    ]
