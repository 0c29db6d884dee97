"""Retrieval: an index of documents, made from a folder of files, and what it finds when it is asked.

Both are in a group of their own, which the default job leaves out.
"""

from pathlib import Path
from typing import Any

import dagster as dg

from repro_assets.artifacts.handle import Artifact
from repro_assets.orchestration.code import asset_version
from repro_assets.orchestration.config import AssetConfig
from repro_assets.orchestration.naming import COLLECTION, DISPLAY
from repro_assets.orchestration.resource import Repro
from repro_assets.training.retrieval import IndexConfig, build_index
from repro_assets.training.retrieval_evaluation import RetrievalEvaluationConfig, evaluate_retrieval

GROUP = "retrieval"
OWNERS = ["team:data"]
DOCUMENTS = Path("data/raw/documents")
QUESTIONS = Path("data/raw/questions.csv")


class IndexAsset(IndexConfig, AssetConfig):
    """Config of the asset ``indexes/documents``."""


class RetrievalEvaluationAsset(RetrievalEvaluationConfig, AssetConfig):
    """Config of the asset ``evaluations/retrieval``."""


@dg.asset(
    key_prefix="indexes",
    group_name=GROUP,
    kinds={"scikitlearn", "numpy"},
    owners=OWNERS,
    tags={"stage": "retrieval"},
    code_version=asset_version(build_index, DOCUMENTS),
    metadata={COLLECTION: "index-documents", DISPLAY: "index-documents-v{version}"},
)
def documents(context: dg.AssetExecutionContext, repro: Repro, config: IndexAsset) -> dg.MaterializeResult[Any]:
    """Chunks of the documents in a folder, their vectors, and all that a search needs."""
    return repro.execute(context, build_index, config, {"documents": Path(config.path)})


@dg.asset(
    key_prefix="evaluations",
    group_name=GROUP,
    kinds={"json"},
    owners=OWNERS,
    tags={"stage": "evaluation"},
    code_version=asset_version(evaluate_retrieval, QUESTIONS),
    metadata={COLLECTION: "eval-index-on-questions", DISPLAY: "eval-index-on-questions-v{version}"},
    ins={"index": dg.AssetIn(key=["indexes", "documents"])},
)
def retrieval(
    context: dg.AssetExecutionContext, repro: Repro, config: RetrievalEvaluationAsset, index: Artifact
) -> dg.MaterializeResult[Any]:
    """How often the document that answers a question is among the first, beside chance."""
    return repro.execute(context, evaluate_retrieval, config, {"model": index, "dataset": Path(config.path)})


assets: list[dg.AssetsDefinition] = [documents, retrieval]
