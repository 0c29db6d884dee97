"""A document index answers as a computation by hand does, the same in every process, and never at random."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training.retrieval import UNKNOWN, Index, IndexConfig, build_index

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "raw" / "documents"
FILES = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
QUERIES = ["Why does the order of a sum matter?", "seed of a generator", "labels by majority vote, by vote"]
LATENT = {"dimensions": 40}
SMALL = {"a.md": b"Same words here.\n\n# Apples\n\nRed fruit.", "b.md": b"Same words here.\n\n# Pears\n\nGreen fruit."}

DIGEST = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from repro_assets.training.retrieval import IndexConfig, build_index
class Run:
    log_metrics = log_metric = lambda *anything: None
def digest(value):
    if isinstance(value, dict):
        return {name: digest(value[name]) for name in sorted(value)}
    return hashlib.sha256(value.tobytes()).hexdigest() if isinstance(value, np.ndarray) else value
files = {path.name: path.read_bytes() for path in Path(sys.argv[1]).iterdir()}
print(json.dumps([digest(build_index(Run(), IndexConfig(dimensions=size), files)) for size in (0, 40)]))
"""


def built(new_run: Any, files: dict[str, bytes] = FILES, **config: Any) -> Index:
    return Index.from_value(build_index(new_run(), IndexConfig(**config), files))


@pytest.fixture(scope="module")
def plain(new_run: Any) -> Index:
    return built(new_run)


@pytest.fixture(scope="module")
def latent(new_run: Any) -> Index:
    return built(new_run, **LATENT)


def counted(text: str) -> Counter[str]:
    return Counter(word for word in re.findall(r"\b\w\w+\b", text.lower()) if word not in ENGLISH_STOP_WORDS)


def weighed(index: Index, queries: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the chunks and the queries by the formula, from the texts alone."""
    chunks = [counted(index.text(number)) for number in range(len(index.chunks))]
    terms = sorted(set().union(*chunks))
    holding = np.array([sum(term in chunk for chunk in chunks) for term in terms])
    rarity = np.log((1 + len(chunks)) / (1 + holding)) + 1
    made = []
    for counts in (chunks, [counted(query) for query in queries]):
        rows = np.array([[1 + np.log(each[term]) if each[term] else 0.0 for term in terms] for each in counts])
        made.append(unit(rows * rarity))
    return made[0], made[1]


def unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def test_scores_are_the_cosines_of_the_weighed_words(plain: Index) -> None:
    chunks, queries = weighed(plain, QUERIES)
    np.testing.assert_allclose(plain.scores(QUERIES)[0], queries @ chunks.T, atol=1e-12)


def test_latent_scores_are_the_cosines_along_the_largest_singular_vectors(latent: Index) -> None:
    chunks, queries = weighed(latent, QUERIES)
    directions = np.linalg.svd(chunks, full_matrices=False)[2][: LATENT["dimensions"]]
    expected = unit(queries @ directions.T) @ unit(chunks @ directions.T).T
    np.testing.assert_allclose(latent.scores(QUERIES)[0], expected, atol=1e-9)


def test_a_search_gives_the_best_of_all_chunks_in_order(plain: Index, latent: Index) -> None:
    for index in (plain, latent):
        scores = index.scores(QUERIES)[0]
        for answer, line in zip(index.search(QUERIES, 7), scores, strict=True):
            best = sorted(range(len(line)), key=lambda chunk: (-line[chunk], chunk))[:7]
            expected = [chunk for chunk in best if line[chunk] > 0]
            assert [hit.chunk for hit in answer.hits] == expected and len(expected) >= 4 and not answer.reason


def test_a_hit_leads_to_its_characters_in_its_file(plain: Index) -> None:
    hits = [hit for answer in plain.search(QUERIES) for hit in answer.hits]
    assert hits
    for hit in hits:
        assert FILES[hit.document].decode()[hit.start : hit.end] == hit.text
    assert hits[0].document == "floating-point-sums.md"


def test_chunks_that_are_equal_are_found_in_the_order_of_their_numbers(new_run: Any) -> None:
    for config in ({}, {"dimensions": 2}, {"units": "characters"}):
        index = built(new_run, SMALL, **config)
        assert [index.text(chunk) for chunk in (0, 2)] == ["Same words here."] * 2
        (answer,) = index.search(["the same words"])
        assert [hit.chunk for hit in answer.hits[:2]] == [0, 2]
        assert answer.hits[0].score == answer.hits[1].score == pytest.approx(1, abs=0.3)


def test_an_index_is_a_function_of_the_texts_whatever_the_process_and_its_hash_seed() -> None:
    # The other process is this one, whose hash seed is random.
    variables = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)}
    asked = [sys.executable, "-W", "ignore", "-c", DIGEST, str(FOLDER)]
    printed = json.loads(subprocess.run(asked, env=variables, capture_output=True, check=True, timeout=120).stdout)
    names: dict[str, Any] = {"print": lambda text: here.extend(json.loads(text))}
    here: list[Any] = []
    exec(DIGEST.replace("sys.argv[1]", repr(str(FOLDER))), names)
    assert here == printed and here[0] != here[1]


def test_a_stored_index_scores_bit_for_bit_as_before(new_run: Any) -> None:
    for config in ({}, LATENT, {"units": "characters", "largest": 2000}):
        value = build_index(new_run(), IndexConfig(**config), FILES)
        index = Index.from_value(value)
        again = Index.from_value(index.to_value())
        assert index.scores(QUERIES)[0].tobytes() == again.scores(QUERIES)[0].tobytes()
        assert (index.documents, index.chunks, index.terms) == (again.documents, again.chunks, again.terms)


def test_a_query_of_unknown_words_has_no_hits_and_says_why(plain: Index, latent: Index) -> None:
    for index in (plain, latent):
        unknown, filler, known = index.search(["zyzzyva quux", "what is it", "seeds"])
        assert (unknown.hits, unknown.reason) == ((), UNKNOWN) == (filler.hits, filler.reason)
        assert known.hits
        assert index.ranking(["zyzzyva"]) == [[]]
        assert index.search([]) == []


def test_more_chunks_than_there_are_gives_those_that_have_something_of_the_query(new_run: Any) -> None:
    (answer,) = built(new_run, SMALL).search(["fruit"], 1000)
    assert [hit.chunk for hit in answer.hits] == [1, 3]
    assert all(0 < hit.score <= 1 for hit in answer.hits)


@pytest.mark.parametrize(
    ("queries", "count", "message"),
    [(["fine", " \n"], 5, "query 1 is empty"), ("a text", 5, "no single text"), (["fine"], 0, "for 0 chunks")],
)
def test_a_search_that_makes_no_sense_is_refused(plain: Index, queries: Any, count: int, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        plain.search(queries, count)


def test_documents_are_ranked_by_their_best_chunk_each_once(plain: Index) -> None:
    scores = plain.scores(QUERIES)[0]
    for ranking, line in zip(plain.ranking(QUERIES), scores, strict=True):
        best: dict[int, float] = {}
        for chunk, score in zip(plain.chunks, line.tolist(), strict=True):
            best[chunk.document] = max(score, best.get(chunk.document, 0.0))
        found = [document for document, score in best.items() if score > 0]
        assert sorted(ranking) == found and len(set(ranking)) == len(ranking)
        assert [best[document] for document in ranking] == sorted((best[item] for item in found), reverse=True)


def test_what_cannot_be_indexed_is_refused(new_run: Any) -> None:
    with pytest.raises(InvalidInput, match="holds no document"):
        built(new_run, {})
    with pytest.raises(InvalidInput, match="have no words to index"):
        built(new_run, {"a.md": b"the of and"})
    with pytest.raises(InvalidValue, match="4 dimensions of 4 chunks") as refused:
        built(new_run, SMALL, dimensions=4)
    assert "give 3 or fewer" in str(refused.value.remedy)


def test_what_is_no_index_is_refused(new_run: Any) -> None:
    value = build_index(new_run(), IndexConfig(), SMALL)
    torn = {**value, "chunks": {**value["chunks"], "end": value["chunks"]["end"][:-1]}}
    for wrong in ({}, None, {**value, "format": 2}, torn, {**value, "terms": {"utf8": 1}}):
        with pytest.raises(InvalidInput, match="no document index"):
            Index.from_value(wrong)


def test_the_run_is_told_what_was_indexed(new_run: Any) -> None:
    run = new_run()
    build_index(run, IndexConfig(**LATENT), FILES)
    assert run.last("documents") == len(FILES) < run.last("chunks")
    shares = [share for _, share in run.curves["explained_variance"]]
    assert len(shares) == 40 and shares == sorted(shares) and 0.5 < shares[-1] < 1
