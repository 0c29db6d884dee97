"""``python -m benchmarks [--write] [NAME]...``: measure all subjects or those named, and print what was measured."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.measuring import show, write_section

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
SUBJECTS = (
    "startup",
    "capture",
    "store",
    "checkpoints",
    "checkpointing",
    "fingerprints",
    "fingerprinting",
    "monitor",
    "experience",
    "ranks",
    "questions",
    "lineage",
    "finding",
    "exporting",
    "trackers",
    "tracking",
    "replaying",
    "pages",
    "metrics",
)


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what things cost.")
    parser.add_argument("--write", action="store_true", help="put each section into docs/benchmarks.md")
    parser.add_argument("subject", nargs="*", help=f"of {', '.join(SUBJECTS)}; all if left out")
    asked = parser.parse_args()
    unknown = set(asked.subject) - set(SUBJECTS)
    if unknown:
        parser.error(f"no subject is named {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    for name in asked.subject or SUBJECTS:
        # Only now: the peak memory of a process counts from before it becomes what is measured, and torch is large.
        section = importlib.import_module(f"benchmarks.{name}").measure()
        show(section)
        if asked.write:
            write_section(PAGE, section)


if __name__ == "__main__":
    main()
