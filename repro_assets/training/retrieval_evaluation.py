"""How good a document index is: questions whose answering document is known, asked.

Laws: figures are of the questions of the split ``report`` alone; those of ``choosing``, with which settings were
chosen, stand beside them under that name; a question counts for the document that answers it and for no other; a
document that was not found has the reciprocal rank 0; what a random order of the documents would reach is computed and
not drawn.

Documents are ranked by their best chunk. Recall within k is the share of questions whose document is among the first
k. Questions about one document are not independent, so the bootstrap draws documents, each with all its questions.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from repro_assets.errors import InvalidInput
from repro_assets.training.bootstrap import CONFIDENCE, RESAMPLES, intervals
from repro_assets.training.retrieval import Index

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

Array = np.ndarray
COLUMNS = ["question", "document", "split"]
CHOOSING, REPORT = SPLITS = ("choosing", "report")
WITHIN = (1, 3, 5)
DEEPEST = 10
"""The curve of the recall ends here."""
FIGURES = (*(f"recall_at_{depth}" for depth in WITHIN), "mean_reciprocal_rank")


class RetrievalEvaluationConfig(BaseModel):
    """Settings of an evaluation of a document index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(default="data/raw/questions.csv", description="the questions, from the project's top")
    resamples: int = Field(default=RESAMPLES, ge=100, le=100_000, description="resamples of the bootstrap")


class Question(NamedTuple):
    """A question, the path of the document that answers it, and the split that it belongs to."""

    question: str
    document: str
    split: str


def read_questions(data: bytes, where: str) -> list[Question]:
    """Read questions from the bytes of a CSV file with the header ``question,document,split``.

    Raises
    ------
    InvalidInput
        If it is not such a table, a question is blank or stands in it twice, a split is unknown, or one is empty; the
        line is named.
    """
    remedy = f"write a line for each question: {','.join(COLUMNS)}"
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
        table = [(rows.line_num, row) for row in rows]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the questions {where} are not UTF-8 text: {error}", "save them as UTF-8") from error
    except csv.Error as error:
        raise InvalidInput(f"the questions {where} are no CSV: {error}", remedy) from error
    if not table or table[0][1] != COLUMNS:
        raise InvalidInput(f"the questions {where} do not begin with the line {','.join(COLUMNS)}", remedy)
    found: dict[str, Question] = {}
    for line, row in table[1:]:
        if len(row) != len(COLUMNS) or not row[0].strip() or row[2] not in SPLITS:
            raise InvalidInput(
                f"line {line} of the questions {where} is no question with a document and a split",
                f"{remedy}; the split is {' or '.join(SPLITS)}",
            )
        if row[0] in found:
            raise InvalidInput(f"line {line} of the questions {where} asks what was asked before", "ask it once")
        found[row[0]] = Question(*row)
    for split in SPLITS:
        if not any(question.split == split for question in found.values()):
            raise InvalidInput(f"the questions {where} have none of the split {split}", remedy)
    return list(found.values())


def evaluate_retrieval(
    run: Run, config: RetrievalEvaluationConfig, model: Mapping[str, Any], dataset: bytes
) -> dict[str, Any]:
    """Ask an index questions and see how early it finds the documents that answer them.

    Parameters
    ----------
    run : Run
        Gives the seed ``retrieval/bootstrap``; takes every figure, the same of the split ``choosing`` under
        ``choosing/``, those of a random order under ``chance/``, and ``recall_within``, whose step is a number of
        documents.
    config : RetrievalEvaluationConfig
        Settings.
    model : mapping
        What `repro_assets.training.retrieval.build_index` returned.
    dataset : bytes
        The file of the questions.

    Returns
    -------
    dict
        JSON value: ``n`` questions, ``recall_at_1``, ``recall_at_3``, ``recall_at_5``, ``mean_reciprocal_rank``,
        ``intervals`` of these (``low``, ``high``), ``bootstrap`` (``confidence``, ``resamples``), ``chance`` and
        ``choosing`` (the same figures, and ``n``), ``recall_within`` (for 1 to 10 documents) and ``items`` (columns
        ``question``, ``document``, ``split``, ``rank``, which is None where the document was not found, and ``first``).

    Raises
    ------
    InvalidInput
        If the index or the questions are malformed, or a question names a document that the index does not have.
    """
    index = Index.from_value(model)
    questions = read_questions(dataset, config.path)
    paths = [document.path for document in index.documents]
    places = {path: number for number, path in enumerate(paths)}
    for question in questions:
        if question.document not in places:
            raise InvalidInput(
                f"{question.question!r} of {config.path} is answered by {question.document}, which the index has not",
                "index the folder that has it, or take the question out",
            )
    rankings = index.ranking([question.question for question in questions])
    owners = np.asarray([places[question.document] for question in questions])
    ranks = np.asarray([_rank(ranking, owner) for ranking, owner in zip(rankings, owners.tolist(), strict=True)])
    reported = np.asarray([question.split == REPORT for question in questions])
    generator = run.seeds.numpy("retrieval/bootstrap")
    columns = _by_document(_columns(ranks[reported]), owners[reported])
    ends = dict(zip(FIGURES, intervals(columns, _means, generator, resamples=config.resamples), strict=True))
    figures = _figures(ranks[reported])
    chosen = _figures(ranks[~reported])
    chance = chance_figures(len(paths))
    within = [float((ranks[reported] <= depth).mean()) for depth in range(1, min(DEEPEST, len(paths)) + 1)]
    run.log_metrics({**figures, "n": int(reported.sum())})
    run.log_metrics({f"choosing/{name}": value for name, value in chosen.items()})
    run.log_metrics({f"chance/{name}": value for name, value in chance.items()})
    for depth, share in enumerate(within, 1):
        run.log_metric("recall_within", share, depth)
    return {
        "n": int(reported.sum()),
        **figures,
        "intervals": {name: {"low": found.low, "high": found.high} for name, found in ends.items()},
        "bootstrap": {"confidence": CONFIDENCE, "resamples": config.resamples, "drawn": "documents"},
        "chance": chance,
        "choosing": {**chosen, "n": int((~reported).sum())},
        "recall_within": within,
        "items": {
            **{name: [getattr(question, name) for question in questions] for name in COLUMNS},
            "rank": [int(rank) if np.isfinite(rank) else None for rank in ranks],
            "first": [paths[ranking[0]] if ranking else None for ranking in rankings],
        },
    }


def chance_figures(documents: int) -> dict[str, float]:
    """Return what a random order of so many documents reaches in the mean."""
    recalls = {name: min(1.0, depth / documents) for name, depth in zip(FIGURES, WITHIN, strict=False)}
    return {**recalls, FIGURES[-1]: sum(1 / rank for rank in range(1, documents + 1)) / documents}


def _rank(ranking: Sequence[int], wanted: int) -> float:
    return ranking.index(wanted) + 1 if wanted in ranking else np.inf


def _columns(ranks: Array) -> Array:
    return np.stack([np.ones(len(ranks)), *(ranks <= depth for depth in WITHIN), 1 / ranks], axis=1)


def _by_document(columns: Array, owners: Array) -> Array:
    """Add up the columns of the questions about one document."""
    names, places = np.unique(owners, return_inverse=True)
    found = np.zeros((len(names), columns.shape[1]))
    np.add.at(found, places, columns)
    return found


def _means(sums: Array) -> Array:
    undefined = np.full((len(sums), len(FIGURES)), np.nan)
    found: Array = np.divide(sums[:, 1:], sums[:, :1], out=undefined, where=sums[:, :1] > 0)
    return found


def _figures(ranks: Array) -> dict[str, float]:
    return dict(zip(FIGURES, _columns(ranks)[:, 1:].mean(axis=0).tolist(), strict=True))
