"""What a person wrote of a thing is what the parameter or the setting of that name says, and nothing else."""

from __future__ import annotations

from repro_assets.cards.said import said


def test_a_parameter_comes_before_a_setting_and_the_first_name_before_the_next() -> None:
    run = {"params": {"license": "MIT", "cite_as": "late"}, "config": {"license": "GPL", "citation": "early", "n": 1}}
    assert said(run, "license") == "MIT"
    assert said(run, "citation", "cite_as") == "late"
    assert said({**run, "params": {}}, "citation", "cite_as") == "early"


def test_what_is_no_text_says_nothing() -> None:
    run = {"params": {"license": None, "task": ["a"], "url": " "}, "config": None}
    assert [said(run, name) for name in ("license", "task", "url", "approach")] == [None] * 4
    assert said(None, "license") is None
