"""The packages of an environment in a bundle: exactly those on record, from wherever pip gets them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from repro_assets.artifacts import repository
from repro_assets.interchange.bundle import export_bundle
from repro_assets.interchange.importing import import_bundle
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store

PACKAGES = [
    {"name": "one", "version": "1.0"},
    {"name": "absent", "version": "9.9"},
    {"name": "mine", "version": "0.1", "editable": True},
    {"name": "--index-url=http://evil", "version": "1"},
]


def wheel(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        info = f"{name}-{version}.dist-info"
        for path, text in {
            f"{name}.py": f"VALUE = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }.items():
            file.writestr(zipfile.ZipInfo(path), text)


def test_recorded_packages_travel_and_what_could_not_be_had_is_named(
    tmp_path: Path, empty: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for number in ("1.0", "2.0"):
        wheel(tmp_path / "index", "one", number)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    home = make_store(tmp_path / "store")
    document = {"packages": PACKAGES, "host": {"name": "sturdy-host"}}
    environment = repository.put(home, document, name="environment")
    begin(home, RunStarted("runs000011111111", "script", "runs", environment=str(environment.digest))).end()
    known = []
    for anonymous in (False, True):
        path = tmp_path / f"{anonymous}.repro"
        done = export_bundle(home, ["runs000011111111"], [], path, with_environment=True, anonymous=anonymous)
        assert done.wheels == 1
        assert {lack["name"] for lack in done.missing} == {"absent", "mine", "--index-url=http://evil"}
        came = import_bundle(empty, path)
        (wheels,) = came.wheels
        assert (wheels["environment"] == str(environment.digest)) is not anonymous
        assert wheels["name"].startswith("wheels-") and wheels["name"] in came.versions
        assert len(wheels["missing"]) == 3
        artifact = repository.by_name(empty, wheels["name"])
        assert artifact is not None and artifact.lay_out(tmp_path / f"laid-{anonymous}") == 1
        (laid,) = (tmp_path / f"laid-{anonymous}").iterdir()
        assert laid.read_bytes() == (tmp_path / "index" / "one-1.0-py3-none-any.whl").read_bytes()
        assert laid.name == "one-1.0-py3-none-any.whl"
        again = import_bundle(empty, path)
        assert again.versions == [] and again.records == 0 and again.wheels == came.wheels
        known.append(artifact.digest)
    assert known[0] == known[1]
