"""W&B: a run written offline, or sent to W&B where a person says so and has credentials.

Laws: nothing leaves the machine unless the mirror was made with `online`, and then credentials were found before.
`wandb.run`, the console, the code and the readings of the machine are left alone: the mirror's run is beside any run
that the program has with W&B itself. Points of one step that come one after the other are one row of W&B's history,
with the time of the first of them; `step` in a row is the step as it was logged, and W&B's own `_step` is the same as
long as steps come in order, else the next one that is free, because W&B drops a row that goes back. Files of artifacts
lie in the run's folder, from where `wandb sync` sends them.

Limits: W&B's library computes about a third of a millisecond for each row, in Python. Its process of its own writes
what it was given within a second; online, the end of the process waits some seconds for it.
"""

from __future__ import annotations

import netrc
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from repro_assets.artifacts.handle import Artifact
from repro_assets.errors import InvalidValue
from repro_assets.mirrors.holding import Names, Steps, as_text, holdable
from repro_assets.mirrors.mirror import MirroredRun, Refused
from repro_assets.recording.readings import Point
from repro_assets.wording import plain

STEP = "step"
EXIT_CODES = {"COMPLETED": 0, "FAILED": 1, "INTERRUPTED": 130, "UNKNOWN": 0}
FINISH_SECONDS = 10.0
INIT_SECONDS = 20.0
FLUSH_SECONDS = 1.0
LONGEST_TAG = 64
_MOST_STEP = 2**53
_DEFAULT_SERVER = "https://api.wandb.ai"


class WandB:
    """A run in W&B.

    Parameters
    ----------
    online : bool
        Send it; else it is written for `wandb sync`.
    folder : Path, optional
        Where W&B makes its folder `wandb`; `WANDB_DIR` or the current folder if left out.
    host : str, optional
        Where the run was executed; this machine if left out.
    finish_seconds : float
        So long its end waits for W&B's own process.

    Raises
    ------
    InvalidValue
        If it is to be sent and there are no credentials.
    """

    name = "wandb"

    def __init__(
        self,
        *,
        online: bool = False,
        folder: Path | None = None,
        host: str | None = None,
        finish_seconds: float = FINISH_SECONDS,
    ) -> None:
        if online:
            need_credentials("use wandb:offline and send the run later with wandb sync")
        self._finish_seconds = finish_seconds
        self._host = host
        self._online = online
        self._folder = Path(folder or os.environ.get("WANDB_DIR") or ".").absolute()
        self._run: Any = None
        self._steps = Steps()
        self._names = Names(r"(?!)", 500, rf"_.*|{STEP}|repro/.*")
        self._files = Names(r"[^A-Za-z0-9_.-]", 128)
        self._position = -1
        self._row: tuple[int, set[str]] | None = None

    def start(self, run: MirroredRun) -> None:
        """Begin the run."""
        import wandb

        settings = wandb.Settings(
            mode="online" if self._online else "offline",
            host=self._host,
            reinit="create_new",
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            x_transaction_log_flush_interval=FLUSH_SECONDS,
            init_timeout=INIT_SECONDS,
            finish_timeout=self._finish_seconds,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        tags = [holdable(tag) for tag in run.tags]
        short = list(dict.fromkeys(tag[:LONGEST_TAG] for tag in tags if tag))
        about: dict[str, Any] = {"run_id": run.run_id, "started": run.started_ns / 1e9}
        if short != tags:
            about["tags"] = tags
        try:
            self._run = wandb.init(
                project=re.sub(r"[/\\#?%:]", "_", holdable(run.project or "uncategorized"))[:128],
                name=holdable(run.name).strip() or run.run_id,
                id=re.sub(r"[/\\#?%:\s]", "_", run.run_id),
                dir=str(self._folder),
                notes=None if run.notes is None else holdable(run.notes),
                tags=short,
                config={**_held(run.config), "repro": about},
                settings=settings,
            )
        except wandb.errors.UsageError as error:
            raise Refused(f"W&B refuses: {error}") from error
        self._run.define_metric("*", step_metric=STEP)

    def params(self, params: Mapping[str, Any]) -> None:
        """Write parameters; a later value of one name wins."""
        self._run.config.update(_held(params), allow_val_change=True)

    def metrics(self, points: Sequence[Point]) -> None:
        """Write points as rows of the history."""
        placed = self._steps.placed(points)
        row: dict[str, Any] = {}
        for name, step, value, taken in placed:
            key = self._names.held(name)
            if self._row is None or self._row[0] != step or key in self._row[1]:
                self._log(row)
                self._position = max(self._position + 1, step if step < _MOST_STEP else 0)
                self._row = (step, set())
                row = {STEP: step, "_timestamp": taken / 1e9}
            self._row[1].add(key)
            row[key] = value
        self._log(row)
        self._steps.taken(placed)
        renamed = self._names.changed()
        if renamed:
            names = {held: holdable(name) for held, name in renamed.items()}
            self._run.config.update({f"repro/name/{held}": name for held, name in names.items()})
            self._names.told(renamed)

    def _log(self, row: Mapping[str, Any]) -> None:
        # A row is open until a later one begins, and takes what is logged at its position until then.
        if row:
            self._run.log(dict(row), step=self._position)

    def artifact(self, name: str, artifact: Artifact) -> None:
        """Write an artifact with its files."""
        import wandb

        held = self._files.held(name)
        made = wandb.Artifact(
            held, type=artifact.kind, metadata={"digest": str(artifact.digest), "name": holdable(name)}
        )
        folder = Path(self._run.dir).parent / "repro_artifacts"
        folder.mkdir(exist_ok=True)
        laid = Path(tempfile.mkdtemp(prefix=f"{held[:40]}-", dir=folder)) / held
        artifact.lay_out(laid)
        # The files stay where they are, so W&B needs no copy of them.
        if laid.is_dir():
            made.add_dir(str(laid), skip_cache=True, policy="immutable")
        else:
            made.add_file(str(laid), name=held, skip_cache=True, policy="immutable")
        self._run.log_artifact(made)

    def about(self, facts: Mapping[str, Any]) -> None:
        """Write what else is on record of the run into its config."""
        self._run.config.update({"repro/record": plain(facts)}, allow_val_change=True)

    def end(self, state: str, ended: float | None = None) -> None:
        """Finish the run."""
        when = time.time() if ended is None else ended
        self._run.config.update({"repro/state": state, "repro/ended": when}, allow_val_change=True)
        self._run.finish(exit_code=EXIT_CODES[state])


def _held(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON, which W&B keeps nested; W&B's own JSON makes null of NaN, so it is a text."""
    kept = {}
    for name, value in values.items():
        shown = holdable(name)
        if shown in ("_wandb", "repro"):
            shown = f"{shown}_"
        kept[shown] = as_text(value) if isinstance(value, str) else plain(value)
    return kept


def need_credentials(otherwise: str) -> None:
    """Refuse to go online without credentials; `otherwise` says what a person can do who has none.

    Raises
    ------
    InvalidValue
        If there are none, or the file that would have them does not read.
    """
    if os.environ.get("WANDB_API_KEY"):
        return
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _DEFAULT_SERVER).hostname or ""
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        found = file.is_file() and netrc.netrc(str(file)).authenticators(host) is not None
    except netrc.NetrcParseError as error:
        raise InvalidValue(
            f"{file} does not read: {error.msg} in line {error.lineno}", "mend it, or set WANDB_API_KEY"
        ) from error
    if not found:
        raise InvalidValue(
            f"there are no credentials for W&B at {host}",
            f"set WANDB_API_KEY, or {otherwise}",
        )
