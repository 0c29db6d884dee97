"""Every product of the default job, over several seeds, executed again from the record alone: a table for the docs.

The package is installed from a wheel, not editable; the store lies outside of the project; after the runs the project's
folder is deleted. Each replay is a new process in another folder, under another PYTHONHASHSEED, in a network namespace
without any interface (``unshare --net``). Then the runs go into a bundle, the bundle into an empty store, and each is
replayed there in the same way. The table is written by
``python repro_assets_tests/replay/proof_table.py docs/replay.md``, which also writes the README's line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- proof: begin -->", "<!-- proof: end -->"
LINE = re.compile(r"`identical \d+ of \d+`")
"""How the README says it."""
OFFLINE = ("unshare", "--map-root-user", "--net")


class Proof:
    """One place in which it is done.

    Parameters
    ----------
    folder : Path
        Empty; everything is made in it.
    flags : list of str
        What ``repro run`` is given beside the seed.
    """

    def __init__(self, folder: Path, flags: list[str]) -> None:
        self._folder = folder
        self._flags = flags
        self._python = self._installed()

    def replays(self, seeds: list[int]) -> list[dict[str, Any]]:
        """Run, take the project away, replay, take the runs elsewhere in a bundle, and replay again."""
        project, home, other = (self._folder / name for name in ("project", "home", "other"))
        self._copied(project)
        runs = {seed: self._run(project, home, seed) for seed in seeds}
        shutil.rmtree(project)
        elsewhere = self._folder / "elsewhere"
        elsewhere.mkdir()
        found = {(seed, "store"): self._replay(run, home, elsewhere) for seed, run in runs.items()}
        bundle = self._folder / "runs.repro"
        self._repro(elsewhere, home, "export", *runs.values(), "--to", str(bundle), "--format", "bundle")
        self._repro(elsewhere, other, "init", str(other))
        self._repro(elsewhere, other, "import", str(bundle))
        shutil.rmtree(home)
        found |= {(seed, "bundle"): self._replay(run, other, elsewhere) for seed, run in runs.items()}
        return [
            {"seed": seed, "from": place, "seconds": answer["seconds"], **product}
            for (seed, place), answer in found.items()
            for product in answer["products"]
        ]

    def _installed(self) -> Path:
        """Return the Python of an environment that has the package from a wheel, and this one's libraries."""
        source, wheels, venv = (self._folder / name for name in ("source", "wheels", "venv"))
        self._copied(source)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
        subprocess.run([sys.executable, "-m", "pip", *build], check=True)
        python = venv / "bin" / "python"
        (wheel,) = wheels.iterdir()
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
        (site,) = venv.glob("lib/python*/site-packages")
        (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        shutil.rmtree(source)
        where = subprocess.run(
            [str(python), "-c", "import repro_assets; print(repro_assets.__file__)"],
            capture_output=True, text=True, check=True, cwd=self._folder, env=self._variables(self._folder),
        ).stdout  # fmt: skip
        assert str(venv) in where, where
        return python

    def _copied(self, target: Path) -> None:
        """Copy the project's committed files."""
        target.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(target)], input=archive, check=True)

    def _variables(self, home: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REPRO_"))}
        return {**kept, "REPRO_HOME": str(home)}

    def _repro(
        self, folder: Path, home: Path, *words: str, before: tuple[str, ...] = (), more: Mapping[str, str] = {}
    ) -> dict[str, Any]:
        command = [*before, str(self._python), "-m", "repro_assets.cli.app", *words, "--json"]
        done = subprocess.run(
            command, cwd=folder, env={**self._variables(home), **more}, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1, 4), done.stderr[-4000:]
        answer = json.loads(done.stdout)
        return answer if isinstance(answer, dict) else {}

    def _run(self, project: Path, home: Path, seed: int) -> str:
        answer = self._repro(project, home, "run", "--seed", str(seed), *self._flags)
        assert answer["state"] == "COMPLETED", answer
        return str(answer["run_id"])

    def _replay(self, run: str, home: Path, folder: Path) -> dict[str, Any]:
        return self._repro(folder, home, "replay", run, before=OFFLINE, more={"PYTHONHASHSEED": "4242"})


def table(rows: list[dict[str, Any]]) -> str:
    """Write one line for each product and seed."""
    lines = [
        "| seed | product | digest | from the store | from a bundle |",
        "| ---: | --- | --- | --- | --- |",
    ]
    by_product: dict[tuple[int, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_product.setdefault((row["seed"], re.sub(r":v\d+$", "", row["name"])), {})[row["from"]] = row
    for (seed, name), each in sorted(by_product.items()):
        verdicts = [each[place]["verdict"] if place in each else "missing" for place in ("store", "bundle")]
        digest = next(iter(each.values()))["original"].removeprefix("sha256:")[:12]
        lines.append(f"| {seed} | `{name}` | `{digest}` | {verdicts[0]} | {verdicts[1]} |")
    seconds: dict[tuple[int, str], float] = {(row["seed"], row["from"]): row["seconds"] for row in rows}
    times = "; ".join(f"seed {seed} from the {place} {took:.0f} s" for (seed, place), took in sorted(seconds.items()))
    same = sum(row["verdict"] == "identical" for row in rows)
    return "\n".join([f"`identical {same} of {len(rows)}` ({times}).", "", *lines])


def main() -> None:
    """Make the table, and put it between the marks of a page where one is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, help="the page that holds the table")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--flags", default="", help="what repro run is given beside, such as '--set sft.steps=5'")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        rows = Proof(Path(folder), shlex.split(asked.flags)).replays(list(range(asked.seeds)))
    made = table(rows)
    print(made)
    if asked.page is not None:
        text = asked.page.read_text()
        before, _, rest = text.partition(BEGIN)
        assert rest, f"{asked.page} has no {BEGIN}"
        asked.page.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}")
        said = LINE.search(made)
        readme = ROOT / "README.md"
        assert said is not None and LINE.search(readme.read_text()), f"{readme} has no such line"
        readme.write_text(LINE.sub(said.group(), readme.read_text()))


if __name__ == "__main__":
    main()
