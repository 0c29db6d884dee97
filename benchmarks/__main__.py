"""``python -m benchmarks [--write] [NAME]...``: measure all subjects or those named, and print what was measured."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import capture, checkpoints, fingerprints, monitor, startup, store
from benchmarks.measuring import show, write_section

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
SUBJECTS = {
    "startup": startup.measure,
    "capture": capture.measure,
    "store": store.measure,
    "checkpoints": checkpoints.measure,
    "fingerprints": fingerprints.measure,
    "monitor": monitor.measure,
}


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
        section = SUBJECTS[name]()
        show(section)
        if asked.write:
            write_section(PAGE, section)


if __name__ == "__main__":
    main()
