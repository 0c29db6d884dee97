"""A tour: what is captured, which planted errors are found and by what, and every export, accepted by its own reader.

Everything happens in a new folder (a temporary one, or the one that is named). Each command is shown before it is
executed, and what it must answer is looked at; the first wrong answer ends the tour with exit code 1.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from readers import READERS, subject_of
from sklearn.datasets import load_wine

SCALING = '''"""A package of somebody else's."""


def standardized(values, like):
    """Return values in standard deviations of `like` from its mean, column by column."""
    return (values - like.mean(axis=0)) / like.std(axis=0)
'''


class Wrong(Exception):
    """Something did not answer as it must."""


@dataclass
class Tour:
    """The folder of the tour, and what was found in it."""

    root: Path
    found: list[tuple[str, str, str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        """The folder with the code and the data."""
        return self.root / "project"

    @property
    def packages(self) -> Path:
        """The folder with the package that the code imports."""
        return self.root / "packages"

    def execute(self, *words: str, code: int = 0) -> str:
        """Show and execute a command; return its stdout.

        Raises
        ------
        Wrong
            If it ends with another exit code.
        """
        print(f"$ {shlex.join(words)}", flush=True)
        program = [sys.executable if words[0] == "python" else str(Path(sys.executable).with_name(words[0]))]
        environment = {**os.environ, **self.variables}
        done = subprocess.run(
            [*program, *words[1:]], cwd=self.project, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != code:
            raise Wrong(f"{' '.join(words)} ended with {done.returncode} and not {code}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, *words: str, code: int = 0) -> Any:
        """Execute a command of ``repro`` and return its JSON answer."""
        return json.loads(self.execute("repro", *words, "--json", code=code))

    def find(self, planted: str, by: str, said: list[Any], expected: str) -> None:
        """Note that what was planted was found.

        Raises
        ------
        Wrong
            If nothing of what was said names it.
        """
        naming = [item for item in said if expected in str(item)]
        if not naming:
            raise Wrong(f"{planted}: {by} said {said}, and nothing names {expected}")
        self.found.append((planted, by, expected))
        print(f"  found: {planted} ({expected})")


def lay_out(tour: Tour) -> None:
    """Make a git repository with code and data, and a package that is installed beside it."""
    here = Path(__file__).parent
    for folder in (tour.project / "wine", tour.packages / "scaling-1.0.dist-info"):
        folder.mkdir(parents=True)
    shutil.copy(here / "fit.py", tour.project)
    bottles = load_wine(as_frame=True).frame.sample(frac=1, random_state=0)
    bottles.iloc[:120].to_csv(tour.project / "wine" / "train.csv", index=False)
    bottles.iloc[120:].to_csv(tour.project / "wine" / "test.csv", index=False)
    (tour.packages / "scaling.py").write_text(SCALING)
    digest = base64.urlsafe_b64encode(hashlib.sha256(SCALING.encode()).digest()).rstrip(b"=").decode()
    about = tour.packages / "scaling-1.0.dist-info"
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: scaling\nVersion: 1.0\n")
    (about / "RECORD").write_text(f"scaling.py,sha256={digest},{len(SCALING)}\n{about.name}/METADATA,,\n")
    author = ["-c", "user.name=Demo", "-c", "user.email=demo@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "A regression of wine"]):
        subprocess.run(["git", *words], cwd=tour.project, check=True)
    tour.variables = {
        "REPRO_HOME": str(tour.root / "store"),
        "PYTHONPATH": str(tour.packages),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def capture(tour: Tour) -> None:
    """Capture an environment, a manifest and two runs, and prove the first."""
    heading("What is captured")
    tour.execute("repro", "init", str(tour.root / "store"))
    captured = tour.ask("env", "capture", "--output-dir", str(tour.root / "environment"))
    print(f"  environment {captured['digest']}: {', '.join(Path(file).name for file in captured['files'])}")
    manifest = tour.ask(
        "manifest", "create", "wine", "--output", str(tour.root / "wine.json"), "--hash-algorithm", "sha256,md5"
    )
    print(f"  manifest of {manifest['summary']['total_files']} files, {manifest['summary']['total_size_human']}")
    tour.execute("python", "fit.py", "complete")
    run = tour.ask("runs", "show", "last")
    for name in ("run_id", "state", "seed"):
        print(f"  {name}: {run[name]}")
    (packages,) = tour.ask("sql", "SELECT count(*) AS n FROM packages JOIN runs USING (environment)")
    print(f"  packages of its environment: {packages['n']}")
    report = tour.ask("replay", "last")
    print(f"  executed again from its record: {report['verdict']}")
    if report["verdict"] != "identical":
        raise Wrong(f"the replay is {report['verdict']}")


def plant_in_data(tour: Tour) -> None:
    """Change, remove and add files, and damage the store."""
    heading("Errors planted in the data")
    manifest, train = str(tour.root / "wine.json"), tour.project / "wine" / "train.csv"
    data, facts = train.read_bytes(), train.stat()
    train.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    os.utime(train, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    said = tour.ask("manifest", "verify", manifest, "wine", code=1)
    tour.find("one bit of a file, its size and time as before", "manifest verify", said["hash_mismatches"], "train.csv")
    train.rename(train.with_name("training.csv"))
    said = tour.ask("manifest", "verify", manifest, "wine", code=1)
    tour.find("a file that is missing", "manifest verify", said["missing_files"], "train.csv")
    tour.find("a file that is new", "manifest verify", said["extra_files"], "training.csv")
    train.with_name("training.csv").unlink()
    train.write_bytes(data)
    tour.ask("manifest", "verify", manifest, "wine")

    (tour.root / "backup").mkdir()
    tour.execute("repro", "store", "remote", "add", "backup", str(tour.root / "backup"))
    tour.ask("store", "push", "backup")
    model = tour.ask("artifacts", "show", "model-wine")
    objects = (path for path in (tour.root / "store" / "objects").rglob("*") if path.is_file())
    damaged = max(objects, key=lambda path: path.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    said = tour.ask("store", "fsck", "--full", code=1)
    tour.find("one bit of the store", "store fsck --full", said["corrupt"], damaged.parent.name + damaged.name)
    tour.ask("store", "fsck", "--full", "--repair", "backup")
    if tour.ask("artifacts", "show", "model-wine")["digest"] != model["digest"]:
        raise Wrong("the store was not mended")


def plant_in_the_environment(tour: Tour) -> None:
    """Set a variable, ask for a package that is not there, edit one that is, and edit the code."""
    heading("Errors planted in the environment and the code")
    first = tour.ask("runs", "list", "--where", "replay_of IS NULL")[-1]["run_id"]
    variables = tour.variables
    tour.variables = {**variables, "OMP_NUM_THREADS": "3"}
    tour.execute("python", "fit.py")
    tour.variables = variables
    said = tour.ask("env", "diff", first, "last")
    tour.find("a variable that can change bits", "env diff", said["added"] + said["changed"], "OMP_NUM_THREADS")
    said = tour.ask("env", "check", "--package", "numpy<1", code=1)
    tour.find("a package of the wrong version", "env check", said["errors"], "numpy")

    package = tour.packages / "scaling.py"
    package.write_text(SCALING.replace("return (", "return 1.0000001 * ("))
    said = tour.ask("replay", first, code=1)
    differing = [each["path"] for product in said["products"] for each in product["deviations"]]
    tour.find("a factor of 1.0000001 in an installed package", "replay: what differs", differing, "weights")
    causes = [each["name"] for each in said["possible_causes"]]
    tour.find("the same", "replay: possible causes", causes, "edited_packages.scaling.scaling.py")
    package.write_text(SCALING)

    code = tour.project / "fit.py"
    code.write_text(code.read_text().replace("scale=0.01", "scale=0.02"))
    tour.execute("python", "fit.py")
    said = tour.ask("runs", "compare", first, "last")
    tour.find("an edited line of the code", "runs compare", [said["code"]], "scale=0.02")


def export_everything(tour: Tour) -> None:
    """Export in every format, and have each read by the software of those who own it."""
    heading("Exports, each read by its own software")
    first = tour.ask("runs", "list", "--where", "replay_of IS NULL")[-1]["run_id"]
    (tour.root / "exports").mkdir()
    for format, reader in READERS.items():
        what, target = subject_of(format, first)
        path = tour.root / "exports" / target
        done = tour.ask("export", what, "--to", str(path), "--format", format)
        if not done["verified"]:
            raise Wrong(f"{what} as {format} is not verified")
        print(f"  accepted by {reader(path)}")
    heading("In again")
    tour.variables = {**tour.variables, "REPRO_HOME": str(tour.root / "another")}
    tour.execute("repro", "init", str(tour.root / "another"))
    tour.ask("import", str(tour.root / "exports" / "mlflow"), "--format", "mlflow")
    points = "SELECT name, step, value FROM metrics WHERE run_id IN (SELECT run_id FROM runs) ORDER BY ALL"
    came = tour.ask("sql", points)
    tour.variables = {**tour.variables, "REPRO_HOME": str(tour.root / "store")}
    went = tour.ask("sql", points.replace("SELECT run_id FROM runs", f"SELECT '{first}'"))
    if came != went:
        raise Wrong("the metrics that came in through MLflow are others")
    print(f"  {len(came)} points of the run, through MLflow into another store: equal")


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text} ==")


def main() -> int:
    """Make the tour."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="a new folder for all of it, which is kept")
    folder = parser.parse_args().folder
    if folder is not None and folder.exists():
        print(f"{folder} is there already: name a new folder", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="repro-demo-") as temporary:
        tour = Tour((folder or Path(temporary)).resolve())
        lay_out(tour)
        try:
            for part in (capture, plant_in_data, plant_in_the_environment, export_everything):
                part(tour)
        except Wrong as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    heading("What was planted, and what found it")
    for planted, by, expected in tour.found:
        print(f"{planted:50} {by:28} {expected}")
    print(f"\n{len(tour.found)} errors planted and found, {len(READERS)} formats written and accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
