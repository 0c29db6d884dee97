"""The flags that ``repro run`` and ``repro train`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Partition = Annotated[str | None, typer.Option(metavar="P", help="Partition key.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Root seed.")]
Seeds = Annotated[str | None, typer.Option(metavar="RANGES", help="Several seeds, as one study: 0-4 or 1,3.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="ASSET.FIELD=VALUE", help="A hyperparameter of an asset.")
]
Input = Annotated[list[str] | None, typer.Option("--input", metavar="ASSET=ARTIFACT", help="Pin an upstream asset.")]
CaptureLevel = Annotated[str | None, typer.Option(metavar="L", help="basic, standard or complete (or 1, 2, 3).")]
Deterministic = Annotated[
    bool | None, typer.Option("--deterministic/--no-deterministic", help="Deterministic algorithms only.")
]
Threads = Annotated[int | None, typer.Option(metavar="N", help="Threads of torch.")]
Monitor = Annotated[bool | None, typer.Option("--monitor/--no-monitor", help="Sample what the machine does meanwhile.")]
MonitorInterval = Annotated[float | None, typer.Option(metavar="S", help="Seconds between two samples.")]
ExpName = Annotated[str | None, typer.Option(metavar="S", help="Experiment that the runs belong to.")]
Tags = Annotated[list[str] | None, typer.Option(metavar="A,B", help="Tags of the runs.")]
Mirror = Annotated[
    list[str] | None,
    typer.Option(metavar="TOOL[:PLACE]", help="Tell tensorboard, mlflow or wandb meanwhile, too; repeatable."),
]
Trial = Annotated[bool | None, typer.Option("--trial", help="The products never become what others load by default.")]
Force = Annotated[bool | None, typer.Option("--force", help="Execute even if the same work is done.")]
Strict = Annotated[bool | None, typer.Option("--strict", help="Fail where a setting that changes bits does not hold.")]
Executor = Annotated[str | None, typer.Option(metavar="E", help="in_process or multiprocess.")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="YAML or JSON with these words.")]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="RUN|CHECKPOINT|RUN@TIME|auto",
        help="Go on from there; auto: from the newest unfinished run of the same work, if there is one.",
    ),
]
