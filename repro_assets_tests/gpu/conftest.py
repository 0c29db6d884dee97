"""Tests on a GPU need pytest, torch, numpy, xxhash, psutil and pynvml, and nothing else.

Where only these are installed: ``python -m pytest -c /dev/null --rootdir=. repro_assets_tests/gpu``, because the
project's own settings ask for plugins.
"""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
