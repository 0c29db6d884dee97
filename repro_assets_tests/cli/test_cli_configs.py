"""The example files say what their commands know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repro_assets.cli.evaluate import EvaluateWords
from repro_assets.cli.filter import TYPES, FilterWords
from repro_assets.cli.generate import GenerateWords
from repro_assets.cli.run_options import read_words
from repro_assets.training import filter_file
from repro_assets.training.evaluation import EvaluationConfig
from repro_assets.training.synthetic import NOISE, SyntheticConfig, checked
from repro_assets.training.trace_files import FORMATS

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    ("name", "words", "recipe"),
    [("evaluate", EvaluateWords, EvaluationConfig), ("filter", FilterWords, filter_file.FilterFileConfig)],
)
def test_each_example_reads_and_its_settings_are_the_recipes(name, words, recipe):
    said = read_words(CONFIGS / f"{name}.yaml", words, f"repro {name}")
    assert said.set and recipe(**said.set)
    benchmarks = getattr(said, "benchmark", [])
    assert EvaluationConfig(benchmarks=benchmarks).benchmarks == benchmarks
    assert f"repro {name} --config configs/{name}.yaml" in (CONFIGS / f"{name}.yaml").read_text()


def test_the_example_of_generate_gives_the_defaults():
    said = read_words(CONFIGS / "generate.yaml", GenerateWords, "repro generate")
    assert checked(str(said.problem), said.parameters()) == SyntheticConfig(problem="spirals", noise=NOISE["spirals"])
    assert "repro generate --config configs/generate.yaml" in (CONFIGS / "generate.yaml").read_text()


def test_the_command_knows_the_types_and_formats_of_the_recipe():
    assert TYPES == filter_file.TYPES
    remedy = re.escape(", ".join(FORMATS))
    with pytest.raises(ValueError, match=remedy):
        filter_file.FilterFileConfig(file_format="json")
