"""All kinds of records, for whoever reads them; writing one kind needs no other."""

from __future__ import annotations

from repro_assets.journal.artifact_records import (
    AliasMoved,
    ArtifactEvicted,
    ArtifactStored,
    VersionClaimed,
    VersionDeleted,
)
from repro_assets.journal.records import Payload, Process
from repro_assets.journal.run_records import (
    CheckMade,
    CheckpointDeleted,
    CheckpointSaved,
    CurriculumChanged,
    EvaluationMade,
    ExperiencesInserted,
    ExperienceSnapshot,
    Fingerprints,
    Metrics,
    PackagesUsed,
    Params,
    ParentState,
    ReadingsMissing,
    ReplayMade,
    RunDeleted,
    RunEnded,
    RunInput,
    RunNoted,
    RunOutput,
    RunResumed,
    RunStarted,
    RunTagged,
    RunTraced,
    SeedsUsed,
    TrainingEvent,
    WorkReused,
)

PAYLOADS: dict[str, type[Payload]] = {
    cls.kind: cls
    for cls in (
        Process,
        RunStarted,
        ArtifactStored,
        RunInput,
        RunOutput,
        VersionClaimed,
        AliasMoved,
        Params,
        Metrics,
        SeedsUsed,
        CheckpointSaved,
        EvaluationMade,
        Fingerprints,
        CheckMade,
        ReplayMade,
        RunEnded,
        ParentState,
        VersionDeleted,
        RunDeleted,
        RunTagged,
        RunNoted,
        CheckpointDeleted,
        ArtifactEvicted,
        PackagesUsed,
        RunTraced,
        ReadingsMissing,
        RunResumed,
        WorkReused,
        CurriculumChanged,
        TrainingEvent,
        ExperiencesInserted,
        ExperienceSnapshot,
    )
}
