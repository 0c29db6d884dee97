"""The experience buffer against a list that is searched by brute force."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds.record_blocks import BLOCK
from repro_assets.errors import InvalidInput, InvalidValue, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.store.home import make_store
from repro_assets.training.experience import ExperienceBuffer, combine
from repro_assets.training.experience_rows import GONE, LEARNED, Layout

SMALL = Layout(features=(2,), question=1, trajectory=2, answers=3, visual=3, text=2)
HORIZON = 20


def some(count: int, timestamp: int, generator: np.random.Generator, layout: Layout = SMALL) -> dict[str, Any]:
    """Experiences whose embeddings have few values, so that many are equally far; some are zero."""

    def grid(*shape: int) -> np.ndarray:
        return generator.integers(-1, 2, shape).astype(np.float32)

    return {
        "source": generator.integers(0, 6, count),
        "timestamp": np.full(count, timestamp),
        "features": generator.random((count, *layout.features), np.float32),
        "question": generator.random((count, layout.question), np.float32),
        "trajectory": generator.integers(-1, 26, (count, layout.trajectory)).astype(np.int8),
        "vote": generator.random((count, layout.answers), np.float32),
        "confidence": generator.choice(np.float32([0, 0.25, 0.5, 1]), count),
        "reward": generator.choice(np.float32([-1, 0, 0.5, 1]), count),
        "visual": grid(count, layout.visual),
        "text": grid(count, layout.text),
    }


def priority(row: dict[str, Any], now: int) -> float:
    age = min(1.0, (now - int(row["timestamp"])) / HORIZON)
    return max(0.01, 0.4 * (1 - float(row["confidence"])) + 0.4 * abs(float(row["reward"])) + 0.2 * age)


def distance(one: np.ndarray, other: np.ndarray, metric: str) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    if metric == "euclidean":
        return float(np.sqrt(((one - other) ** 2).sum()))
    if metric == "manhattan":
        return float(np.abs(one - other).sum())
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    if 0 in lengths:
        return 0.0 if lengths == (0, 0) else 1.0
    return 1 - float(one @ other) / float(lengths[0] * lengths[1])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(0, 2**32), st.lists(st.sampled_from("iiirst"), min_size=1, max_size=25))
def test_the_buffer_is_a_list_with_eviction_by_priority(capacity: int, seed: int, steps: list[str]) -> None:
    random = np.random.default_rng(seed)
    buffer = ExperienceBuffer(SMALL, capacity, HORIZON)
    model: dict[int, dict[str, Any]] = {}
    now = made = 0
    for step in steps:
        if step == "i":
            count = int(random.integers(1, capacity + 1))
            now += int(random.integers(0, 9))
            given_rows = some(count, now, random)
            before = buffer.position
            while len(model) + count > capacity:
                del model[min(model, key=lambda key: (priority(model[key], before), key))]
            ids = buffer.insert(given_rows)
            assert ids.tolist() == list(range(made, made + count)), "no id is used again"
            made += count
            for place, key in enumerate(ids.tolist()):
                model[key] = {name: column[place] for name, column in given_rows.items()}
        elif step == "r" and model:
            key = int(random.choice(list(model)))
            buffer.remove([key])
            del model[key]
            with pytest.raises(UnknownName, match=f"no experience {key}"):
                buffer.take([key])
        elif step == "s":
            state = copy.deepcopy(buffer.state_dict())
            buffer = ExperienceBuffer(SMALL, capacity, HORIZON)
            buffer.load_state_dict(state)
        elif step == "t":
            buffer = ExperienceBuffer.restored(buffer.snapshot(), SMALL, capacity, HORIZON)
        assert buffer.ids.tolist() == sorted(model) and len(buffer) == len(model)
        assert buffer.priorities() == pytest.approx([priority(model[key], now) for key in sorted(model)], abs=1e-6)
        held = buffer.take(buffer.ids)
        for place, key in enumerate(sorted(model)):
            assert all(np.array_equal(held[name][place], value) for name, value in model[key].items())
        assert buffer.of_sources([2, 4]).tolist() == [key for key in sorted(model) if model[key]["source"] in (2, 4)]
    everything = [*buffer.snapshot().columns["id"].tolist()]
    assert everything == sorted(set(everything))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(1, 30),
    st.integers(1, 8),
    st.sampled_from(["visual", "text", "combined"]),
    st.sampled_from(["cosine", "euclidean", "manhattan"]),
)
def test_a_search_is_exact_and_its_ties_go_to_the_smaller_id(
    seed: int, size: int, count: int, space: str, metric: str
) -> None:
    random = np.random.default_rng(seed)
    buffer = ExperienceBuffer(SMALL, 30, HORIZON)
    for _ in range(2):
        buffer.insert(some(size, buffer.position, random))
    buffer.remove(random.choice(buffer.ids, len(buffer.ids) // 3, replace=False))
    asked = some(4, 0, random)
    queries = combine(asked["visual"], asked["text"]) if space == "combined" else asked[space]
    excluded = random.integers(0, 6, 4)
    found = buffer.search(queries, count, space=space, metric=metric, but_not_of=excluded)
    held = buffer.take(buffer.ids)
    for row, query in enumerate(queries):
        candidates = [
            (distance(query, held[space][place], metric), int(key))
            for place, key in enumerate(buffer.ids)
            if held["source"][place] != excluded[row]
        ]
        best = sorted(candidates)[:count]
        there = found.ids[row] >= 0
        assert there.sum() == len(best) and np.isinf(found.distances[row][~there]).all()
        assert found.distances[row][there] == pytest.approx([far for far, _ in best], abs=1e-7)
        # Equal embeddings are equally far to the last bit, and among them ids ascend.
        where = {int(key): held[space][place].tobytes() for place, key in enumerate(buffer.ids)}
        for one, other in zip(found.ids[row][there], found.ids[row][there][1:], strict=False):
            if where[int(one)] == where[int(other)]:
                assert one < other
        # So those that are left out at the end have greater ids than those of the same embedding that are in.
        for _, key in candidates:
            alike = [int(taken) for taken in found.ids[row][there] if where[int(taken)] == where[key]]
            assert key in alike or all(taken < key for taken in alike)


def test_equal_vectors_are_equally_far_wherever_they_stand() -> None:
    random = np.random.default_rng(0)
    layout = Layout()
    buffer = ExperienceBuffer(layout, 400, HORIZON)
    rows = some(301, 0, random, layout)
    rows["visual"] = np.repeat(random.standard_normal((1, 64), np.float32), 301, axis=0)
    buffer.insert(rows)
    for metric in ("cosine", "euclidean", "manhattan"):
        found = buffer.search(random.standard_normal((3, 64)), 301, space="visual", metric=metric)
        assert (found.distances == found.distances[:, :1]).all(), metric
        assert (found.ids == np.arange(301)).all(), metric


def test_drawing_follows_the_priorities_without_replacement_and_the_generator_alone() -> None:
    random = np.random.default_rng(0)
    buffer = ExperienceBuffer(SMALL, 4, HORIZON)
    rows = some(4, 0, random)
    rows["confidence"], rows["reward"] = np.float32([1, 0, 1, 0]), np.float32([0, 0, 0.5, 1])
    buffer.insert(rows)
    weights = buffer.priorities()
    assert weights == pytest.approx([0.01, 0.4, 0.2, 0.8])
    generator = torch.Generator().manual_seed(1)
    drawn = np.stack([buffer.sample(2, generator) for _ in range(4000)])
    assert (drawn[:, 0] != drawn[:, 1]).all()
    first = np.bincount(drawn[:, 0], minlength=4) / len(drawn)
    assert first == pytest.approx(weights / weights.sum(), abs=0.03)
    second = np.bincount(drawn[drawn[:, 0] == 3, 1], minlength=4) / (drawn[:, 0] == 3).sum()
    assert second == pytest.approx([*(weights[:3] / weights[:3].sum()), 0], abs=0.04)
    twice = [buffer.sample(9, torch.Generator().manual_seed(5)).tolist() for _ in range(2)]
    assert twice[0] == twice[1] and sorted(twice[0]) == [0, 1, 2, 3]


def test_what_does_not_fit_is_refused_and_nothing_of_it_is_taken_in() -> None:
    random = np.random.default_rng(0)
    buffer = ExperienceBuffer(SMALL, 3, HORIZON)
    buffer.insert(some(1, 5, random))
    good = some(1, 6, random)
    for wrong, message in (
        ({**good, "vote": np.full((1, 3), np.nan, np.float32)}, "vote is not finite"),
        ({**good, "confidence": np.float32([1.5])}, "confidence"),
        ({**good, "timestamp": np.int64([4])}, "position 5"),
        ({**good, "visual": np.zeros((1, 2), np.float32)}, "visual"),
        ({**good, "reward": np.zeros(2, np.float32)}, "length"),
        ({**good, "priority": np.zeros(1)}, "priority"),
        (some(4, 6, random), "4 experiences at once"),
    ):
        with pytest.raises(InvalidValue, match=message):
            buffer.insert(wrong)
    assert buffer.ids.tolist() == [0] and buffer.next_id == 1
    for call, message in (
        (lambda: buffer.search(np.zeros((1, 3)), 1, space="smell"), "space"),  # type: ignore[arg-type]
        (lambda: buffer.search(np.zeros((1, 3)), 1, space="visual", metric="far"), "metric"),  # type: ignore[arg-type]
        (lambda: buffer.search(np.zeros((1, 9)), 1, space="visual"), "shape"),
        (lambda: buffer.set_status([0], GONE), "remove"),
        (lambda: ExperienceBuffer(SMALL, 0, 1), "1 or more"),
    ):
        with pytest.raises(InvalidValue, match=message):
            call()
    other = ExperienceBuffer(SMALL, 4, HORIZON)
    with pytest.raises(InvalidInput, match="another capacity"):
        other.load_state_dict(buffer.state_dict())


def test_counts_and_status_are_kept_through_storing(tmp_path: Any) -> None:
    random = np.random.default_rng(0)
    buffer = ExperienceBuffer(SMALL, 5, HORIZON)
    buffer.insert(some(5, 0, random))
    buffer.note_retrieved([1, 1, 3], [True, False, True])
    buffer.set_status([2], LEARNED)
    buffer.remove([0])
    home = make_store(tmp_path / "store")
    stored = repository.put(home, buffer.snapshot())
    assert stored.kind == "segments"
    again = ExperienceBuffer.restored(stored.load(), SMALL, 5, HORIZON)
    for one in (buffer, again):
        assert one.take([1, 2, 3, 4])["retrievals"].tolist() == [2, 0, 1, 0]
        assert one.take([1, 2, 3, 4])["successes"].tolist() == [1, 0, 1, 0]
        assert one.take([2])["status"].tolist() == [LEARNED]
    assert again.insert(some(1, 9, random)).tolist() == [5]


def test_a_snapshot_hashes_and_writes_what_is_new_and_is_the_one_of_a_buffer_that_remembers_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    home = make_store(tmp_path / "store")
    buffer = ExperienceBuffer(SMALL, 3 * BLOCK, HORIZON)
    buffer.insert(some(2 * BLOCK + 10, 0, random))
    repository.put(home, buffer.snapshot())
    hashed: list[int] = []
    monkeypatch.setattr(Digest, "of", staticmethod(lambda data: hashed.append(len(data)) or Digest.of_chunks([data])))
    buffer.insert(some(5, 1, random))
    buffer.note_retrieved([7], [True])
    buffer.set_status([9], LEARNED)
    second = repository.put(home, buffer.snapshot())
    fields = len(buffer.snapshot().columns)
    # The last block of each field, three fields of the first block, and the manifest.
    assert len(hashed) == fields + 3 + 1
    monkeypatch.undo()
    fresh = ExperienceBuffer(SMALL, 3 * BLOCK, HORIZON)
    fresh.load_state_dict(copy.deepcopy(buffer.state_dict()))
    assert repository.put(make_store(tmp_path / "other"), fresh.snapshot()).digest == second.digest
    # What is remembered but no longer there is put again.
    third = make_store(tmp_path / "third")
    assert repository.put(third, buffer.snapshot()).digest == second.digest
    loaded = repository.by_digest(third, second.digest).load()
    assert np.array_equal(loaded.columns["id"], buffer.snapshot().columns["id"])
