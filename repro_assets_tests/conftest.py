from __future__ import annotations

import os
import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever starts the tests in the background ignores it, and every process that they start would as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_inherited_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never reaches a store that it did not make itself."""
    for name in ("REPRO_HOME", "DAGSTER_HOME"):
        if name in os.environ:
            monkeypatch.delenv(name)
