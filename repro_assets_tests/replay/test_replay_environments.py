"""What differs from the recorded environment is said first; the recorded one is built, used, and used again."""

from __future__ import annotations

import importlib.metadata
import os
import zipfile
from pathlib import Path

import pytest
from persons import ROOT, verdicts
from restorable import wheel

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.errors import InvalidValue, MissingObject, ReusedElsewhere
from repro_assets.identity.digest import Digest
from repro_assets.journal.records import Payload
from repro_assets.journal.run_records import RunEnded, RunOutput, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.environments import load_environment
from repro_assets.replay.environments import surroundings
from repro_assets.replay.records import runs_of

NEEDED = (
    "xxhash", "rfc8785", "zstandard", "psutil", "packaging", "pathspec", "opentelemetry-sdk", "opentelemetry-api",
    "opentelemetry-semantic-conventions", "typing-extensions", "importlib-metadata", "zipp",
)  # fmt: skip
FIT = """
import sys
from repro_assets import Experiment
import one
with Experiment("fit", monitor=None) as run:
    run.log_artifact([one.VALUE], "value")
print(sys.prefix)
"""


def packed(name: str, folder: Path) -> dict[str, str]:
    """Make a wheel of an installed package and return its entry of a captured environment."""
    found = importlib.metadata.distribution(name)
    version = found.version
    files = [file for file in found.files or [] if ".." not in file.parts and file.suffix != ".pyc"]
    (folder).mkdir(exist_ok=True)
    tag = next(
        line.partition(": ")[2] for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag")
    )
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-{version}-{tag}.whl", "w") as archive:
        for file in files:
            if file.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                archive.write(str(file.locate()), str(file))
        record = next(str(file) for file in files if file.name == "RECORD")
        archive.writestr(record, "")
    return {"name": name, "version": version}


def ours(folder: Path) -> dict[str, str]:
    """Make a wheel of this project as it is."""
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for path in (ROOT / "repro_assets").rglob("*")
        if path.suffix in (".py", ".sql") and "training" not in path.parts
    }
    wheel(folder, "repro_assets", "0.1.0", files)
    return {"name": "repro-assets", "version": "0.1.0"}


def with_environment(person, run: str, document: dict) -> str:
    """Record a run that is like another, but for its environment, and return its id."""
    (found,) = runs_of(person.home, [run]).values()
    stored = repository.put(person.home, document, "json", name="environment")
    records: list[Payload] = [
        RunStarted(
            "e" * 16, found.run_kind, found.name, source=found.source, environment=str(stored.digest), plan=found.plan,
            settings=found.settings,
        ),
        *(RunOutput("e" * 16, slot, digest, name) for slot, (name, digest) in found.products.items()),
        RunEnded("e" * 16, "COMPLETED"),
    ]  # fmt: skip
    journal_at(person.home.journal).append(*records)
    return "e" * 16


def test_what_differs_is_said_and_the_recorded_environment_is_built_and_used_again(person, index, monkeypatch):
    wheels = Path(os.environ["PIP_FIND_LINKS"])
    person.write("one.py", "VALUE = 1\n")
    person.write("fit.py", FIT.replace("import one", "sys.path.append('lib'); import one"))
    person.write("lib/two.py", "")
    person.python("fit.py")
    run = person.last()
    said: list[str] = []
    report = person.replay(run, told=said.append)
    assert (report.verdict, report.environment_differences, said) == ("identical", [], [])

    document = load_environment(person.home, str(runs_of(person.home, [run])[run].environment))
    installed = {**document, "packages": [packed(name, wheels) for name in NEEDED] + [ours(wheels)]}
    other = with_environment(person, run, {**installed, "torch": None})
    found = surroundings(person.home, runs_of(person.home, [other])[other], "current", None)
    assert str(found.sentence()).startswith("the environment differs from the recorded one in ")
    assert str(found.sentence()).endswith(f"and {len(found.differences) - 5} more")
    assert len(found.differences) > 20
    assert {"part", "name", "original", "current"} == set(found.differences[0])

    report = person.replay(other, environment="recreate")
    assert verdicts(report) == {"value": "identical"}, (report.document(), person.log.read_text())
    digest = queries.rows(person.home, "SELECT environment AS e FROM runs WHERE run_id = ?", [other])[0]["e"]
    built = person.home.cache / "environments" / digest.removeprefix("sha256:")[:16]
    assert person.log.read_text().strip() == str(built)
    assert not [each for each in report.environment_differences if each["part"] == "package"]
    # It is used again: nothing could be installed now.
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels / "gone"))
    assert person.replay(other, environment="recreate", environment_folder=built).verdict == "identical"
    with pytest.raises(ReusedElsewhere, match="holds another environment"):
        person.replay(run, environment="recreate", environment_folder=built)


def test_an_environment_that_cannot_execute_a_replay_is_refused_with_the_reason(person, index):
    person.write("fit.py", FIT.replace("import one", "").replace("one.VALUE", "1"))
    person.python("fit.py")
    run = person.last()
    with pytest.raises(InvalidValue, match="'best' is no environment"):
        person.replay(run, environment="best")
    with pytest.raises(InvalidValue, match=r"is for one that is built.*add --environment recreate, or leave"):
        person.replay(run, environment_folder=person.root / "built")
    document = load_environment(person.home, str(runs_of(person.home, [run])[run].environment))
    editable = {"name": "repro-assets", "version": "0.1.0", "editable": True}
    other = with_environment(person, run, {**document, "packages": [{"name": "one", "version": "1.0"}, editable]})
    before = len(person.runs())
    with pytest.raises(InvalidValue, match=r"cannot execute a replay: repro-assets 0\.1\.0 was not to be had"):
        person.replay(other, environment="recreate")
    assert len(person.runs()) == before
    text = "with Experiment('none', capture_environment=False, monitor=None) as run: run.log_text('a', 'a')"
    lost = Digest.parse(str(runs_of(person.home, [run])[run].environment))
    (person.home.objects / lost.hex[:2] / lost.hex[2:]).unlink()
    with pytest.raises(MissingObject, match=f"the environment of run {run} "):
        person.replay(run, environment="recreate")
    assert person.replay(run).document()["notes"][0].startswith("no environment was compared: no artifact is stored")
    person.python("-c", f"from repro_assets import Experiment\n{text}")
    with pytest.raises(InvalidValue, match="has no environment on record to build"):
        person.replay(person.last("none"), environment="recreate")
