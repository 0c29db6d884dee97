"""A recipe of several ranks that takes no time, and ranks that are forked where everything is imported already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import distributed, nn

from repro_assets.determinism.global_rng import seeded_globals
from repro_assets.determinism.seeds import Seeds
from repro_assets.recording.ranks import rank_consumer
from repro_assets.training import optimization
from repro_assets.training.loop import Generators, Loop
from repro_assets.training.loop_config import ParallelConfig
from repro_assets.training.ranks import Ranks

KILL = "TOY_RANKS_KILL"


class SharedConfig(ParallelConfig):
    steps: int = Field(default=8)
    batch_size: int = Field(default=5)
    log_every: int = Field(default=2)
    validate_every: int = Field(default=4)
    fingerprint_every: int = Field(default=4)
    checkpoint_every: int = Field(default=3)
    seconds: float = Field(default=0.0)
    doubled_from: int = Field(default=0, description="step from which the last rank doubles its noise; 0: never")


def train_shared(run: Any, config: SharedConfig, *, resume: Any = None, body: Any = None) -> Any:
    """Fit a line; each rank adds noise of its own, from a global generator. One dies at a step, if a test asks."""
    ranks = Ranks.here(config.processes)
    points = torch.linspace(-1, 1, 33).reshape(11, 3)
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.fill_(0.25)
        model.bias.fill_(0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, foreach=False, fused=False)
    generators = Generators({"order": run.seeds.torch("shared/order")})
    batches = optimization.Batches(len(points), config.batch_size, generators["order"])
    parts = {"model": model, "optimizer": optimizer, "sampler": batches, "generators": generators}
    kill = os.environ.get(KILL)
    with Loop(
        run,
        "shared",
        config,
        config.steps,
        parts,
        tensors=model.state_dict,
        validate=lambda: {"validation/sum": float(model.weight.detach().sum())},
        resume=resume,
        ranks=ranks,
    ) as loop:
        for step in loop:
            chosen = batches.next()
            mine = ranks.part(chosen)
            noise = torch.rand(len(mine), 1)
            if 0 < config.doubled_from <= step and ranks.rank == ranks.count - 1:
                noise = noise * 2
            loss = ((model(points[mine]) - noise) ** 2).sum() / len(chosen)
            optimization.update(
                model, optimizer, loss, 0.1, 1.0, lambda model: ranks.sum_gradients(model, config.bucket_megabytes)
            )

            def whole(loss: Any = loss) -> dict[str, float]:
                return {"train/loss": ranks.total(float(loss.detach()))[0]}

            def own(mine: Any = mine) -> dict[str, float]:
                return {"train/examples": float(len(mine))}

            loop.log(whole, own)
            if body is not None:
                body(ranks.rank, step, model)
            if kill == f"{ranks.rank}:{step}":
                run.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(config.seconds)
    return {"state": {name: tensor.clone() for name, tensor in model.state_dict().items()}}


def with_own_globals(run: Any, config: SharedConfig, **more: Any) -> Any:
    """Train with the global generators seeded as a rank has them."""
    rank = Ranks.here(config.processes).rank
    with seeded_globals(Seeds(run.seeds.derive(rank_consumer(rank)))):
        return train_shared(run, config, **more)


def forked(count: int, function: Callable[[], Any]) -> list[Any]:
    """Call a function in `count` ranks; return what each returned or raised, or the exit code of one that died."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes = [context.Pipe(duplex=False) for _ in range(count)]
        processes = [
            context.Process(target=_rank, args=(rank, count, Path(folder, "group"), pipes[rank][1], function))
            for rank in range(count)
        ]
        for process in processes:
            process.start()
        try:
            return [_answer(process, pipe) for process, (pipe, _) in zip(processes, pipes, strict=True)]
        finally:
            for process in processes:
                process.kill()
                process.join()


def _answer(process: Any, pipe: Any) -> Any:
    deadline = time.monotonic() + 60
    while not pipe.poll(0.02):
        if process.exitcode is not None and not pipe.poll():
            return process.exitcode
        if time.monotonic() > deadline:
            return TimeoutError("no answer")
    return pipe.recv()


def _rank(rank: int, count: int, group: Path, pipe: Any, function: Callable[[], Any]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        distributed.init_process_group("gloo", init_method=f"file://{group}", rank=rank, world_size=count)
        answer: Any = function()
    except BaseException as error:  # noqa: BLE001 - the test looks at it
        traceback.print_exc()
        answer = error
    pipe.send(answer)
    # The others may still need it; whoever waits for all of them ends it.
    time.sleep(60)


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)
