"""What a model or a state holds beside its registered tensors counts, and what cannot be read is named."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from repro_assets.determinism.fingerprint_differences import diff_fingerprints
from repro_assets.determinism.model_fingerprints import ModelFingerprint, fingerprint_model
from repro_assets.errors import InvalidValue


def said(before: Any, after: Any, **words: Any) -> list[str]:
    one, two = fingerprint_model(before, **words), fingerprint_model(after, **words)
    found = diff_fingerprints(one, two)
    assert (one.digest == two.digest) is (not found)
    # What is compared is what is stored.
    stored = [ModelFingerprint.from_document(json.loads(json.dumps(each.document()))) for each in (one, two)]
    assert diff_fingerprints(*stored) == found
    return [str(each) for each in found]


def optimizer(rate: float, steps: int = 0) -> dict[str, Any]:
    parameter = nn.Parameter(torch.ones(2))
    adam = torch.optim.Adam([parameter], lr=rate)
    for _ in range(steps):
        parameter.grad = torch.ones(2)
        adam.step()
    return adam.state_dict()


def test_the_state_of_an_optimizer_counts_whole() -> None:
    assert said(optimizer(0.1), optimizer(0.1)) == []
    assert said(optimizer(0.1), optimizer(0.2)) == ["value param_groups.0.lr: value was 0.1, is 0.2"]
    moved = said(optimizer(0.1, 1), optimizer(0.1, 2))
    assert "tensor state.0.exp_avg: the content differs" in moved
    assert "tensor state.0.step: element [] differs, and no other" in moved
    nested = {"model": {"weight": torch.zeros(1)}, "scheduler": {"last": 1, "milestones": [1, 2]}, "name": "a"}
    changed = {**nested, "scheduler": {"last": 1, "milestones": [1, 3]}}
    assert said(nested, changed) == ["value scheduler.milestones.1: value was 2, is 3"]
    assert said(nested, {**nested, "more": None}) == ["value more: added"]


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), (None, "None"), ([], {}), (torch.float32, torch.float64),
     (numpy.float32(1), 1.0), (b"a", "a"), (numpy.array(["a"]), numpy.array(["b"])), ("a" * 999, "a" * 998 + "b")],
)  # fmt: skip
def test_values_count_to_the_type_and_the_bit(before: Any, after: Any) -> None:
    assert said({"x": before}, {"x": before}) == []
    assert len(said({"x": before}, {"x": after})) == 1
    # As a state has them that was stored and loaded.
    assert said({"x": (before, 1)}, {"x": [before, 1]}) == []


class Extra(nn.Module):
    def __init__(self, state: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(1, 1)
        self._state = state

    def get_extra_state(self) -> Any:
        return self._state


def test_extra_state_counts_with_the_weights() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one = Extra({"scale": torch.ones(2), "kind": "a"})
    two, three = Extra({"scale": torch.ones(2), "kind": "b"}), Extra({"scale": torch.zeros(2), "kind": "a"})
    two.inner = three.inner = one.inner
    assert said(one, two) == ["value _extra_state.kind: value was 'a', is 'b'"]
    (scale,) = said(one, three)
    assert scale.startswith("value _extra_state.scale: value was torch.float32 [2] xxh3-128:")
    assert said(one, two, weights=False) == []
    assert said(one.state_dict(), two.state_dict()) == ["value _extra_state.kind: value was 'a', is 'b'"]


def attributed(**words: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        module = nn.Identity()
        for name, value in words.items():
            setattr(module, name, value)
        return module

    return make


def layer(activation: Any) -> Callable[[], nn.Module]:
    return lambda: nn.TransformerEncoderLayer(4, 2, 4, activation=activation, device="meta")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            lambda: nn.MultiheadAttention(8, 2, device="meta"),
            lambda: nn.MultiheadAttention(8, 4, device="meta"),
            ["module (the model): head_dim was 4, is 2", "module (the model): num_heads was 2, is 4"],
        ),
        (
            layer(nn.functional.silu),
            layer(nn.functional.mish),
            ["module (the model): activation was torch.nn.functional.silu, is torch.nn.functional.mish"],
        ),
        (attributed(rate=0.1), attributed(rate=0.2), ["module (the model): rate was 0.1, is 0.2"]),
        (attributed(names=["a"]), attributed(names=["b"]), ["module (the model): names was ['a'], is ['b']"]),
        (
            attributed(call=functools.partial(max, key=abs)),
            attributed(call=functools.partial(min, key=abs)),
            ["module (the model): call was partial([builtins.max, [], {'key': builtins.abs}]), "
             "is partial([builtins.min, [], {'key': builtins.abs}])"],
        ),
        (attributed(_private=1), attributed(_private=2), []),
        (lambda: nn.Identity().train(), lambda: nn.Identity().eval(), []),
    ],
)  # fmt: skip
def test_public_attributes_are_part_of_the_architecture(
    before: Callable[[], nn.Module], after: Callable[[], nn.Module], expected: list[str]
) -> None:
    assert said(before(), before(), weights=False) == []
    assert said(before(), after(), weights=False) == expected


def test_a_plain_tensor_of_a_module_counts_as_a_weight() -> None:
    one, two = attributed(scale=torch.zeros(3))(), attributed(scale=torch.tensor([0.0, 0.0, 1.0]))()
    assert said(one, two) == ["attribute scale: element [2] differs, and no other"]
    assert said(one, two, weights=False) == []
    assert said(one, attributed(scale=torch.zeros(4))(), weights=False) == ["attribute scale: shape was [3], is [4]"]
    assert said(attributed(held=[torch.zeros(1)])(), attributed(held=[torch.ones(1)])()) == [
        "attribute held.0: element [0] differs, and no other"
    ]
    assert fingerprint_model(one).architecture["counts"]["parameters"] == 0


def test_what_cannot_be_read_is_named() -> None:
    found = fingerprint_model(attributed(held=object(), call=lambda: 0, kept=1)())
    (module,) = found.architecture["modules"].values()
    assert module["unread"] == {
        "call": "function test_determinism_model_values.test_what_cannot_be_read_is_named.<locals>.<lambda>",
        "held": "builtins.object",
    }
    assert module["attributes"] == {"kept": "1"}
    assert "  held: not read (builtins.object)" in found.text().splitlines()
    state = fingerprint_model({"a": object(), "b": 1})
    assert state.values == {"read": {"b": "1"}, "unread": {"a": "builtins.object"}}
    assert said({"a": object()}, {"a": 1}) == ["value a: added", "not read: a: removed"]


def test_what_holds_itself_or_has_no_shape_is_refused() -> None:
    state: dict[str, Any] = {}
    state["self"] = state
    with pytest.raises(InvalidValue, match="hold itself"):
        fingerprint_model(state)
    with pytest.raises(InvalidValue, match="has no shape yet"):
        fingerprint_model(nn.LazyLinear(3))
    with pytest.raises(InvalidValue, match=r"two values named 'a\.b'"):
        fingerprint_model({"a.b": 1, "a": {"b": 2}})


def test_digests_are_equal_in_every_process() -> None:
    program = (
        "import torch\n"
        "from repro_assets.determinism.model_fingerprints import fingerprint_model\n"
        "model = torch.nn.TransformerEncoderLayer(4, 2, 4, activation=torch.nn.functional.silu, device='meta')\n"
        "model.names = {'a', 'b', 'c'}\n"
        "print(fingerprint_model(model, weights=False).digest)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
