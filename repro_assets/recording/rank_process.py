"""One rank of a recipe, as torchrun starts it: ``python -m repro_assets.recording.rank_process FOLDER``.

Laws: it adds to a run that another process owns, and neither begins nor ends it; it applies the mode, refuses to begin
where a setting is not the recorded one, and seeds the global generators from a seed derived for its rank; the first
rank stores what the recipe made; how it ended is in the folder, unless it was killed; it does not outlive the run's
owner or torchrun.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from repro_assets.artifacts import repository
from repro_assets.determinism.global_rng import seeded_globals
from repro_assets.determinism.mode import Mode, applied
from repro_assets.determinism.probe import Enough
from repro_assets.determinism.seeds import Seeds
from repro_assets.determinism.setting_differences import setting_differences
from repro_assets.determinism.settings import settings_record
from repro_assets.errors import CheckFailed, PeerLost, ReproError
from repro_assets.identity.digest import Digest
from repro_assets.journal.run_records import RunStarted
from repro_assets.journal.segments import Liveness, liveness
from repro_assets.recording import logs, progress, tracing
from repro_assets.recording.lifetime import attached
from repro_assets.recording.monitoring import monitored
from repro_assets.recording.rank_launcher import PARENT
from repro_assets.recording.ranks import (
    DONE,
    ENOUGH,
    FAILED,
    INTERRUPTED,
    PLAN,
    SIGNAL,
    answer_path,
    rank_consumer,
    seen_by,
)
from repro_assets.recording.recipes import arguments_of
from repro_assets.recording.redaction import redact_message
from repro_assets.recording.rehearsal import config_of, imported
from repro_assets.store.home import open_store

ORPHAN = 75
"""Exit code of a rank whose owner is gone."""

_LOOK_SECONDS = 0.2
_PEER_HOURS = 24


def main(arguments: list[str]) -> int:
    """Execute the recipe with the other ranks, and write how it ended."""
    folder, rank, count = Path(arguments[0]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    plan = json.loads((folder / PLAN).read_text())
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    threading.Thread(target=_watch, args=(plan, folder), name="repro-owner", daemon=True).start()
    logs.configure(context={"rank": rank})
    log = logs.get_logger("ranks")
    answer: dict[str, Any]
    try:
        log.info(f"rank {rank} of {count} begins", backend=plan["ranks"]["backend"], pid=os.getpid())
        answer = {"state": DONE, **_executed(plan, folder, rank, count)}
        log.info("done")
    except Enough as error:
        answer = {"state": ENOUGH, "step": error.step}
        log.info(str(error))
    except SystemExit as error:
        lost = _lost(error)
        if lost is not None:
            answer = _failed(lost)
        elif isinstance(error.code, int) and error.code > 128:
            answer = {"state": INTERRUPTED, "signal": error.code - 128}
        else:
            answer = _failed(error)
        log.info(f"{type(error).__name__}: {error}")
    except Exception as error:
        answer = _failed(error)
        log.error(f"{type(error).__name__}: {error}", exc_info=not isinstance(error, ReproError))
    path = answer_path(folder, rank)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"at": time.monotonic(), **answer}))
    partial.rename(path)
    return 1 if answer["state"] == FAILED else 0


def _executed(plan: Mapping[str, Any], folder: Path, rank: int, count: int) -> dict[str, Any]:
    home, inputs_home = open_store(Path(plan["home"])), open_store(Path(plan["inputs_home"]))
    with applied(Mode(**plan["mode"])), _group(plan, folder, rank, count):
        _check_settings(plan, rank)
        run = attached(home, RunStarted(**plan["run"]), resumed_from=plan["resumed_from"])
        with contextlib.ExitStack() as scopes:
            scopes.enter_context(tracing.span(f"rank {rank}", run_id=run.run_id, home=home, rank=rank))
            if rank == 0:
                scopes.enter_context(monitored(run, plan["monitor"]))
                scopes.enter_context(progress.reported(run, plan["what"], plan["config"].get("steps")))
            scopes.enter_context(seeded_globals(Seeds(run.seeds.derive(rank_consumer(rank)))))
            recipe = imported(plan["recipe"])
            config = config_of(plan["recipe"], recipe, plan["config"])
            inputs = {
                slot: repository.by_digest(inputs_home, Digest.parse(digest), name=slot)
                for slot, digest in plan["inputs"].items()
            }
            made = recipe(run, config, **arguments_of(recipe, inputs))
        product = str(repository.put(home, made).digest) if rank == 0 else None
        run.end()
        return {"product": product, **seen_by(run)}


@contextlib.contextmanager
def _group(plan: Mapping[str, Any], folder: Path, rank: int, count: int) -> Any:
    """Join the other ranks; figures and objects always go by gloo, what is on a GPU by NCCL."""
    import torch
    from torch import distributed

    backend = plan["ranks"]["backend"]
    if backend == "nccl":
        torch.cuda.set_device(rank)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(
        backend,
        init_method=f"file://{folder / 'group'}",
        rank=rank,
        world_size=count,
        # The first rank may validate or store for as long as it takes; that one is gone is noticed otherwise.
        timeout=datetime.timedelta(hours=_PEER_HOURS),
    )
    yield
    # After an error the others may not be there to say goodbye to.
    distributed.destroy_process_group()


def _check_settings(plan: Mapping[str, Any], rank: int) -> None:
    if not plan["settings"]:
        # A rehearsal's run, which is thrown away, records none.
        return
    here = json.loads(json.dumps({**settings_record(), **plan["ranks"]}))
    for each in setting_differences(plan["settings"], here):
        raise CheckFailed(
            f"{each['setting']} is {each['replayed']} in rank {rank}, and {each['original']} in the run's record",
            "set it before the process starts that executes the step: repro run and the file .env do",
        )


def _failed(error: BaseException) -> dict[str, Any]:
    message, remedy = (error.message, error.remedy) if isinstance(error, ReproError) else (str(error), "")
    return {
        "state": FAILED,
        "error": {"type": type(error).__name__, "message": redact_message(message), "remedy": remedy},
    }


def _lost(error: BaseException | None) -> PeerLost | None:
    """Return why a rank stopped that torchrun told to stop because of another one."""
    while error is not None:
        if isinstance(error, PeerLost):
            return error
        error = error.__context__
    return None


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise SystemExit(128 + number)


def _watch(plan: Mapping[str, Any], folder: Path) -> None:
    """Pass on the owner's signal, and end at once when the owner or torchrun is gone: a successor may be at work."""
    owner = Path(plan["home"]) / "journal" / plan["owner"]
    told = False
    while True:
        try:
            gone = os.getppid() != int(os.environ[PARENT]) or liveness(owner) is Liveness.GONE
        except OSError:
            gone = True
        if gone:
            os._exit(ORPHAN)
        if not told and (folder / SIGNAL).is_file():
            told = True
            os.kill(os.getpid(), int((folder / SIGNAL).read_text()))
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
