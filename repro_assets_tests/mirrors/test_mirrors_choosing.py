"""Mirrors by the words of a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from repro_assets.errors import InvalidValue
from repro_assets.mirrors.choosing import mirror_named
from repro_assets.mirrors.mirror import Mirror

CREDENTIALS = ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever started the tests has no credentials here."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "tensorboard",
        "tensorboard:logs",
        "mlflow",
        "mlflow:http://host:5000",
        "mlflow:sqlite:///x.db",
        "wandb",
        "wandb:offline",
    ],
)
def test_each_has_a_name(text: str) -> None:
    mirror: Mirror = mirror_named(text)
    assert mirror.name == text.partition(":")[0]


@pytest.mark.parametrize("text", ["", "comet", "TensorBoard", "mlflow:", "tensorboard:", "wandb:"])
def test_another_is_no_mirror(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"is not a mirror .*one of tensorboard\[:FOLDER\], mlflow\[:URI\], wandb"):
        mirror_named(text)


def test_another_mode_of_wandb_is_none() -> None:
    with pytest.raises(InvalidValue, match="W&B has no mode 'shared'"):
        mirror_named("wandb:shared")


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_what_is_missing_is_said_with_what_installs_it(name: str, tmp_path: Path) -> None:
    """In a Python that has none of them, beside a folder of the tool's name, which is no package."""
    (tmp_path / name).mkdir()
    hide = f"""
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            from importlib.machinery import PathFinder
            return PathFinder.find_spec(name, [{str(tmp_path)!r}])
sys.meta_path.insert(0, Hidden())
from repro_assets.errors import InvalidValue
from repro_assets.mirrors.choosing import mirror_named
try:
    mirror_named({name!r})
except InvalidValue as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{name} is not installed (pip install 'repro-assets[{name}]')"


def test_online_needs_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"no credentials for W&B at api\.wandb\.ai .*WANDB_API_KEY"):
        mirror_named("wandb:online")
    (tmp_path / ".netrc").write_text("machine elsewhere login user password " + "0" * 40 + "\n")
    with pytest.raises(InvalidValue, match="no credentials"):
        mirror_named("wandb:online")
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password " + "0" * 40 + "\n")
    assert mirror_named("wandb:online").name == "wandb"
    (tmp_path / ".netrc").write_text("machine\n")
    with pytest.raises(InvalidValue, match=r"\.netrc does not read"):
        mirror_named("wandb:online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert mirror_named("wandb:online").name == "wandb"


def test_choosing_loads_no_tool() -> None:
    said = """
import sys
from repro_assets.mirrors.choosing import mirror_named
from repro_assets.mirrors.mirroring import Mirroring
for text in ("tensorboard", "mlflow", "wandb"):
    mirror_named(text)
print(sorted({"tensorboard", "mlflow", "wandb", "requests", "torch", "pandas", "numpy", "PIL"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_run_goes_on_while_a_mirror_imports_its_tool() -> None:
    """A module is known to Python before it has its classes; a mirror's thread is importing it meanwhile."""
    said = """
import sys
from types import ModuleType
for name in ("numpy", "pandas", "pyarrow", "pydantic", "opentelemetry", "opentelemetry.trace"):
    sys.modules[name] = ModuleType(name)
from repro_assets.artifacts.kinds import kind_of
from repro_assets.recording.tracing import current_trace_id
from repro_assets.tracking.configuration import plain_argument
print(kind_of({"a": [1, 2.0]}), current_trace_id(), plain_argument({"a": 1}))
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "json None {'a': 1}", done.stderr
