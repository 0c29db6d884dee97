"""Tensors: every element, dtype and shape counts; nesting, sharing and types come back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds import kind_of, tensors
from repro_assets.errors import InvalidValue
from repro_assets.identity.digest import Digest
from repro_assets.store.home import Home, make_store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_store(tmp_path / "store")


def digest(home: Home, value: Any) -> Digest:
    return repository.put(home, value, "tensors").digest


def as_bits(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert as_bits(one) == as_bits(other)
    elif isinstance(one, numpy.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, dict):
        assert set(one) == set(other)
        assert {type(key) for key in one} == {type(key) for key in other}
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for item, counterpart in zip(one, other, strict=True):
            assert_same(item, counterpart)
    else:
        assert one == other or (math.isnan(one) and math.isnan(other))


@pytest.mark.parametrize(
    "name",
    [
        "bfloat16",
        "float16",
        "float32",
        "float64",
        "complex32",
        "complex64",
        "complex128",
        "float8_e4m3fn",
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint16",
        "uint64",
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (2, 3)])
def test_a_tensor_comes_back_bit_by_bit(home: Home, name: str, shape: tuple[int, ...]) -> None:
    dtype = getattr(torch, name)
    size = math.prod(shape) * dtype.itemsize
    raw = torch.arange(size, dtype=torch.uint8)
    raw = raw % 2 if dtype == torch.bool else raw
    value = raw.view(dtype).reshape(shape) if size else torch.empty(shape, dtype=dtype)
    artifact = repository.put(home, {"t": value})
    assert artifact.kind == "tensors"
    assert_same(artifact.load(), {"t": value})
    artifact.lay_out(home.root / "out")
    assert (home.root / "out" / "00000.npy").is_file()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(10), torch.ones(10)),
        (torch.zeros(10), torch.zeros(10, dtype=torch.float64)),
        (torch.zeros(10), torch.zeros(10, dtype=torch.int32)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(1), torch.zeros(())),
        (torch.zeros(0), torch.zeros(0, 1)),
        (torch.tensor([0.0]), torch.tensor([-0.0])),
        (torch.tensor([1.0]), numpy.ones(1, "float32")),
        (torch.tensor([1, 2]), torch.tensor([2, 1])),
        ([torch.zeros(1)], (torch.zeros(1),)),
        ({"1": torch.zeros(1)}, {1: torch.zeros(1)}),
        ({"t": torch.zeros(1), "n": 1}, {"t": torch.zeros(1), "n": 1.0}),
        ({"t": torch.zeros(1), "n": 1}, {"t": torch.zeros(1), "n": True}),
        ({"a.b": torch.zeros(1)}, {"a": {"b": torch.zeros(1)}}),
    ],
)
def test_what_differs_has_another_digest(home: Home, one: Any, other: Any) -> None:
    assert digest(home, one) != digest(home, other)


def test_one_element_in_the_middle_of_many_changes_the_digest(home: Home) -> None:
    value = torch.zeros(1_200_000)
    before = digest(home, value)
    value[600_001] = 1e-30
    assert digest(home, value) != before
    value[600_001] = 0.0
    assert digest(home, value) == before


def test_strides_and_insertion_order_do_not_change_the_digest(home: Home) -> None:
    square = torch.arange(12.0).reshape(3, 4)
    assert digest(home, square.t()) == digest(home, square.t().contiguous())
    assert digest(home, square[:, ::2]) == digest(home, square[:, ::2].clone())
    assert digest(home, torch.ones(1).expand(5)) == digest(home, torch.ones(5))
    one = {"b": square, "a": torch.zeros(1), 2: 1, 10: 2}
    assert digest(home, one) == digest(home, dict(reversed(one.items())))
    # Where the memory of nothing is says nothing.
    empty = {"a": torch.empty(0), "b": torch.empty(0)}
    assert digest(home, empty) == digest(home, {"a": square[:0, 0], "b": torch.ones(3)[:0]})
    big = numpy.arange(4, dtype=">i4")
    assert digest(home, big) == digest(home, big.astype("<i4"))


def test_a_tensor_that_is_named_twice_stays_one(home: Home) -> None:
    weight = torch.randn(4, 4)
    artifact = repository.put(home, {"embed": weight, "head": weight, "copy": weight.clone(), "part": weight[:2]})
    assert len(artifact.manifest.entries) == 3
    back = artifact.load()
    back["embed"][0, 0] = 42.0
    assert back["head"][0, 0] == 42.0
    assert back["copy"][0, 0] != 42.0


def test_lazy_conjugates_and_negatives_are_values_of_their_own(home: Home) -> None:
    value = torch.tensor([1 + 2j, 3 - 4j])
    given = {"a": value, "b": value.conj(), "c": value.imag, "d": value.conj().imag}
    assert_same(
        repository.put(home, given).load(), {name: item.resolve_conj().resolve_neg() for name, item in given.items()}
    )


def test_the_state_of_an_optimizer_comes_back_with_its_types(home: Home) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(
        [{"params": [model.weight], "lr": 1e-3}, {"params": [model.bias], "lr": 1, "betas": (0.9, 0.95)}]
    )
    for _ in range(2):
        model(torch.randn(5, 3)).sum().backward()
        optimizer.step()
    state = optimizer.state_dict()
    back = repository.put(home, {"model": dict(model.state_dict()), "optimizer": state}).load()
    assert_same(back["optimizer"], state)
    fresh = torch.nn.Linear(3, 2)
    fresh.load_state_dict(back["model"])
    resumed = torch.optim.AdamW([{"params": [fresh.weight]}, {"params": [fresh.bias]}])
    resumed.load_state_dict(back["optimizer"])
    for net, opt in ((model, optimizer), (fresh, resumed)):
        opt.zero_grad()
        net(torch.ones(1, 3)).sum().backward()
        opt.step()
    assert_same(dict(fresh.state_dict()), dict(model.state_dict()))


def test_scalars_keep_type_and_value(home: Home) -> None:
    value = {
        "t": torch.zeros(1),
        "s": [None, True, 1, 1.0, -0.0, 0.5, math.inf, math.nan, 2**70, 1e300, "é\n", (1, (2.0,)), [], {}, ()],
    }
    back = repository.put(home, value).load()
    assert_same(back, value)
    assert math.copysign(1, back["s"][4]) == -1


def test_paths_that_read_alike_name_different_entries(home: Home) -> None:
    value = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, 1: torch.ones(2), "1": torch.ones(3)}
    artifact = repository.put(home, value)
    names = [entry.name for entry in artifact.manifest.entries]
    assert len(set(names)) == len(names) == 4
    assert_same(artifact.load(), value)


def test_a_large_tensor_is_split_at_the_part_size_and_joined_again(home: Home) -> None:
    value = torch.arange(65 << 18, dtype=torch.int32)
    artifact = repository.put(home, value)
    (entry,) = artifact.manifest.entries
    assert len(entry.objects) == 2
    assert entry.size == 65 << 20
    assert tensors.PART_BYTES == 64 << 20
    assert torch.equal(artifact.load(), value)


@pytest.mark.parametrize(
    "leaf",
    [
        torch.eye(2).to_sparse(),
        torch.empty(2, device="meta"),
        numpy.array(["text"]),
        numpy.array([object()]),
        numpy.array(["2020-01-01"], "datetime64[D]"),
        numpy.ma.array([1, 2], mask=[0, 1]),
        numpy.zeros(2, "longdouble"),
        {1},
        b"bytes",
        torch.nn.Linear(1, 1),
    ],
    ids=range(10),
)
def test_what_is_neither_tensor_nor_scalar_is_refused_with_its_path(home: Home, leaf: Any) -> None:
    with pytest.raises(InvalidValue, match=r"layers\[1\]\.x"):
        repository.put(home, {"t": torch.zeros(1), "layers": [0, {"x": leaf}]}, "tensors")


def test_the_kind_follows_from_the_type(home: Home) -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert kind_of({"a": [numpy.zeros(1)]}) == "tensors"
    assert kind_of({"a": [1, None]}) == "json"
    assert kind_of(b"") == "bytes"
    assert kind_of(endless) == "json"
    with pytest.raises(InvalidValue, match="object"):
        kind_of(object())
