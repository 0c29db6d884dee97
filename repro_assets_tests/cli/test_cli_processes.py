"""The command in processes of its own: real runs, signals, and machines that fail."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import alive, until

pytestmark = pytest.mark.slow


def test_a_run_is_made_once_and_then_reused(project, inside):
    first = project.repro("run", "--select", "digits", "--json")
    assert first.code == 0, first.err
    (product,) = first.document["products"]
    assert (first.document["state"], product["asset"], product["reused"]) == ("COMPLETED", "data/digits", False)
    assert {"partition", "name", "digest", "run_id"} <= set(product)
    assert "begins  data__digits" in first.err
    assert first.err.count("  begins  ") == first.err.count("  done    ") == 1
    assert "DEBUG" not in first.err

    again = inside("run", "--select", "digits", "--exp-name", "e", "--tags", "a,b")
    assert again.code == 0, again.err
    assert product["run_id"] in again.out
    assert "next:" in again.err
    assert "there already" in again.err
    rows = inside("runs", "list", "--json").document
    assert {row["state"] for row in rows} == {"COMPLETED"}
    record = inside("runs", "show", product["run_id"], "--json").document
    assert "repro run --select data/digits" in record["fresh_command"]
    assert inside("store", "fsck", "--full", "--json").document["ok"]

    replayed = inside("replay", product["name"], "--json")
    assert (replayed.code, replayed.document["verdict"]) == (0, "identical"), replayed.err
    assert replayed.document["original_run"] == product["run_id"]


def test_a_value_out_of_range_is_refused_with_its_field(inside, tmp_path):
    said = inside("run", "--select", "held", "--set", "held.seconds=-1", "--json", home=tmp_path / "s")
    # Nothing has begun: neither a run of Dagster's nor one of an asset.
    assert (said.code, said.out) == (2, "")
    (line,) = [line for line in said.err.splitlines() if line.startswith("error")]
    assert "held: seconds is -1" in line
    assert "greater than or equal to 0" in line


def test_an_unknown_asset_is_refused_and_what_there_is_is_named(inside, tmp_path):
    said = inside("run", "--select", "helt", "--json", home=tmp_path / "s")
    assert (said.code, said.out) == (2, "")
    assert "models/sft" in said.err


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_run_that_is_ended_by_a_signal_is_interrupted(project, inside, tmp_path, name):
    home = tmp_path / "store"
    begun = project.root / "begun"
    begun.unlink(missing_ok=True)
    process = project.start("run", "--select", "held", "--json", home=home)
    until(begun.exists)
    os.kill(process.pid, getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if name == "SIGKILL" else 130), err
    assert "Traceback" not in err
    if name == "SIGINT":
        assert "INTERRUPTED  held" in err
        assert "FAILED" not in err

    def states() -> dict[str, str]:
        rows = inside("runs", "list", "--json", home=home).document
        return {row["asset"] or "parent": row["state"] for row in rows}

    # With the command killed, the executing process is told by the system and needs a moment.
    until(lambda: "RUNNING" not in states().values())
    assert states() == {"parent": "INTERRUPTED", "held": "INTERRUPTED"}
    assert inside("store", "fsck", "--full", home=home).code == 0


def test_a_replay_that_is_interrupted_says_so_as_a_run_does(project, inside, tmp_path):
    home = tmp_path / "store"
    made = inside("run", "--select", "held", "--set", "held.seconds=4", "--json", home=home)
    assert made.code == 0, made.err
    process = project.start("replay", "held", home=home)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "begins  held" in line:
            time.sleep(1)
            os.kill(process.pid, signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    err = "".join(lines) + err
    assert (process.returncode, out) == (130, ""), err
    assert "INTERRUPTED  held" in err
    assert "FAILED" not in err
    assert "error: the replay was interrupted; " in err.splitlines()[-1]
    again = inside("runs", "list", "--where", "replay_of IS NOT NULL", "--json", home=home)
    assert [row["state"] for row in again.document] == ["INTERRUPTED"]


def test_a_run_whose_processes_were_all_killed_is_settled_by_the_next_command(project, inside, tmp_path):
    home = tmp_path / "store"
    begun = project.root / "begun"
    begun.unlink(missing_ok=True)
    process = project.start("run", "--select", "held", "--json", home=home)
    until(begun.exists)
    os.kill(process.pid, signal.SIGSTOP)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    # What is killed takes a moment to end; it is nobody's child, so it may stay a zombie.
    until(lambda: not any(alive(int(child)) for child in children))
    rows = inside("sql", "SELECT run_kind, state, state_source FROM runs ORDER BY 1", "--json", home=home)
    assert rows.document == [
        {"run_kind": "asset", "state": "INTERRUPTED", "state_source": "process"},
        {"run_kind": "parent", "state": "INTERRUPTED", "state_source": "dagster"},
    ]
    # Dagster has nothing more to say, so it is not asked (and not imported) again.
    program = (
        "import sys; from repro_assets.store.home import find_store; "
        "from repro_assets.orchestration.settling import settle; "
        "print(settle(find_store()), 'dagster' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**project.environment, "REPRO_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "{} False"
    assert inside("store", "fsck", "--full", home=home).code == 0


def test_a_full_disk_is_3_and_leaves_a_store_that_verifies(project, small_disk, tmp_path):
    home = small_disk / "store"
    (tmp_path / "small").write_bytes(b"a" * 1000)
    (tmp_path / "large").write_bytes(os.urandom(32 << 20))
    assert project.repro("artifacts", "put", tmp_path / "small", "--name", "small", home=home).code == 0
    said = project.repro("artifacts", "put", tmp_path / "large", "--name", "large", "--json", home=home)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"error: no space left while writing {home}")
    assert said.err.count("\n") == 1
    rest = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(b"\0" * (rest.f_bavail * rest.f_frsize))
    run = project.repro("run", "--select", "held", "--set", "held.seconds=0", "--json", home=home)
    assert run.code == 3, run.err
    assert "Traceback" not in run.err
    assert any("no space left" in line or "disk is full" in line for line in run.err.splitlines()), run.err
    checked = project.repro("store", "fsck", "--full", "--json", home=home)
    assert (checked.code, checked.document["ok"]) == (0, True)
    (small_disk / "filler").unlink()
    assert [row["name"] for row in project.repro("artifacts", "list", "--json", home=home).document] == ["small:v1"]
    assert project.repro("artifacts", "get", "small", "--to", tmp_path / "got", home=home).code == 0


def test_a_read_only_store_is_3_and_still_answers(project, small_disk, tmp_path):
    home = small_disk / "store"
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "other").write_bytes(b"other")
    assert project.repro("artifacts", "put", tmp_path / "file", "--name", "file", home=home).code == 0
    assert project.repro("artifacts", "list", home=home).code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = project.repro("artifacts", "put", tmp_path / "other", "--name", "other", home=home)
    assert (said.code, said.err.count("\n")) == (3, 1)
    assert "cannot write" in said.err
    run = project.repro("run", "--select", "held", "--set", "held.seconds=0", home=home)
    assert run.code == 3, run.err
    assert [row["name"] for row in project.repro("artifacts", "list", "--json", home=home).document] == ["file:v1"]
    assert project.repro("store", "fsck", "--full", home=home).code == 0
    found = project.repro("doctor", "--json", home=home)
    assert found.code == 1
    assert [row["check"] for row in found.document if row["status"] == "fail"] == ["writable"]


def test_a_read_only_store_answers_from_the_catalog_as_it_was_published(project, small_disk, tmp_path):
    home = small_disk / "store"
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "other").write_bytes(b"other")

    def mounted(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk)], check=True)

    assert project.repro("artifacts", "put", tmp_path / "file", "--name", "file", home=home).code == 0
    mounted("ro")
    without = project.repro("artifacts", "list", home=home)
    assert (without.code, without.out) == (3, "")
    mounted("rw")
    assert project.repro("artifacts", "list", home=home).code == 0
    assert project.repro("artifacts", "put", tmp_path / "other", "--name", "other", home=home).code == 0
    mounted("ro")
    listed = project.repro("artifacts", "list", "--json", home=home)
    assert [row["name"] for row in listed.document] == ["file:v1"]
    for words in (["artifacts", "list"], ["sql", "SELECT 1"], ["store", "stats"], ["lineage", "validate"]):
        said = project.repro(*words, home=home)
        assert (said.code, said.err.count("\n")) == (0, 1), said.err
        assert "as it was published" in said.err
    assert project.repro("artifacts", "get", "other", "--to", tmp_path / "got", home=home).code == 0
    assert project.repro("replay", "file", home=home).code == 3
    mounted("rw")
    assert len(project.repro("artifacts", "list", "--json", home=home).document) == 2


def test_a_doctor_finds_a_code_location_that_does_not_load(project, tmp_path):
    found = project.repro("doctor", "--json")
    assert {row["status"] for row in found.document} <= {"ok", "warn"}, found.out
    path = project.root / "held.py"
    text = path.read_text()
    path.write_text("import nothing_of_this_name\n")
    try:
        broken = project.repro("doctor", "--json")
    finally:
        path.write_text(text)
    (row,) = [row for row in broken.document if row["status"] == "fail"]
    assert (broken.code, row["check"]) == (1, "code location")
    assert "nothing_of_this_name" in row["detail"]


def test_a_taken_port_is_refused(project, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = project.repro("ui", "--port", taken.getsockname()[1], home=tmp_path / "s")
    assert said.code == 2
    assert "is taken" in said.err.splitlines()[-1]
    assert "http://" not in said.err


def test_what_a_script_starts_in_the_background_ends_on_int_and_term():
    program = (
        "import signal; from repro_assets.orchestration.serving import default_endings; "
        "before = signal.getsignal(signal.SIGINT); default_endings(); "
        "print(before is signal.SIG_IGN, "
        "[signal.getsignal(s) is signal.SIG_DFL for s in (signal.SIGINT, signal.SIGTERM)])"
    )
    said = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" & wait', sys.executable, program], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "True [True, True]", said.stderr


def test_only_known_warnings_are_kept_out_of_processes_that_are_started():
    from repro_assets.determinism.process_start import warning_filters

    program = (
        "import warnings; warnings.warn('Function `dev_command` is superseded and its', FutureWarning); "
        "warnings.warn('Another function is superseded', FutureWarning)"
    )

    def heard(own: str) -> str:
        variables = {**os.environ, "PYTHONWARNINGS": warning_filters({"PYTHONWARNINGS": own})}
        return subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True
        ).stderr

    assert "dev_command" not in heard("") and "Another function" in heard("")
    assert "dev_command" in heard("always")
