"""What is said to differ when a run goes on from another, and whose work it then is."""

from __future__ import annotations

from typing import Any

from repro_assets.artifacts import repository
from repro_assets.journal.run_records import RunInput, RunResumed, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording import continuation, resumption
from repro_assets.recording.lifetime import begin
from repro_assets.recording.resumption import Checkpoint
from repro_assets.recording.reuse import reuse_key
from repro_assets.store.home import Home

WORK: dict[str, Any] = {
    "recipe": "training:train",
    "code": {"version": "sha256:1", "distributions": {"numpy": "2.1.0"}},
    "config": {"rate": 0.5, "steps": 6, "sizes": (1, 2)},
    "seed": 3,
    "mode": {"threads": 1},
    "settings": {"torch": {"threads": 1, "version": "2.13.0"}},
    "partition": None,
    "inputs": {"traces": "sha256:2"},
}
ENVIRONMENT: dict[str, Any] = {
    "level": "standard",
    "packages": [{"name": "numpy", "version": "2.1.0"}],
    "python": {"version": "3.11.9", "implementation": "CPython"},
    "variables": {"LANG": "C"},
    "unavailable": {},
}


def started(home: Home, run_id: str, work: dict[str, Any], key: Any, **more: Any) -> Checkpoint:
    """A run of this work with a checkpoint, which is returned."""
    given = {name: work[name] for name in ("recipe", "config", "seed", "mode", "settings", "partition")}
    run = begin(
        home,
        RunStarted(
            run_id,
            "asset",
            f"name-{run_id}",
            asset="models/sft",
            code_version=work["code"]["version"],
            reuse_key=str(key),
            environment=str(repository.put(home, ENVIRONMENT, "json").digest),
            plan={"arguments": {**work["inputs"], **more}},
            **given,
        ),
    )
    run.checkpoint("step", 2, {"of": run_id}, step=2)
    run.end("FAILED")
    return resumption.find(home, run_id)


def said(home: Home, checkpoint: Checkpoint, environment: dict[str, Any] = ENVIRONMENT, **changed: Any) -> list[str]:
    return continuation.differences(home, {**WORK, **changed}, checkpoint, environment)


def test_nothing_is_said_where_nothing_differs_and_it_is_the_same_work(home: Home) -> None:
    checkpoint = started(home, "a" * 16, WORK, reuse_key(**WORK), resume="sha256:9")
    assert said(home, checkpoint) == []
    assert continuation.key_of(home, WORK, checkpoint) == reuse_key(**WORK)


def test_each_difference_is_a_line_and_makes_it_other_work(home: Home) -> None:
    checkpoint = started(home, "a" * 16, WORK, reuse_key(**WORK))
    changes: list[tuple[dict[str, Any], str]] = [
        ({"recipe": "training:other"}, "the recipe was training:train and is training:other"),
        ({"code": {"version": "sha256:9"}}, "the code version was sha256:1 and is sha256:9"),
        ({"config": {"rate": 0.25, "steps": 6, "sizes": (1, 2)}}, "the config rate was 0.5 and is 0.25"),
        ({"config": {"rate": 0.5, "sizes": (1, 2)}}, "the config steps was 6 and is None"),
        ({"seed": 4}, "the seed was 3 and is 4"),
        ({"partition": "p"}, "the partition was None and is p"),
        ({"mode": {"threads": 2}}, "the mode threads was 1 and is 2"),
        ({"settings": {"torch": {"threads": 2, "version": "2.13.0"}}}, "the setting torch.threads was 1 and is 2"),
        ({"inputs": {"traces": "sha256:3"}}, "the input traces was sha256:2 and is sha256:3"),
    ]
    for changed, line in changes:
        assert said(home, checkpoint, **changed) == [line]
        key = continuation.key_of(home, {**WORK, **changed}, checkpoint)
        assert key == reuse_key(**{**WORK, **changed}, resume=str(checkpoint.artifact.digest))
        assert key != reuse_key(**{**WORK, **changed})


def test_the_environment_is_compared_and_a_long_list_says_where_the_rest_is(home: Home) -> None:
    checkpoint = started(home, "a" * 16, WORK, reuse_key(**WORK))
    another = {**ENVIRONMENT, "packages": [{"name": "numpy", "version": "2.2.0"}]}
    assert said(home, checkpoint, another) == ["the environment is another: numpy 2.1.0 -> 2.2.0"]
    many = {**ENVIRONMENT, "packages": [{"name": f"p{number}", "version": "1"} for number in range(20)]}
    (line,) = said(home, checkpoint, many)
    assert line.endswith(f" and 11 more (repro env diff {'a' * 16} current)")


def test_a_distribution_alone_makes_it_other_work_and_is_said(home: Home) -> None:
    checkpoint = started(home, "a" * 16, WORK, reuse_key(**WORK))
    (line,) = said(home, checkpoint, code={"version": "sha256:1", "distributions": {"numpy": "2.2.0"}})
    assert "reuse key" in line


def test_going_on_from_changed_work_unchanged_is_that_work(home: Home) -> None:
    first = started(home, "a" * 16, WORK, reuse_key(**WORK))
    changed = {**WORK, "seed": 9}
    key = continuation.key_of(home, changed, first)
    second = started(home, "b" * 16, changed, key)
    digest = str(first.artifact.digest)
    journal_at(home.journal).append(RunResumed("b" * 16, "a" * 16, first.name, digest, first.step))
    assert continuation.key_of(home, changed, second) == key
    assert said(home, second, seed=9) == []
    # Back to the first work it is neither one's.
    assert continuation.key_of(home, WORK, second) not in (key, reuse_key(**WORK))


def test_the_checkpoint_is_an_input_and_the_run_says_what_it_goes_on_from(home: Home, records_of: Any) -> None:
    checkpoint = started(home, "a" * 16, WORK, reuse_key(**WORK))
    run = begin(home, RunStarted("b" * 16, "asset", "second"))
    continuation.record(run, checkpoint, chosen=True)
    run.end()
    (given,) = records_of(RunInput)
    assert (given.slot, given.made_by, given.pinned) == ("resume", "a" * 16, True)
    (resumed,) = records_of(RunResumed)
    assert (resumed.run_id, resumed.resumed_run_id, resumed.step) == ("b" * 16, "a" * 16, 2)
    found = resumption.recorded(home, "b" * 16)
    assert found is not None and (str(found), found.artifact) == (str(checkpoint), checkpoint.artifact)
    assert resumption.recorded(home, "a" * 16) is None


def test_a_checkpoint_of_which_the_run_is_unknown_says_so(home: Home) -> None:
    artifact = repository.put(home, {"step": 1})
    (line,) = said(home, Checkpoint("f" * 16, "checkpoint_step_1", artifact, 1, None, None))
    assert "nothing is known of run" in line
