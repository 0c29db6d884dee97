"""Variables that are set in a scope are as they were after it, whatever happened in it."""

from __future__ import annotations

import os

import pytest

from repro_assets.determinism.process_variables import variables_set


def test_each_is_left_as_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_BEFORE", "before")
    monkeypatch.delenv("NOT_SET_BEFORE", raising=False)
    with pytest.raises(ZeroDivisionError), variables_set({"SET_BEFORE": "within", "NOT_SET_BEFORE": "within"}):
        assert (os.environ["SET_BEFORE"], os.environ["NOT_SET_BEFORE"]) == ("within", "within")
        del os.environ["SET_BEFORE"]
        raise ZeroDivisionError
    assert os.environ["SET_BEFORE"] == "before"
    assert "NOT_SET_BEFORE" not in os.environ
