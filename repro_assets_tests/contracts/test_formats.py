"""What every format of ``repro export`` keeps to, whatever it writes.

A format has a line in `CASES`, or the first test fails. What is particular to one is in the tests of that format.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import hostile_names
import numpy as np
import pandas
import pytest
from exported import ACCOUNT, HOST, REMOTE, World, fill, start

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.cli.app import main
from repro_assets.errors import IntegrityError, InvalidValue, MachineError, ReproError, ReusedElsewhere, UnknownName
from repro_assets.interchange.formats import EXPORTS, Exported, export
from repro_assets.journal.run_records import RunDeleted, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, open_store

Subject = Literal["run", "model", "dataset"]
HEAVY = ("torch", "dagster", "pandas", "pyarrow", "duckdb", "numpy", "matplotlib", "yaml")
DELETED = "d0" * 8


@dataclass(frozen=True)
class Case:
    """A format: what it is asked for, and what is particular to its answers.

    Parameters
    ----------
    subject : str
        ``run``, ``model`` or ``dataset``: what it takes.
    target : str
        The name of a file or folder that it is written to.
    extra : tuple of str
        The module that it asks for, and the extra that brings it; nothing where it needs none.
    without_bytes : bool
        Whether it is written where bytes of its subject are gone, and says so; otherwise it is refused.
    repeatable : bool
        Whether the same record gives the same bytes.
    """

    subject: Subject
    target: str
    extra: tuple[str, str] | None = None
    without_bytes: bool = True
    repeatable: bool = True

    def name(self, world: World) -> str:
        """What a person calls its subject in a world."""
        return {"run": world.trains[0], "model": "model-flowers:v1", "dataset": "dataset-flowers"}[self.subject]


CASES = {
    "bundle": Case("run", "a.repro", without_bytes=False),
    "card": Case("model", "a.md"),
    "croissant": Case("dataset", "out", ("mlcroissant", "croissant"), without_bytes=False),
    "cyclonedx": Case("model", "a.cdx.json", ("cyclonedx", "cyclonedx")),
    "dvc": Case("run", "out", without_bytes=False),
    "json": Case("run", "a.json"),
    "mlflow": Case("run", "out", ("mlflow", "mlflow"), repeatable=False),
    "openlineage": Case("run", "a.jsonl", ("openlineage.client", "openlineage")),
    "rocrate": Case("run", "out", ("rocrate", "rocrate")),
    "tensorboard": Case("run", "out", ("tensorboard", "tensorboard")),
    "wandb": Case("run", "out", ("wandb", "wandb"), repeatable=False),
    "yaml": Case("run", "a.yaml"),
}
FORMATS = pytest.mark.parametrize("format", sorted(EXPORTS))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A store that tests read and do not change."""
    found = fill(tmp_path_factory.mktemp("world") / "store")
    _hostile_model(found)
    _delete_a_run(found)
    start(found)
    return found


@pytest.fixture(scope="module")
def emptied(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of it, of which the bytes of a model and of a data set are gone."""
    found = world.copied(tmp_path_factory.mktemp("emptied") / "store")
    for name in ("model-0", "dataset-flowers"):
        for digest in found.made[name].manifest.objects():
            for path in found.home.root.glob(f"objects/*/{digest.hex[2:]}"):
                path.unlink()
        assert not repository.by_digest(found.home, found.made[name].digest).is_whole()
    return found


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the store that was written once, of whose journal a segment is damaged."""
    root = tmp_path_factory.mktemp("old") / "store"
    shutil.copytree(Path(__file__).parents[1] / "golden" / "store-v1", root)
    return open_store(root)


def _delete_a_run(world: World) -> None:
    run = begin(world.home, RunStarted(DELETED, "asset", "is deleted"))
    run.log_output("model", {"w": np.arange(9.0)}, name="model-of-a-deleted-run")
    run.log_output("data", pandas.DataFrame({"x": [9]}), name="dataset-of-a-deleted-run")
    run.end()
    journal_at(world.home.journal).append(RunDeleted(DELETED))


def _hostile_model(world: World) -> None:
    """A run whose every text is a hostile name, and the model that it made."""
    names = [name for name in hostile_names.NAMES if "\ud800" not in name and name.strip()]
    run = begin(world.home, RunStarted("0b" * 8, "script", names[1], tags=names, config={name: name for name in names}))
    run.log_params({name: name for name in names})
    for name in names:
        run.use(name, world.made["dataset-images"])
        run.log_metric(name, 0.5, 1)
    run.log_output(names[2], {name: np.arange(2.0) for name in names}, name=names[3], collection="model-hostile")
    run.end()


def written(path: Path) -> dict[str, bytes]:
    """Every file of what was written, by its path in it."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(item.relative_to(path)): item.read_bytes() for item in sorted(path.rglob("*")) if item.is_file()}


def exported(world: World, format: str, folder: Path, name: str | None = None, **options: Any) -> Exported:
    case = CASES[format]
    return export(name or case.name(world), to=folder / case.target, format=format, home=world.home, **options)


def test_every_format_is_held_to_this() -> None:
    assert set(CASES) == set(EXPORTS)


@FORMATS
def test_the_answer_says_where_it_is_and_whether_it_was_verified(
    world: World, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[format]
    monkeypatch.setenv("REPRO_HOME", str(world.home.root))
    to = tmp_path / case.target
    code = main(["export", case.name(world), "--to", str(to), "--format", format, "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    document = json.loads(said.out)
    assert (document["path"], document["verified"], document["format"]) == (str(to), True, format)
    assert document["name"] and all(written(to).values())


@FORMATS
def test_an_extra_that_is_missing_is_said_with_the_command_that_brings_it(
    world: World, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[format]
    if case.extra is None:
        assert exported(world, format, tmp_path).verified
        return
    module, extra = case.extra
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidValue, match=rf"not installed \(pip install 'repro-assets\[{extra}\]'\)"):
        exported(world, format, tmp_path)
    assert not list(tmp_path.iterdir())


@FORMATS
def test_a_name_that_nothing_has_is_one_error(world: World, format: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="'nothing-of-the-kind'"):
        exported(world, format, tmp_path, "nothing-of-the-kind")
    assert not list(tmp_path.iterdir())


@FORMATS
def test_a_run_that_goes_on_is_refused(world: World, format: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=f"run {world.running} has not ended"):
        exported(world, format, tmp_path, world.running)
    assert not list(tmp_path.iterdir())


@FORMATS
def test_a_run_that_was_deleted_is_refused(world: World, format: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=f"run {DELETED} was deleted"):
        exported(world, format, tmp_path, DELETED)
    assert not list(tmp_path.iterdir())


@FORMATS
def test_two_names_where_one_is_taken_are_refused(world: World, format: str, tmp_path: Path) -> None:
    case = CASES[format]
    if "several" in EXPORTS[format].takes:
        names = (*world.trains, world.failed)
        assert export(*names, to=tmp_path / case.target, format=format, home=world.home).verified
        return
    with pytest.raises(InvalidValue, match="takes one run or artifact"):
        export(*world.trains, to=tmp_path / case.target, format=format, home=world.home)
    assert not list(tmp_path.iterdir())


@FORMATS
def test_what_is_there_is_not_replaced_unasked(world: World, format: str, tmp_path: Path) -> None:
    exported(world, format, tmp_path)
    to = tmp_path / CASES[format].target
    if to.is_dir():
        (to / "mine").write_text("mine")
    else:
        to.write_text("mine")
    before = written(to)
    with pytest.raises(ReusedElsewhere, match="is there already"):
        exported(world, format, tmp_path)
    assert written(to) == before and list(tmp_path.iterdir()) == [to]
    if to.is_file():
        assert exported(world, format, tmp_path, force=True).verified
        assert written(to) != before


@FORMATS
def test_nothing_of_a_store_is_a_target(world: World, format: str, tmp_path: Path) -> None:
    before = sorted(str(path) for path in (world.home.root / "journal").rglob("*"))
    for force in (False, True):
        with pytest.raises(InvalidValue, match="belongs to the store"):
            exported(world, format, world.home.root / "journal", force=force)
    assert sorted(str(path) for path in (world.home.root / "journal").rglob("*")) == before


@FORMATS
def test_a_folder_that_is_not_there_is_one_error(world: World, format: str, tmp_path: Path) -> None:
    with pytest.raises(ReproError, match="its folder is not there") as raised:
        exported(world, format, tmp_path / "none")
    assert raised.value.exit_code == 2 and not list(tmp_path.iterdir())


@FORMATS
def test_names_that_mean_something_to_a_format_are_only_names(world: World, format: str, tmp_path: Path) -> None:
    names = {"run": "0b" * 8, "model": "model-hostile", "dataset": "dataset-hostile"}
    done = exported(world, format, tmp_path, names[CASES[format].subject])
    assert done.verified and list(tmp_path.iterdir()) == [tmp_path / CASES[format].target]


@FORMATS
def test_bytes_that_are_gone_are_said_or_refuse_the_export(emptied: World, format: str, tmp_path: Path) -> None:
    if CASES[format].without_bytes:
        done = exported(emptied, format, tmp_path)
        assert done.verified is False and any("gone" in note for note in done.notes)
        return
    with pytest.raises(IntegrityError):
        exported(emptied, format, tmp_path)
    assert not list(tmp_path.iterdir())


@FORMATS
@pytest.mark.parametrize("loss", ["gone", "damaged"])
def test_an_export_that_is_not_whole_ends_with_exit_code_1_at_the_first_time_and_again(
    world: World,
    format: str,
    loss: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case, lost = CASES[format], world.copied(tmp_path / "store")
    digest = next(iter(lost.made["dataset-flowers" if case.subject == "dataset" else "model-0"].manifest.objects()))
    (path,) = lost.home.root.glob(f"objects/*/{digest.hex[2:]}")
    path.chmod(0o644)
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    if loss == "gone":
        path.unlink()
    monkeypatch.setenv("REPRO_HOME", str(lost.home.root))
    for attempt in ("first", "again"):
        to = tmp_path / attempt / case.target
        to.parent.mkdir()
        code = main(["export", case.name(lost), "--to", str(to), "--format", format, "--json"])
        said = capsys.readouterr()
        assert code == 1, said
        # What is damaged refuses the export, and is set aside: from then on it is gone.
        is_written = case.without_bytes and (loss == "gone" or attempt == "again")
        assert to.exists() is is_written
        if is_written:
            document = json.loads(said.out)
            assert document["verified"] is False and any("gone" in note for note in document["notes"])
        else:
            assert said.out == "" and digest.hex in said.err.splitlines()[-1]


@FORMATS
def test_a_store_of_the_first_version_with_a_damaged_journal_is_read(old: Home, format: str, tmp_path: Path) -> None:
    name = {"run": "0123456789abcdef", "model": "model-sft:v1", "dataset": "model-sft:v2"}[CASES[format].subject]
    to = tmp_path / CASES[format].target
    # Of what it holds a file may be empty, such as one of a source tree.
    assert export(name, to=to, format=format, home=old).verified and any(written(to).values())


@contextlib.contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """Let the system refuse to write more into a file, in this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@FORMATS
@pytest.mark.parametrize("size", [0, 600])
def test_a_write_that_fails_leaves_nothing(world: World, format: str, tmp_path: Path, size: int) -> None:
    # What the catalog has to learn is written before.
    queries.rows(world.home, "SELECT 1")
    with _no_file_larger_than(size), pytest.raises(MachineError):
        exported(world, format, tmp_path)
    assert not list(tmp_path.iterdir())
    assert exported(world, format, tmp_path).verified


@FORMATS
def test_the_same_record_gives_the_same_bytes(world: World, format: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        exported(world, format, tmp_path / folder)
    one, two = (written(tmp_path / folder / CASES[format].target) for folder in ("one", "two"))
    assert (one == two) is CASES[format].repeatable


@FORMATS
def test_who_is_not_to_be_named_is_not_or_the_option_is_refused(world: World, format: str, tmp_path: Path) -> None:
    if "anonymize" not in EXPORTS[format].takes:
        with pytest.raises(InvalidValue, match="has no --anonymize"):
            exported(world, format, tmp_path, anonymize=True)
        return
    exported(world, format, tmp_path, anonymize=True)
    for path, data in written(tmp_path / CASES[format].target).items():
        for name in (HOST, ACCOUNT, REMOTE, "GPU-12345678"):
            assert name.encode() not in data, (path, name)


def test_naming_the_formats_and_loading_their_modules_loads_no_library() -> None:
    program = (
        "import importlib, json, sys\n"
        "from repro_assets.interchange.formats import EXPORTS\n"
        "for format in EXPORTS.values(): importlib.import_module(format.module)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    extras = {case.extra[0].partition(".")[0] for case in CASES.values() if case.extra is not None}
    assert not {*HEAVY, *extras, "jsonschema", "rdflib", "packageurl"} & set(json.loads(said))
