"""The system monitor of a run: its samples become readings of the run, each at the newest step that was logged.

Laws: monitoring never stops a run; a sample that cannot be recorded, because the run is over or the disk is full, is
given up, and what the disk says is raised where the run itself flushes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from repro_assets.capture.monitor import Monitor
from repro_assets.errors import InvalidValue, ReproError
from repro_assets.recording.run import Run

LEAST_SECONDS = 0.01
MOST_SECONDS = 3600.0


@contextlib.contextmanager
def monitored(run: Run, interval: float | None = 1.0) -> Iterator[None]:
    """Sample what the machine does while the body works, once at its end at least.

    Parameters
    ----------
    run : Run
        Takes the readings.
    interval : float, optional
        Seconds between two samples; None samples nothing.

    Raises
    ------
    InvalidValue
        If the interval is under `LEAST_SECONDS`.
    """
    if interval is None:
        yield
        return
    if not interval >= LEAST_SECONDS:
        raise InvalidValue(f"a monitor cannot sample every {interval} s", f"give {LEAST_SECONDS} s or more")

    def take(readings: Mapping[str, float], failed: Mapping[str, str]) -> None:
        with contextlib.suppress(ReproError):
            run.log_readings(readings, run.newest_step)
            if failed:
                run.log_missing_readings(failed)

    monitor = Monitor(take, interval)
    monitor.start()
    try:
        yield
    finally:
        monitor.stop()
