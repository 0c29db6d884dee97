"""What a batch puts is prepared in amounts that fit into memory."""

from __future__ import annotations

import pytest

from repro_assets.store import staging
from repro_assets.store.staging import Part, groups, windows


def test_a_window_holds_no_more_than_fits_but_always_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "WINDOW", 10)
    parts = [Part(bytes(size)) for size in (4, 6, 1, 30, 2)]
    assert [[len(part.data) for part in window] for window in windows(parts)] == [[4, 6], [1], [30], [2]]


def test_a_group_is_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_GROUP_FILES", 3)
    monkeypatch.setattr(staging, "_GROUP_BYTES", 10)
    files = [(number, str(number), size) for number, size in enumerate([1, 1, 1, 1, 9, 1, 20])]
    assert [[number for number, _ in group] for group in groups(files)] == [[0, 1, 2], [3, 4], [5], [6]]
