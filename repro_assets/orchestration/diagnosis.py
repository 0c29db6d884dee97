"""Is this set-up fit to run? Every check says what it saw and, where it is not well, what to do.

Laws: no check changes the store beyond a temporary file that it removes; one that cannot be made is a failure with its
reason; a check never stops the others.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repro_assets.capture.git import find_top
from repro_assets.capture.project import project_root, source_folders
from repro_assets.determinism.mode import Mode
from repro_assets.determinism.process_start import hash_seed_in_effect
from repro_assets.errors import NoStore, ReproError, from_os_error
from repro_assets.journal.merged import forms, read_journal
from repro_assets.journal.segments import Damage
from repro_assets.orchestration.code_locations import NoDefinitions, code_location
from repro_assets.orchestration.request import environment
from repro_assets.store.home import VARIABLE, Home, find_store

OK, WARN, FAIL = "ok", "warn", "fail"
DISTRIBUTION = "repro-assets"
LITTLE_SPACE = 1 << 30
LOADING_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, ``ok``, ``warn`` or ``fail``, what was seen, and what to do."""

    check: str
    status: str
    detail: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return asdict(self)


def diagnose() -> Iterator[Finding]:
    """Yield the finding of every check, the quick ones first."""
    yield from _guarded("python", _python)
    yield from _guarded("packages", _packages)
    yield from _guarded("torch", _torch)
    yield from _guarded("git", _git)
    yield from _guarded("hash seed", _hash_seed)
    try:
        home = find_store()
    except NoStore as error:
        yield Finding("store", WARN, error.message, "make one with: repro init (repro run makes it too)")
        home = None
    except ReproError as error:
        yield Finding("store", FAIL, error.message, error.remedy)
        home = None
    if home is not None:
        yield Finding("store", OK, f"{home.root}" + (f" ({VARIABLE})" if os.environ.get(VARIABLE) else ""))
        for name, check in (
            ("writable", _writable),
            ("disk space", _space),
            ("journal", _journal),
            ("quarantine", _quarantine),
            ("catalog", _catalog),
            ("dagster storage", _dagster_storage),
        ):
            yield from _guarded(name, lambda check=check: check(home))  # type: ignore[misc]
    yield from _guarded("code location", lambda: _code_location(home))


def _guarded(name: str, check: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield check()
    except ReproError as error:
        yield Finding(name, FAIL, error.message, error.remedy)
    except OSError as error:
        named = from_os_error(error, error.filename or name)
        yield Finding(name, FAIL, named.message, named.remedy)
    except Exception as error:  # noqa: BLE001 (whatever stops a check is its finding)
        yield Finding(name, FAIL, f"{type(error).__name__}: {' '.join(str(error).split())}", "mend this first")


def _python() -> Finding:
    from packaging.specifiers import SpecifierSet

    wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    here = ".".join(map(str, sys.version_info[:3]))
    if not SpecifierSet(wanted).contains(here):
        return Finding("python", FAIL, f"Python {here}, needed is {wanted}", "make the environment with another Python")
    return Finding("python", OK, f"Python {here} in {sys.prefix}")


def _packages() -> Finding:
    from packaging.requirements import Requirement

    wrong = []
    needed = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or ()]
    needed = [item for item in needed if item.marker is None or item.marker.evaluate({"extra": ""})]
    for item in needed:
        try:
            version = importlib.metadata.version(item.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{item.name} is not installed")
            continue
        if not item.specifier.contains(version, prereleases=True):
            wrong.append(f"{item.name} {version} is not {item.specifier}")
    if wrong:
        return Finding("packages", FAIL, "; ".join(wrong), "install again with: pip install -c constraints.txt -e .")
    return Finding("packages", OK, f"{len(needed)} packages within their ranges")


def _torch() -> Finding:
    try:
        return Finding("torch", OK, f"torch {importlib.metadata.version('torch')}")
    except importlib.metadata.PackageNotFoundError:
        return Finding("torch", FAIL, "torch is not installed", "pip install -c constraints.txt torch")


def _git() -> Finding:
    if shutil.which("git") is None:
        return Finding("git", WARN, "git is not on PATH, so no commit is recorded", "install git")
    root = project_root()
    inside = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=False
    )
    if inside.returncode != 0 and find_top(root.resolve()) is not None:
        said = " ".join(inside.stderr.split())
        return Finding("git", WARN, f"no commit is recorded: {said}", f"mend it: git -C {shlex.quote(str(root))} fsck")
    if inside.returncode != 0:
        return Finding("git", WARN, f"{root} is in no git repository, so no commit is recorded", "git init")
    return Finding("git", OK, inside.stdout.strip())


def _hash_seed() -> Finding:
    seed, wanted = hash_seed_in_effect(), Mode().hash_seed
    if seed == wanted:
        return Finding("hash seed", OK, f"PYTHONHASHSEED={seed}")
    if seed is None:
        return Finding("hash seed", OK, f"not set in this shell; repro starts executing processes with {wanted}")
    return Finding("hash seed", WARN, f"PYTHONHASHSEED={seed} in this shell; repro runs use {wanted}", "unset it")


def _writable(home: Home) -> Finding:
    home.temporary.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=home.temporary) as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    return Finding("writable", OK, f"{home.root} can be written")


def _space(home: Home) -> Finding:
    free = shutil.disk_usage(home.root).free
    detail = f"{free / (1 << 30):.1f} GiB free"
    return (
        Finding("disk space", OK, detail)
        if free >= LITTLE_SPACE
        else Finding("disk space", WARN, detail, "free some space")
    )


def _journal(home: Home) -> Finding:
    segments = forms(home)
    damages = [item for item in read_journal(home) if isinstance(item, Damage)]
    if damages:
        where = f"{damages[0].segment} at byte {damages[0].offset}"
        return Finding("journal", FAIL, f"{len(damages)} lines are damaged, the first in {where}", "repro store fsck")
    return Finding("journal", OK, f"{len(segments)} segments read")


def _quarantine(home: Home) -> Finding:
    count = sum(1 for _ in home.quarantine.iterdir()) if home.quarantine.is_dir() else 0
    if count:
        return Finding(
            "quarantine",
            WARN,
            f"{count} damaged objects lie in {home.quarantine}",
            "see what they affect: repro store fsck",
        )
    return Finding("quarantine", OK, "no object was found damaged")


def _catalog(home: Home) -> Finding:
    from repro_assets.catalog import queries

    (count,) = queries.rows(home, "SELECT count(*) AS runs FROM runs")
    return Finding("catalog", OK, f"{count['runs']} runs")


def _dagster_storage(home: Home) -> Finding:
    from repro_assets.orchestration.instance import asked

    named = os.environ.get("DAGSTER_HOME")
    if named and Path(named).absolute() != home.dagster.absolute():
        return Finding(
            "dagster storage", WARN, f"DAGSTER_HOME is {named}, not {home.dagster}", "unset it, or serve with: repro ui"
        )
    if not home.dagster.is_dir():
        return Finding("dagster storage", OK, f"{home.dagster} is made by the first run")
    with asked(home) as instance:
        return Finding("dagster storage", OK, f"{instance.get_runs_count()} runs in {home.dagster}")


def _code_location(home: Home | None) -> Finding:
    try:
        module, attribute = code_location()
    except NoDefinitions:
        return Finding("code location", OK, "none (fine where only scripts, commands and notebooks are tracked)")
    path = os.pathsep.join(map(str, source_folders(project_root())))
    program = f"import importlib; getattr(importlib.import_module({module!r}), {attribute!r})"
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project_root(),
        env=environment(home, Mode()) if home is not None else {**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=LOADING_SECONDS,
    )
    if process.returncode != 0:
        said = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Finding("code location", FAIL, f"{module} does not load: {said}", f"python -c 'import {module}'")
    return Finding("code location", OK, f"{module}:{attribute}")
