"""Repeated measurements, and the page they are written to.

Laws: a figure is the median of all repetitions and stands beside the smallest and the greatest; no repetition is left
out; a section of the page names the machine that it was measured on.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPETITIONS = 7


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured: seconds of each repetition."""

    what: str
    seconds: tuple[float, ...]
    limit: float | None = None

    @property
    def median(self) -> float:
        """Median, seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same work done by this project and by another tool: seconds of each repetition.

    `limit` is the greatest ratio of the medians that was aimed at; `memory` the peak of ours, MiB; `processor` the
    ratio of the medians of processor time (user and system), which other work on the machine changes less.
    """

    what: str
    ours: tuple[float, ...]
    peer: str
    theirs: tuple[float, ...]
    limit: float | None = None
    memory: float | None = None
    processor: float | None = None

    @property
    def ratio(self) -> float:
        """Our median over theirs."""
        return statistics.median(self.ours) / statistics.median(self.theirs)


@dataclass(frozen=True, slots=True)
class Section:
    """What one module measured."""

    title: str
    about: str
    figures: Sequence[Figure] = ()
    comparisons: Sequence[Comparison] = ()
    repetitions: int = REPETITIONS


def repeated(what: str, once: Callable[[], float], limit: float | None = None) -> Figure:
    """Measure `REPETITIONS` times; `once` returns seconds."""
    return Figure(what, tuple(once() for _ in range(REPETITIONS)), limit)


def timed(work: Callable[[], object]) -> float:
    """Wall-clock seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def as_installed() -> dict[str, str]:
    """Return an environment in which modules are compiled once, as those of an installed program are."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def machine() -> str:
    """CPU model, usable cores, operating system and Python, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.M) if cpuinfo.is_file() else []
    cpu = models[0] if models else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cpu}, {cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def as_markdown(section: Section) -> str:
    """Return the section as Markdown, headed by its title."""
    lines = [
        f"## {section.title}",
        "",
        section.about,
        "",
        f"Measured on {machine()}; load of the last minute {os.getloadavg()[0]:.1f}. "
        f"Median of {section.repetitions}, seconds.",
        "",
    ]
    if section.figures:
        lines += [*_figures(section.figures), ""]
    if section.comparisons:
        lines += [*_comparisons(section.comparisons), ""]
    return "\n".join(lines)


def _figures(figures: Sequence[Figure]) -> list[str]:
    lines = [
        "| what | median | smallest | greatest | limit |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g}"
        numbers = " | ".join(map(_seconds, (figure.median, min(figure.seconds), max(figure.seconds))))
        lines.append(f"| {figure.what} | {numbers} | {limit} |")
    return lines


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _comparisons(comparisons: Sequence[Comparison]) -> list[str]:
    lines = [
        f"| what | ours | {comparisons[0].peer} | ratio | limit | ratio of processor time | our peak memory, MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in comparisons:
        seconds = " | ".join(
            f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
            for values in (one.ours, one.theirs)
        )
        limit = "" if one.limit is None else f"{one.limit:.2f}"
        memory = "" if one.memory is None else f"{one.memory:.0f}"
        processor = "" if one.processor is None else f"{one.processor:.2f}"
        lines.append(f"| {one.what} | {seconds} | {one.ratio:.2f} | {limit} | {processor} | {memory} |")
    return lines


def write_section(page: Path, section: Section) -> None:
    """Put the section into the page in place of the one with its title, or at the end."""
    text = page.read_text() if page.is_file() else "# Benchmarks\n\nWritten by `make bench`. No test asserts a time.\n"
    head, *old = re.split(r"^(?=## )", text, flags=re.M)
    new = as_markdown(section)
    titles = [part.splitlines()[0] for part in old]
    if f"## {section.title}" in titles:
        old[titles.index(f"## {section.title}")] = new
    else:
        old.append(new)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(part.rstrip("\n") + "\n" for part in [head, *old]))


def show(section: Section) -> None:
    """Print the section."""
    sys.stdout.write(as_markdown(section) + "\n")
    sys.stdout.flush()
