"""Whatever the instant at which a training is killed, what continues it makes the same product."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fault_training import RECIPES, Trainings, instants, newest_checkpoint

from repro_assets.artifacts.soundness import check_store

INSTANTS = 20


@cache
def undisturbed(recipe: str, start: str) -> tuple[str, float]:
    """Digest of the product of a training that nothing disturbs, and the seconds that it takes."""
    with TemporaryDirectory() as folder:
        digest, step, seconds = Trainings(Path(folder), recipe, start).finish()
    assert step is None
    return digest, seconds


@pytest.mark.parametrize("recipe", ["sft, best and few"])
def test_a_training_that_is_killed_three_times_makes_what_it_would_have_made(tmp_path, recipe):
    whole, seconds = undisturbed(recipe, "fork")
    trainings = Trainings(tmp_path, recipe, "fork")
    # Each goes on where the one before was killed, so none takes as long as the whole.
    resumed = [trainings.kill_after(instant / 2)[0] for instant in instants(recipe, 3, seconds)]
    digest, step, _ = trainings.finish()
    assert digest == whole
    assert step is not None
    assert [start or 0 for start in (*resumed, step)] == sorted(start or 0 for start in (*resumed, step))


@pytest.mark.soak
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("number", range(INSTANTS))
def test_a_training_that_is_killed_at_a_random_instant_makes_what_it_would_have_made(tmp_path, recipe, number):
    whole, seconds = undisturbed(recipe, "forkserver")
    instant, killed = instants(recipe, INSTANTS, seconds)[number], False
    while not killed:
        trainings = Trainings(tmp_path / f"{instant:.6f}", recipe, "forkserver")
        _, killed = trainings.kill_after(instant)
        # It was quicker than the one that was measured.
        instant /= 2
    found = check_store(trainings.home, full=True)
    assert found.ok, found
    digest, step, _ = trainings.finish()
    assert digest == whole
    print(f"resumed from {step}; newest {newest_checkpoint(trainings.home)}")
