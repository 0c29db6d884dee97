"""A record is data: what it names is never run, and never taken for an option."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from restorable import ONE, record

from repro_assets.errors import InvalidInput
from repro_assets.replay.installing import Installer
from repro_assets.replay.programs import Ended
from repro_assets.replay.restoring import restore_environment


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What pip would have been asked; it is asked nothing."""
    found: list[list[str]] = []

    def installing(self: Installer, words: list[str], total: int = 0) -> Ended:
        found.append(list(words))
        return Ended(0, "")

    monkeypatch.setattr(Installer, "_find_pip", lambda self: ([], False))
    monkeypatch.setattr(Installer, "_run", installing)
    return found


def test_a_variable_that_no_shell_can_set_is_named_and_never_run(asked: list[list[str]], tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    variables = {f"A B;touch {touched}": "1", "TZ": f"$(touch {touched})", "D.E": "2", "LANG": "nul\0"}
    restored = restore_environment(record(ONE, variables=variables), tmp_path / "env")
    unset = {f"variables.A B;touch {touched}", "variables.D.E", "variables.LANG"}
    assert {each.name for each in restored.missing} == unset
    assert {each.name for each in restored.differences.removed if each.part == "setting"} == unset
    ran = subprocess.run(["sh", "-c", f"{restored.command} && echo $TZ"], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"$(touch {touched})" and not ran.stderr
    assert not touched.exists()


@pytest.mark.parametrize(
    "package",
    [
        {"name": "--target=elsewhere", "version": "1.0"},
        {"name": "one", "version": "1.0 --target=elsewhere"},
        {"name": "one", "version": "1.*"},
        {"name": "./one", "version": "1.0"},
        {"name": "one", "version": "1.0", "origin": "--target=elsewhere"},
        {"name": "one", "version": "1.0", "origin": "-r/etc/passwd"},
        {"name": "one", "version": "1.0", "origin": "git+ext::sh -c touch% x"},
        {"name": "one", "version": "1.0", "origin": "git+ssh://-oProxyCommand=touch/x@1"},
        {"name": "one", "version": "1.0", "origin": "git+file:///x@--upload-pack=touch"},
    ],
)
def test_what_is_no_package_never_reaches_pip(package: dict[str, Any], asked: list[list[str]], tmp_path: Path) -> None:
    (missing,) = Installer(tmp_path / "python", 60).install([package])
    assert asked == [] and "the record's" in missing.reason


def test_variables_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="variables"):
        restore_environment(record(ONE, variables=["A=1"]), tmp_path / "env")
    assert not (tmp_path / "env").exists()
