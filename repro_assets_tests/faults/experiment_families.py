"""Families of experiments: one of the main thread, and beneath it those of threads and of forked children, all at once.

``python experiment_families.py FOLDER NAME STEPS`` is one family in the store ``FOLDER/data``. Each experiment says in
``FOLDER/NAME.said`` what it has done so far: ``begun RUN PID``, the last step that is durable, ``ending``, ``ended``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from repro_assets import Experiment

MEMBERS = ("", "-thread-0", "-thread-1", "-fork-0", "-fork-1")
RAISES, LEAVES, SPAWNS = "family-0-thread-1", "family-2-fork-0", "family-0"
SPAWNED = "family-0-spawned"


def figure(name: str, step: int) -> float:
    """The value that an experiment logs at a step."""
    return float(sum(name.encode()) * 1000 + step)


def experiment(folder: Path, name: str, steps: int, beside: object = None) -> None:
    """Log, and say what is durable; `beside` is called first."""
    said = os.open(folder / f"{name}.said", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    with Experiment(name, capture_source=False, capture_environment=False, monitor=None) as run:
        os.write(said, f"begun {run.run_id} {os.getpid()}\n".encode())
        waits = beside() if callable(beside) else []
        for step in range(steps):
            run.log_metric("figure", figure(name, step), step)
            if step % 4 == 3:
                run.flush()
                os.write(said, f"{step}\n".encode())
            time.sleep(0.01)
        if name == RAISES:
            raise ValueError(name)
        if name == LEAVES:
            os._exit(3)
        for wait in waits:
            wait()
        os.write(said, b"ending\n")
    os.write(said, b"ended\n")
    os.close(said)


def family(folder: Path, name: str, steps: int) -> None:
    """Be a whole family; the children are forked while the threads log."""

    def beside() -> list[object]:
        threads = [
            threading.Thread(target=quietly, args=(folder, f"{name}-thread-{number}", steps)) for number in range(2)
        ]
        for thread in threads:
            thread.start()
        waits = [thread.join for thread in threads]
        for number in range(2):
            child = os.fork()
            if child == 0:
                # One leaves through the frames of its parent, the other past them.
                experiment(folder, f"{name}-fork-{number}", steps)
                os._exit(0) if number else sys.exit()
            waits.append(lambda child=child: os.waitpid(child, 0))
        if name == SPAWNS:
            words = [sys.executable, __file__, str(folder), SPAWNED, str(steps)]
            waits.append(subprocess.Popen(words).wait)
        return waits

    experiment(folder, name, steps, beside)


def quietly(folder: Path, name: str, steps: int) -> None:
    """Raise what `experiment` does within the record only."""
    try:
        experiment(folder, name, steps)
    except ValueError as error:
        if str(error) != RAISES:
            raise


if __name__ == "__main__":
    place, asked, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    (experiment if asked == SPAWNED else family)(place, asked, count)
