"""Recall is what counting by hand gives, far above chance, and of questions with which nothing was chosen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from repro_assets.errors import InvalidInput
from repro_assets.training.retrieval import Index, IndexConfig, build_index
from repro_assets.training.retrieval_evaluation import (
    FIGURES,
    RetrievalEvaluationConfig,
    chance_figures,
    evaluate_retrieval,
    read_questions,
)

ROOT = Path(__file__).parents[2]
FILES = {path.name: path.read_bytes() for path in (ROOT / "data" / "raw" / "documents").iterdir()}
QUESTIONS = (ROOT / "data" / "raw" / "questions.csv").read_bytes()
PAGE = (ROOT / "docs" / "retrieval.md").read_text()
CANDIDATES = [("words", 0), ("words", 50), ("characters", 0), ("characters", 50)]
HEAD = "question,document,split\n"
SMALL = {"a.md": b"Apples are red.", "b.md": b"Pears are green and red."}
FEW = RetrievalEvaluationConfig(resamples=200)


def evaluated(new_run: Any, value: Any, questions: str | bytes, config: Any = FEW) -> tuple[dict[str, Any], Any]:
    run = new_run()
    data = questions if isinstance(questions, bytes) else (HEAD + questions).encode()
    return evaluate_retrieval(run, config, value, data), run


@pytest.fixture(scope="module")
def candidates(new_run: Any) -> dict[tuple[str, int], Any]:
    return {
        (units, size): build_index(new_run(), IndexConfig(units=units, dimensions=size), FILES)
        for units, size in CANDIDATES
    }


@pytest.fixture(scope="module")
def small(new_run: Any) -> Any:
    return build_index(new_run(), IndexConfig(), SMALL)


def test_the_figures_are_those_of_counting_by_hand(new_run: Any, candidates: Any) -> None:
    result, run = evaluated(new_run, candidates["words", 0], QUESTIONS)
    index = Index.from_value(candidates["words", 0])
    for split in ("report", "choosing"):
        ranks = []
        for question, document, part in read_questions(QUESTIONS, "here"):
            if part != split:
                continue
            hits = index.search([question], len(index.chunks))[0].hits
            order = list(dict.fromkeys(hit.document for hit in hits))
            ranks.append(order.index(document) + 1 if document in order else None)
        found = result if split == "report" else result["choosing"]
        assert found["n"] == len(ranks)
        for depth in (1, 3, 5):
            assert found[f"recall_at_{depth}"] == sum(rank is not None and rank <= depth for rank in ranks) / len(ranks)
        reciprocal = sum(1 / rank for rank in ranks if rank is not None) / len(ranks)
        assert found["mean_reciprocal_rank"] == pytest.approx(reciprocal)
    assert run.last("recall_at_3") == result["recall_at_3"] and run.last("n") == 60
    assert [step for step, _ in run.curves["recall_within"]] == list(range(1, 11))
    assert result["recall_within"][2] == result["recall_at_3"]


def test_the_index_is_far_better_than_chance_and_no_oracle(new_run: Any, candidates: Any) -> None:
    result, _ = evaluated(new_run, candidates["words", 0], QUESTIONS)
    for name in FIGURES:
        ends = result["intervals"][name]
        assert 3 * result["chance"][name] < ends["low"] < result[name] < ends["high"] < 1, name


def test_the_default_is_what_did_best_on_the_questions_for_choosing(new_run: Any, candidates: Any) -> None:
    reached = {
        key: evaluated(new_run, value, QUESTIONS)[0]["choosing"]["mean_reciprocal_rank"]
        for key, value in candidates.items()
    }
    default = IndexConfig()
    assert max(reached, key=lambda key: reached[key]) == (default.units, default.dimensions)


def test_the_page_has_the_figures_that_are_measured(new_run: Any, candidates: Any) -> None:
    for (units, size), value in candidates.items():
        result, _ = evaluated(new_run, value, QUESTIONS)
        for part, figures in (("choosing", result["choosing"]), ("reported", result)):
            row = " | ".join([units, str(size), part, *(f"{figures[name]:.3f}" for name in FIGURES)])
            assert f"| {row} |" in PAGE
    whole, _ = evaluated(new_run, candidates["words", 0], QUESTIONS, RetrievalEvaluationConfig())
    for name in FIGURES:
        ends = whole["intervals"][name]
        row = f"| {name} | {whole[name]:.3f} | {ends['low']:.3f} to {ends['high']:.3f} | {whole['chance'][name]:.3f} |"
        assert row in PAGE
    assert re.search(rf"{whole['n']} questions are reported", PAGE)


def test_chance_is_that_of_a_random_order() -> None:
    assert chance_figures(2) == {"recall_at_1": 0.5, "recall_at_3": 1, "recall_at_5": 1, "mean_reciprocal_rank": 0.75}


def test_questions_about_one_document_are_drawn_together(new_run: Any, small: Any) -> None:
    right = "".join(f"red apples {number},a.md,report\n" for number in range(20))
    wrong = "".join(f"green pears {number},a.md,report\n" for number in range(20))
    wrong = wrong.replace("a.md", "b.md").replace("green pears", "red apples or")
    result, _ = evaluated(new_run, small, right + wrong + "pears,b.md,choosing\n")
    assert result["recall_at_1"] == 0.5
    # Of two documents a quarter of all draws has only one: single questions would give 0.35 to 0.65.
    assert result["intervals"]["recall_at_1"] == {"low": 0.0, "high": 1.0}


def test_a_document_that_is_not_found_counts_as_never(new_run: Any, small: Any) -> None:
    lines = "what about grapes?,a.md,report\nonly green,a.md,report\napples,a.md,report\npears,b.md,choosing\n"
    result, _ = evaluated(new_run, small, lines)
    assert result["items"]["rank"] == [None, None, 1, 1]
    assert result["items"]["first"] == [None, "b.md", "a.md", "b.md"]
    assert result["mean_reciprocal_rank"] == result["recall_at_5"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "do not begin with the line question,document,split"),
        (b"question,document\nwhy,a.md\n", "do not begin with the line"),
        (f"{HEAD}why,a.md,report\nwhy not,a.md\n".encode(), "line 3 .* is no question"),
        (f"{HEAD} ,a.md,report\n".encode(), "line 2 .* is no question"),
        (f"{HEAD}why,a.md,test\n".encode(), "line 2 .* is no question"),
        (f"{HEAD}why,a.md,report\nwhy,b.md,report\n".encode(), "line 3 .* asks what was asked before"),
        (f"{HEAD}why,a.md,report\n".encode(), "have none of the split choosing"),
        (f'{HEAD}"why,a.md,report\n'.encode(), "are no CSV"),
        (HEAD.encode() + b"caf\xe9,a.md,report\n", "are not UTF-8 text"),
        (f"{HEAD}why red,gone.md,report\nred,a.md,choosing\n".encode(), "answered by gone.md, which the index has not"),
    ],
)
def test_wrong_questions_are_refused_with_their_line(new_run: Any, small: Any, data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        evaluated(new_run, small, data)
    assert refused.value.remedy
