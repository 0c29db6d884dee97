"""A training script that was not written for this project is tracked with no changed line, or with at most five more.

Its record is enough to execute it again elsewhere: what is laid out of the store, and the words, folder and variables
on record, give the checkpoint's bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import queries
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home

ROOT = Path(__file__).parents[2]
PLAIN = Path(__file__).with_name("plain_gpt.py")
WORDS = ("--data", "texts/input.txt", "--out-dir", "out", "--max-iters", "6", "--eval-interval", "3", "--seed", "7")
# Each stands after the line that it names.
ADDED = {
    "from torch.nn import functional as F": "from repro_assets import Experiment",
    "    args = get_args()": '    run = Experiment("plain-gpt", config=args, seed=args.seed).start()',
    "    set_seed(args.seed)": "    args.data = str(run.use_path(args.data))",
    "            losses = estimate_loss(model, data, args)": (
        "            Experiment.current().log_metrics(losses, it + 1)"
    ),
    "        train(args)": '        run.log_artifact(args.out_dir, "plain-gpt")',
}


def execute(folder: Path, words: list[str], variables: dict[str, str]) -> None:
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def laid_out(project: Path, text: str) -> Path:
    """Write a project with the script and what it reads, and return the script."""
    script = project / "plain_gpt.py"
    script.write_text(text)
    drawn = random.Random(0)
    (project / "texts").mkdir()
    (project / "texts" / "input.txt").write_text(" ".join(drawn.choice(["the", "cat", "sat"]) for _ in range(300)))
    return script


def on_record(home: Home) -> dict[str, Any]:
    (run,) = queries.rows(
        home, "SELECT run_id, state, run_kind, seed, config, plan, source, environment, warnings FROM runs"
    )
    run.update({name: json.loads(run[name]) for name in ("config", "plan")})
    run["environment"] = stored(home, run["environment"]).load()
    for what in ("inputs", "outputs"):
        rows = queries.rows(home, f"SELECT slot, digest FROM run_{what} WHERE run_id = ?", [run["run_id"]])
        run[what] = {row["slot"]: stored(home, row["digest"]) for row in rows}
    assert (run["state"], run["warnings"]) == ("COMPLETED", [])
    return run


def stored(home: Home, digest: str) -> Artifact:
    return repository.by_digest(home, Digest.parse(digest))


def execute_again(home: Home, run: dict[str, Any], words: list[str], folder: Path) -> bytes:
    """Execute a run in an empty folder by its record alone, and return the checkpoint that it writes there."""
    stored(home, run["source"]).lay_out(folder)
    for slot, artifact in run["inputs"].items():
        # The data are text and lie in the project, so the source tree has them too.
        (folder / slot).unlink()
        artifact.lay_out(folder / slot)
    assert not (folder / "out").exists()
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | run["environment"][
        "variables"
    ]
    execute(folder / run["plan"]["working_folder"], words, {**variables, "PYTHONPATH": str(ROOT)})
    return (folder / "out" / "ckpt.pt").read_bytes()


def test_with_no_changed_line(project: Home, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    script = laid_out(project.root.parent, PLAIN.read_text())
    words = [sys.executable, "plain_gpt.py", *WORDS]
    exec_ = [sys.executable, "-m", "repro_assets.cli.app", "exec", "--"]
    execute(project.root.parent, [*exec_, *words], {**os.environ, "PYTHONPATH": str(ROOT)})
    made = (project.root.parent / "out" / "ckpt.pt").read_bytes()

    run = on_record(project)
    assert run["run_kind"] == "command"
    assert (run["plan"]["command"], run["plan"]["working_folder"]) == (words, ".")
    assert stored(project, run["source"]).load()["plain_gpt.py"] == script.read_bytes() == PLAIN.read_bytes()
    assert "torch" in json.dumps(run["environment"]["packages"])
    text = (project.root.parent / "texts" / "input.txt").read_bytes()
    assert {slot: artifact.load() for slot, artifact in run["inputs"].items()} == {"texts/input.txt": text}
    assert run["outputs"]["out"].load()["ckpt.pt"] == made
    console = queries.rows(project, "SELECT text FROM consoles WHERE stream = 'stdout'")[0]["text"]
    assert "step 6: train loss" in console

    shutil.rmtree(project.root.parent / "texts")
    again = execute_again(project, run, run["plan"]["command"], folder)
    assert hashlib.sha256(again).digest() == hashlib.sha256(made).digest()


def test_with_at_most_five_added_lines(project: Home, tmp_path: Path) -> None:
    lines = PLAIN.read_text().splitlines()
    assert len(lines) >= 300 and "repro" not in PLAIN.read_text()
    changed = []
    for line in lines:
        changed += [line, ADDED[line]] if line in ADDED else [line]
    assert len(changed) - len(lines) == len(ADDED) <= 5
    script = laid_out(project.root.parent, "\n".join(changed) + "\n")
    execute(project.root.parent, [sys.executable, script.name, *WORDS], {**os.environ, "PYTHONPATH": str(ROOT)})
    made = (project.root.parent / "out" / "ckpt.pt").read_bytes()

    run = on_record(project)
    assert (run["run_kind"], run["seed"]) == ("script", 7)
    plan = run["plan"]
    assert (plan["script"], plan["argv"], plan["working_folder"]) == (script.name, list(WORDS), ".")
    assert (run["config"]["max_iters"], run["config"]["lr"]) == (6, 1e-3)
    assert stored(project, run["source"]).load()["plain_gpt.py"] == script.read_bytes()
    assert list(run["inputs"]) == ["texts/input.txt"]
    assert run["outputs"]["plain-gpt"].load()["ckpt.pt"] == made
    logged = [json.loads(line) for line in (project.root.parent / "out" / "log.jsonl").read_text().splitlines()]
    expected = {(name, row["iter"]): row[name] for row in logged if "val" in row for name in ("train", "val")}
    points = queries.rows(project, "SELECT name, step, value FROM metrics")
    assert {(row["name"], row["step"]): row["value"] for row in points} == expected and len(expected) == 4

    again = execute_again(project, run, plan["interpreter_argv"], tmp_path / "theirs")
    assert hashlib.sha256(again).digest() == hashlib.sha256(made).digest()
