"""How a process was started is recorded as it was started, wherever it went since."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOES = """
import os
from repro_assets import Experiment
os.makedirs("outputs/today", exist_ok=True)
os.chdir("outputs/today")
with Experiment("goes", capture_source=False, capture_environment=False, monitor=None) as run:
    open("seen", "w").close()
"""


def test_a_script_that_goes_elsewhere_begins_where_it_began(project, runs):
    folder = project.root.parent
    (folder / "code").mkdir()
    (folder / "code" / "goes.py").write_text(GOES)
    for words in (["goes.py"], ["-m", "goes"]):
        subprocess.run(
            [sys.executable, *words, "--flag"],
            cwd=folder / "code",
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )
    assert (folder / "code" / "outputs" / "today" / "seen").exists()
    plans = [row["plan"] for row in runs()]
    assert [plan["working_folder"] for plan in plans] == ["code", "code"]
    assert [plan.get("script", plan.get("module")) for plan in plans] == ["code/goes.py", "goes"]
    assert [plan["interpreter_argv"][1:] for plan in plans] == [["goes.py", "--flag"], ["-m", "goes", "--flag"]]


def test_what_follows_an_option_for_a_secret_is_in_no_record_of_a_script_and_that_is_told(project, script, runs):
    process = script(GOES.replace("os.chdir", "str"), "--token", "letmein", "--rate", "2")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (row,) = runs()
    assert row["plan"]["argv"] == ["--token", "<redacted: named-secret>", "--rate", "2"]
    assert row["plan"]["redacted"] is True
    assert b"letmein" not in b"".join(path.read_bytes() for path in project.journal.glob("*.jsonl"))
    (said,) = [line for line in row["warnings"] if "secret" in line]
    assert said == "plan.interpreter_argv[3] is not recorded: it looks like a secret (named-secret)"
