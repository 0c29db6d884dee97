"""A code version changes exactly when code that decides the bits does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from repro_assets.capture import code_version as subject
from repro_assets.capture.code_version import NOT_INSTALLED, CodeVersion, code_version
from repro_assets.errors import InvalidInput, UnknownName

SOURCES = {
    "demo/__init__.py": "",
    "demo/recipe.py": """
        '''Recipe.'''
        from typing import TYPE_CHECKING
        import numpy as np
        from demo import maths
        from .parts import loss
        if TYPE_CHECKING:
            import pandas
            from demo import only_typed
        def fit(x):
            '''Fit.'''
            from demo.lazy import late
            import yaml
            return maths.f(x) + 1
        """,
    "demo/maths.py": "from demo.deep.leaf import g\ndef f(x):\n    return g(x) * 2\n",
    "demo/deep/__init__.py": "SCALE = 3\n",
    "demo/deep/leaf.py": "def g(x):\n    return x\n",
    "demo/parts.py": "loss = 1\n",
    "demo/lazy.py": "late = 1\n",
    "demo/only_typed.py": "t = 1\n",
    "demo/unrelated.py": "u = 1\n",
    "table.csv": "1,2\n",
}
Edit = Callable[[str, str], CodeVersion]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        lines = text.split("\n")
        indent = "        " if lines[0] == "" else ""
        (tmp_path / name).write_text("\n".join(line.removeprefix(indent) for line in lines))
    return tmp_path


def version(root: Path, module: str = "demo.recipe") -> CodeVersion:
    return code_version(module, root=root, data_files=["table.csv"])


def replaced(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


def test_all_that_is_imported_counts_and_nothing_else(root: Path) -> None:
    assert list(version(root).modules) == [
        "demo",
        "demo.deep",
        "demo.deep.leaf",
        "demo.lazy",
        "demo.maths",
        "demo.parts",
        "demo.recipe",
    ]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("demo/recipe.py", "'''Fit.'''", "'''Fit\n    something.'''"),
        ("demo/recipe.py", "'''Recipe.'''", "# no docstring"),
        ("demo/recipe.py", "maths.f(x) + 1", "(  maths . f( x )\n      + 1)  # because"),
        ("demo/maths.py", "from demo", "\n\n\nfrom demo"),
        ("demo/unrelated.py", "u = 1", "u = 2"),
        ("demo/only_typed.py", "t = 1", "t = 2"),
    ],
)
def test_form_and_unrelated_code_do_not_change_it(root: Path, name: str, old: str, new: str) -> None:
    before = version(root)
    replaced(root, name, old, new)
    assert version(root) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("demo/recipe.py", "+ 1", "+ 2"),
        ("demo/recipe.py", "+ 1", "+ 1.0"),
        ("demo/recipe.py", "+ 1", "+ True"),
        ("demo/recipe.py", "+ 1", "- 1"),
        ("demo/recipe.py", "def fit(x)", "def fit(x=None)"),
        ("demo/recipe.py", "import pandas", "import pandas as pd"),
        ("demo/deep/leaf.py", "return x", "return x, None"),
        ("demo/deep/__init__.py", "3", "4"),
        ("demo/deep/__init__.py", "3", "'3'"),
        ("demo/__init__.py", "", "import os\n"),
        ("demo/lazy.py", "1", "2"),
        ("demo/parts.py", "loss", "lost"),
        ("table.csv", "1,2", "1,3"),
    ],
)
def test_any_change_of_code_or_data_changes_it(root: Path, name: str, old: str, new: str) -> None:
    before = version(root).value
    replaced(root, name, old, new)
    assert version(root).value != before


def test_code_cannot_move_between_statements_unnoticed(root: Path) -> None:
    (root / "demo/parts.py").write_text("if a:\n    b\nc\n")
    before = version(root).value
    (root / "demo/parts.py").write_text("if a:\n    b\n    c\n")
    assert version(root).value != before


def test_it_does_not_depend_on_where_the_tree_lies(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = version(root)
    moved = root.rename(tmp_path_factory.mktemp("elsewhere") / "tree")
    assert version(moved) == before


def test_a_module_in_src_and_a_cycle_are_followed(root: Path) -> None:
    before = version(root).modules
    (root / "demo/parts.py").write_text("import demo.recipe\nloss = 1\n")
    assert set(version(root).modules) == set(before)
    (root / "src").mkdir()
    (root / "demo").rename(root / "src/demo")
    assert set(version(root).modules) == set(before)


def test_a_star_import_takes_the_submodules_that_are_exported(root: Path) -> None:
    (root / "demo/parts.py").write_text("from demo.deep import *\n")
    (root / "demo/deep/__init__.py").write_text("__all__ = ['other', 'SCALE']\nSCALE = 1\n")
    (root / "demo/deep/other.py").write_text("")
    assert "demo.deep.other" in version(root).modules


def test_a_literal_import_module_is_followed(root: Path) -> None:
    (root / "demo/parts.py").write_text("import importlib\nloss = importlib.import_module('demo.unrelated')\n")
    assert "demo.unrelated" in version(root).modules


def test_distributions_are_those_that_the_modules_import(root: Path) -> None:
    import numpy
    import yaml

    (root / "demo/parts.py").write_text("try:\n    import no_such_library.x\nexcept ImportError:\n    loss = 1\n")
    distributions = version(root).distributions
    assert distributions["numpy"] == numpy.__version__
    assert distributions["PyYAML"] == yaml.__version__
    assert distributions["no_such_library"] == NOT_INSTALLED
    assert "torch" in distributions
    assert "pandas" not in distributions


def test_it_stops_where_only_the_record_changes() -> None:
    modules = code_version("repro_assets.training.sft").modules
    assert "repro_assets.training.sft" in modules
    assert not [name for name in modules if name.startswith(subject.STOPS)]


def test_what_is_asked_for_by_name_is_taken_even_if_it_is_a_stop() -> None:
    modules = code_version("repro_assets.capture.level").modules
    assert {"repro_assets.capture.level", "repro_assets.errors"} <= set(modules)
    assert "repro_assets.capture.source" not in modules


def test_an_unknown_module_and_a_broken_file_are_errors(root: Path) -> None:
    with pytest.raises(UnknownName, match=r"demo\.nothing"):
        version(root, "demo.nothing")
    (root / "demo/parts.py").write_text("def (:\n")
    with pytest.raises(InvalidInput, match=r"parts\.py, line 1"):
        version(root)
    with pytest.raises(InvalidInput):
        code_version()
    with pytest.raises(InvalidInput, match="no_such"):
        code_version("demo.deep", root=root, data_files=["no_such.csv"])


def test_a_kept_analysis_is_used_and_a_damaged_one_is_made_again(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    (root / "demo/parts.py").write_text("loss = 12345\n")
    subject._analyses.clear()
    first = code_version("demo.recipe", root=root, cache=cache)
    kept = sorted(cache.iterdir())
    assert kept
    subject._analyses.clear()
    assert code_version("demo.recipe", root=root, cache=cache) == first
    for file in kept:
        file.write_text("{")
    subject._analyses.clear()
    assert code_version("demo.recipe", root=root, cache=cache) == first


def test_a_cache_that_cannot_be_written_costs_only_time(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("cache") / "file"
    file.write_text("")
    (root / "demo/parts.py").write_text("loss = 54321\n")
    subject._analyses.clear()
    assert code_version("demo.recipe", root=root, cache=file / "code") == code_version("demo.recipe", root=root)


def test_a_deep_expression_and_a_huge_number_are_digested(root: Path) -> None:
    (root / "demo/parts.py").write_text("loss = " + "+".join(["1"] * 900) + f"\nbig = 0x{'f' * 9000}\n")
    before = version(root).value
    (root / "demo/parts.py").write_text("loss = " + "+".join(["1"] * 900) + f"\nbig = 0x{'f' * 8999}e\n")
    assert version(root).value != before


def test_no_module_is_imported() -> None:
    program = (
        "import sys\nfrom repro_assets.capture.code_version import code_version\n"
        "code_version('repro_assets.training.sft')\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'repro_assets.training') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


LAZY = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from demo.unrelated import u
    from demo.only_typed import t
def __getattr__(name):
    raise NotImplementedError
"""


@pytest.mark.parametrize(
    ("statement", "taken"),
    [
        ("from demo import u", {"demo.unrelated"}),
        ("from demo import u, t", {"demo.unrelated", "demo.only_typed"}),
        ("import demo", {"demo.unrelated", "demo.only_typed"}),
        ("import demo.parts", set()),
        ("from demo import parts", set()),
    ],
)
def test_a_name_that_a_package_loads_when_asked_counts_with_its_module(
    root: Path, statement: str, taken: set[str]
) -> None:
    (root / "demo" / "__init__.py").write_text(LAZY)
    (root / "demo" / "user.py").write_text(f"{statement}\n")
    for _ in range(2):  # analysed, then from the cache
        found = code_version("demo.user", root=root, cache=root / "cache")
        assert set(found.modules) - {"demo", "demo.user", "demo.parts"} == taken
        subject._analyses.clear()
