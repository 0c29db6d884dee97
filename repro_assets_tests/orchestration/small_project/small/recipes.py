"""Recipes that are cheap, and one that breaks its promise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.errors import InvalidInput


class Settings(BaseModel):
    """Size of the numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=8, ge=1, le=1000)


def numbers(run: Any, config: Settings) -> dict[str, Any]:
    """Draw numbers from the run's seed."""
    print(f"{config.size} numbers")
    values = run.seeds.numpy("numbers").standard_normal(config.size)
    run.log_metric("sum", float(values.sum()))
    return {"values": values}


def doubled(run: Any, config: Settings, source: dict[str, Any]) -> dict[str, Any]:
    """Double them; let another run rebuild the source meanwhile, if the test asks for it."""
    print("doubled")
    asked = os.environ.get("SMALL_RACE")
    if asked:
        environment = {name: value for name, value in os.environ.items() if name != "SMALL_RACE"}
        answer = Path(asked).with_suffix(".answer")
        child = [sys.executable, "-m", "repro_assets.orchestration.run_child", asked, str(answer)]
        subprocess.run(child, env=environment, check=True, capture_output=True)
        assert json.loads(answer.read_text())["state"] == "COMPLETED", answer.read_text()
    return {"values": source["values"] * 2}


def joined(run: Any, config: Settings, source: dict[str, Any], twice: dict[str, Any]) -> dict[str, Any]:
    """Put both beside each other; fail once, if the test asks for it."""
    flag = os.environ.get("SMALL_FAIL_ONCE")
    if flag and not Path(flag).exists():
        Path(flag).touch()
        raise RuntimeError("failed as the test asked")
    return {"values": np.concatenate([source["values"], twice["values"]])}


class Steps(Settings):
    """A training in steps."""

    steps: int = Field(default=6, ge=1)
    rate: float = 0.5


def trained(run: Any, config: Steps, source: dict[str, Any], *, resume: Any = None) -> dict[str, Any]:
    """Add noise of its own in each step and save every second one; die at a step, if the test asks for it."""
    values, done = source["values"], 0
    if resume is not None:
        values, done = resume["values"], resume["step"]
        if resume["rate"] != config.rate:
            raise InvalidInput("the checkpoint was made with another rate", "start from the beginning")
    seed = run.seeds.derive("trained")
    for step in range(done + 1, config.steps + 1):
        values = values * config.rate + np.random.default_rng([seed, step]).standard_normal(config.size)
        run.log_metric("norm", float(np.abs(values).sum()), step)
        if step % 2 == 0:
            run.checkpoint("step", step, {"values": values, "step": step, "rate": config.rate}, step=step)
        if os.environ.get("SMALL_KILL_AT") == str(step):
            run.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    return {"values": values}


def broken(run: Any, config: Settings) -> dict[str, Any]:
    """Draw from outside the run's seeds."""
    return {"values": np.frombuffer(os.urandom(8), "<u8")}


def slow(run: Any, config: Settings) -> dict[str, Any]:
    """Say that it has begun, log, and take long."""
    import time

    print("slow, and soon dead", flush=True)
    run.log_metric("begun", 1.0, step=0)
    run.flush()
    Path(os.environ["SMALL_STARTED"]).write_text(str(os.getpid()))
    time.sleep(float(os.environ.get("SMALL_SECONDS", "60")))
    return {"values": np.zeros(1)}
