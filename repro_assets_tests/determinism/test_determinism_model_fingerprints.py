"""Fingerprints of models: change one thing, and exactly that is named."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from repro_assets.determinism.data_fingerprints import fingerprint_data
from repro_assets.determinism.fingerprint_differences import diff_fingerprints
from repro_assets.determinism.model_fingerprints import ModelFingerprint, fingerprint_model
from repro_assets.errors import InvalidValue, UnsupportedFormat


class Model(nn.Module):
    """Tied embeddings, buffers of both kinds, a frozen layer."""

    def __init__(self, *, stride: int = 1, tied: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 6)
        self.head = nn.Linear(6, 10, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        self.convolution = nn.Conv1d(6, 6, 3, stride=stride)
        self.norm = nn.BatchNorm1d(6)
        self.register_buffer("mask", torch.ones(3, 3).tril(), persistent=False)
        self.norm.bias.requires_grad_(False)


def made(**words: Any) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Model(**words)


def with_element(name: str, place: tuple[int, ...]) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        tensor = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
        with torch.no_grad():
            tensor[name][place] += 1

    return change


def replaced(name: str, value: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        owner, _, last = name.rpartition(".")
        module = model.get_submodule(owner)
        old = getattr(module, last)
        new = value(old.detach())
        setattr(module, last, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)

    return change


def frozen(model: Model) -> None:
    model.convolution.bias.requires_grad_(False)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (with_element("convolution.weight", (1, 2, 0)), ["parameter convolution.weight: element [1, 2, 0]"]),
        (with_element("embedding.weight", (3, 4)), ["parameter embedding.weight: element [3, 4]"]),
        (with_element("norm.running_mean", (5,)), ["buffer norm.running_mean: element [5]"]),
        (with_element("mask", (0, 1)), ["buffer mask: element [0, 1]"]),
        (replaced("norm.running_var", torch.Tensor.double), ["buffer norm.running_var: dtype was float32, is float64"]),
        (
            replaced("convolution.bias", lambda old: old[:, None]),
            ["parameter convolution.bias: shape was [6], is [6, 1]"],
        ),
        (frozen, ["parameter convolution.bias: requires_grad was True, is False"]),
        (lambda model: model.register_buffer("extra", torch.zeros(1)), ["buffer extra: added"]),
        (lambda model: delattr(model, "mask"), ["buffer mask: removed"]),
    ],
)
def test_one_change_is_named(change: Callable[[Model], Any], expected: list[str]) -> None:
    before, after = fingerprint_model(made()), made()
    change(after)
    found = diff_fingerprints(before, fingerprint_model(after))
    assert [str(each).removesuffix(" differs, and no other") for each in found] == expected


def test_equal_models_have_no_difference_and_digests_are_apart() -> None:
    one, two = fingerprint_model(made()), fingerprint_model(made())
    assert diff_fingerprints(one, two) == [] and one.digest == two.digest
    changed = made()
    with_element("convolution.bias", (0,))(changed)
    other = fingerprint_model(changed)
    assert other.architecture_digest == one.architecture_digest
    assert other.weights_digest != one.weights_digest
    bare = fingerprint_model(changed, weights=False)
    assert bare.weights_digest is None and bare.architecture_digest == one.architecture_digest
    with pytest.raises(InvalidValue, match="weights"):
        diff_fingerprints(one, bare)
    with pytest.raises(InvalidValue, match="nothing in common"):
        diff_fingerprints(one, fingerprint_data([1]))


def test_settings_that_no_tensor_shows_are_part_of_the_architecture() -> None:
    (found,) = diff_fingerprints(fingerprint_model(made()), fingerprint_model(made(stride=2)))
    assert str(found) == "module convolution: stride was [1], is [2]"


def test_tied_weights_are_named_and_counted_once() -> None:
    tied, apart = fingerprint_model(made()), fingerprint_model(made(tied=False))
    assert tied.architecture["tied"] == [["embedding.weight", "head.weight"]]
    assert apart.architecture["counts"]["parameters"] == tied.architecture["counts"]["parameters"] + 60
    assert "tied tensors" in {each.where for each in diff_fingerprints(tied, apart)}
    state = fingerprint_model(made().state_dict())
    assert state.architecture["tied"] == [["embedding.weight", "head.weight"]]


def test_counts_are_those_of_the_model() -> None:
    model = made()
    counts = fingerprint_model(model).architecture["counts"]
    assert counts["parameters"] == sum(each.numel() for each in model.parameters())
    assert counts["trainable"] == counts["parameters"] - 6
    assert counts["buffers"] == sum(each.numel() for each in model.buffers())
    assert counts["bytes"] == sum(
        each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers())
    )
    assert counts["modules"] == 5


def test_the_text_shows_modules_shapes_and_what_is_tied() -> None:
    text = fingerprint_model(made()).text()
    assert text.splitlines()[0].startswith("186 parameters, 180 trainable; 22 elements of buffers")
    for line in (
        "  convolution: torch.nn.modules.conv.Conv1d(6, 6, kernel_size=(3,), stride=(1,))",
        "    weight: float32 [6, 6, 3] (parameter)",
        "    bias: float32 [6] (parameter, frozen)",
        "  mask: float32 [3, 3] (buffer, not saved)",
        "tied: embedding.weight = head.weight",
    ):
        assert line in text.splitlines()
    assert "  a.b: float32 [2] (tensor)" in fingerprint_model({"a": {"b": torch.zeros(2), "c": 3}}).text().splitlines()


def test_a_model_without_data_has_an_architecture() -> None:
    with torch.device("meta"):
        model = Model()
    bare = fingerprint_model(model, weights=False)
    assert bare.architecture_digest == fingerprint_model(made()).architecture_digest
    with pytest.raises(InvalidValue, match=r"embedding\.weight"):
        fingerprint_model(model)


def test_an_iterator_is_read_one_tensor_at_a_time() -> None:
    before: list[weakref.ref[Any]] = []

    def made(number: int) -> torch.Tensor:
        array = numpy.full((4, 4), number, dtype=numpy.float32)
        before[:] = [weakref.ref(array)]
        return torch.from_numpy(array)

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for number in range(5):
            assert not before or before[0]() is None, "a tensor was kept after the next was asked for"
            yield f"block.{number}", made(number)

    found = fingerprint_model(tensors())
    assert found.weights == fingerprint_model({f"block.{n}": torch.full((4, 4), float(n)) for n in range(5)}).weights
    assert found.architecture["tied"] is None


@pytest.mark.parametrize(
    "model",
    [3, "text", [1, 2], [("a", 1)], [("a", torch.zeros(1)), ("a", torch.zeros(1))], {"a": torch.eye(2).to_sparse()}],
)
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(InvalidValue):
        fingerprint_model(model)


class Tokenizer:
    """Has the form of Hugging Face's."""

    def __init__(
        self, words: tuple[str, ...] = ("<s>", "the", "cat"), merges: str = "t he", special: str = "<s>"
    ) -> None:
        self.words, self.merges = words, merges
        self.special_tokens_map = {"bos_token": special}

    def get_vocab(self) -> dict[str, int]:
        return {word: number for number, word in reversed(list(enumerate(self.words)))}

    def to_str(self) -> str:
        return json.dumps({"model": {"merges": self.merges}})


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Tokenizer(("<s>", "the", "dog")), "tokenizer vocabulary: element [2] differs, and no other"),
        (Tokenizer(("<s>", "the", "cat", "sat")), "tokenizer vocabulary: shape was [3], is [4]"),
        (Tokenizer(merges="th e"), "tokenizer: backend was xxh3-128:"),
        (Tokenizer(special="the"), "tokenizer special special_tokens_map: bos_token was <s>, is the"),
        (None, "tokenizer: removed"),
    ],
)
def test_one_change_of_the_tokenizer_is_named(other: Any, expected: str) -> None:
    before = fingerprint_model(made(), tokenizer=Tokenizer())
    after = fingerprint_model(made(), tokenizer=other)
    assert before.architecture_digest == after.architecture_digest
    assert str(diff_fingerprints(before, after)[0]).startswith(expected)
    assert diff_fingerprints(before, fingerprint_model(made(), tokenizer=Tokenizer())) == []


def test_what_has_no_vocabulary_is_no_tokenizer() -> None:
    with pytest.raises(InvalidValue, match="get_vocab"):
        fingerprint_model(made(), tokenizer=object())


def test_the_document_reads_back() -> None:
    fingerprint = fingerprint_model(made(), tokenizer=Tokenizer())
    document = json.loads(json.dumps(fingerprint.document()))
    again = ModelFingerprint.from_document(document)
    assert again.digest == fingerprint.digest and diff_fingerprints(fingerprint, again) == []
    for other, remedy in {1: "take the fingerprint again", 9: "use a newer version"}.items():
        with pytest.raises(UnsupportedFormat, match=remedy):
            ModelFingerprint.from_document({**document, "format": other})
