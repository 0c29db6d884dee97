"""torch is seeded when it is imported, to the bits that it would have had; nothing imports it for its seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro_assets.determinism.seeds import Seeds

ROOT = Path(__file__).parents[2]
DRAWN = """
import json, sys
from repro_assets.determinism.global_rng import seed_globals, seeded_globals
from repro_assets.determinism.seeds import Seeds
said = {}
IMPORTED = "import torch; said['drawn'] = torch.rand(3).tolist()"
BODY
print(json.dumps(said))
"""


def _said(body: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRAWN.replace("BODY", body)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def seeded() -> list[float]:
    """What torch draws on the CPU from the root 7, whatever seeds it."""
    import torch

    generator = torch.Generator().manual_seed(Seeds(7).derive("global/torch"))
    drawn: list[float] = torch.rand(3, generator=generator).tolist()
    return drawn


def test_a_script_that_imported_torch_before_draws_what_it_always_drew(seeded: list[float]) -> None:
    assert _said("import torch\nwith seeded_globals(Seeds(7)): exec(IMPORTED)")["drawn"] == seeded


def test_torch_is_not_imported_for_its_seed_and_seeded_when_it_is(seeded: list[float]) -> None:
    said = _said(
        "with seeded_globals(Seeds(7)):\n"
        "    said['there'] = 'torch' in sys.modules\n"
        "    exec(IMPORTED)\n"
        "said['after'] = torch.initial_seed()\n"
        "said['left'] = [str(type(item)) for item in sys.meta_path if 'repro' in str(type(item))]"
    )
    assert said["there"] is False
    assert said["drawn"] == seeded
    # After the scope the generator is that of a torch that was just imported, of which nobody knows the seed.
    assert said["after"] != Seeds(7).derive("global/torch")
    assert said["left"] == []


def test_the_innermost_seed_counts_and_the_outer_one_goes_on(seeded: list[float]) -> None:
    said = _said(
        "with seeded_globals(Seeds(7)):\n"
        "    with seeded_globals(Seeds(8)):\n"
        "        exec(IMPORTED)\n"
        "    said['outer'] = torch.rand(3).tolist()"
    )
    assert said["outer"] == seeded != said["drawn"]


def test_a_seed_for_good_waits_too(seeded: list[float]) -> None:
    assert _said("seed_globals(Seeds(7))\nexec(IMPORTED)")["drawn"] == seeded
    # A scope that was over before torch was imported has left nothing behind.
    said = _said(
        "with seeded_globals(Seeds(7)): said['left'] = None\n"
        "exec(IMPORTED)\n"
        "said['left'] = [str(type(item)) for item in sys.meta_path if 'repro' in str(type(item))]"
    )
    assert said["drawn"] != seeded
    assert said["left"] == []
