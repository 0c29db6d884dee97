"""Executes both sides of the planted faults, in two processes, and says how each is found.

``python planting.py`` writes the table of docs/diverge.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from repro_assets.replay import looking
from repro_assets.replay.diverging import Divergence, between

HERE = Path(__file__).parent
PLANTED = HERE / "planted.py"
KIT = HERE / "planted_kit.py"
PAGE = HERE.parents[1] / "docs" / "diverge.md"
BEGIN, END = "<!-- planted faults -->\n", "<!-- end -->\n"


def executed(folder: Path, names: Sequence[str]) -> None:
    """Execute both sides; they differ in what a process is given from outside, and nothing else."""
    sides = []
    for side in (0, 1):
        (folder / str(side)).mkdir(parents=True)
        columns = [5, 4, 3, 2, 1, 0] if side else range(6)
        variables = {
            **os.environ,
            "PYTHONHASHSEED": str(side + 1),
            "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PLANTED_RATE": ("0.1", "0.2")[side],
            **{f"PLANTED_COLUMN_{number}": "" for number in columns},
        }
        command = [sys.executable, "-W", "ignore", str(PLANTED), str(side), str(folder / str(side)), *names]
        sides.append(subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    for process in sides:
        said, _ = process.communicate(timeout=500)
        assert process.returncode == 0, said.decode()[-4000:]


def found(folder: Path, name: str) -> Divergence:
    """Say how two sides part."""
    return between(looking.read(folder / "0" / name), looking.read(folder / "1" / name))


def marked(name: str) -> str | None:
    """Return the line that a fault is at: the marked one, else the one where the model is called."""
    for wanted in (name, "where the model is called"):
        for path in (PLANTED, KIT):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if wanted in line.partition("# FAULT: ")[2].split(", "):
                    return f"{path.name}:{number}"
    return None


def row(name: str, what: str, answer: Divergence) -> str:
    """Return the fault's line of the table."""
    line = Path(answer.source_line or "").name
    cells = (
        name, what, answer.first_step, answer.first_quantity, answer.tensor, answer.found, answer.op, answer.argument,
        line,
    )  # fmt: skip
    return "| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |"


def table(folder: Path) -> str:
    """Return the table of all faults, which have been executed."""
    from planted import FAULTS

    head = "| fault | what | first step | quantity | tensor | found as | op | its input | source line |"
    rows = [row(name, fault.what, found(folder, name)) for name, fault in FAULTS.items()]
    return "\n".join([head, "| --- | --- | ---: | --- | --- | --- | --- | --- | --- |", *rows]) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    from planted import FAULTS

    with tempfile.TemporaryDirectory() as work:
        executed(Path(work), list(FAULTS))
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(Path(work)) + END + rest.partition(END)[2])
