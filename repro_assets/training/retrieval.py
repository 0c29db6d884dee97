"""A document index: chunks of texts as vectors, and exact search among them.

Laws: an index is a function of the documents and its config; no number in it is drawn, the solver begins with a fixed
vector, and signs follow a rule; a search is exact, compares with every chunk, and ties go to the chunk with the smaller
number; a hit has a score above 0, so a query without a known word has none and says so; an index is arrays and numbers,
without pickled objects, and whoever has it needs no documents beside it.

Vectors are those of G. Salton and C. Buckley, "Term-weighting approaches in automatic text retrieval" (1988): the
logarithm of a term's count times its inverse document frequency, at length 1, as scikit-learn computes them. With
`dimensions` they are mapped to as many directions by a truncated singular value decomposition: S. Deerwester and
others, "Indexing by Latent Semantic Analysis" (1990). The score is the cosine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training.capture_config import CaptureConfig
from repro_assets.training.documents import Chunk, Document, chunks_of, read_documents
from repro_assets.training.ranking import smallest

if TYPE_CHECKING:
    from repro_assets.recording.run import Run

Array = np.ndarray
Units = Literal["words", "characters"]
FORMAT = 1
UNKNOWN = "nothing of the query is in the index"
UNLIKE = "no chunk is like the query"
_ANALYZERS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "stop_words": "english"},
    "characters": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}


class IndexConfig(CaptureConfig):
    """Settings of a document index; what is captured beside it changes no bit of it."""

    path: str = Field(default="data/raw/documents", description="folder of the documents, from the project's top")
    units: Units = Field(default="words", description="what is counted: words, or the 3 to 5 characters within them")
    dimensions: int = Field(default=0, ge=0, le=4096, description="latent directions; 0 compares the terms themselves")
    largest: int = Field(default=800, ge=50, le=100_000, description="characters of a chunk at most")
    overlap: int = Field(
        default=100, ge=0, le=50_000, description="characters that a chunk may share with the last one"
    )


class Hit(NamedTuple):
    """A chunk that a search found.

    Attributes
    ----------
    chunk : int
        Its number in the index.
    document : str
        Path of its document.
    start, end : int
        Its characters in that document.
    score : float
        Cosine, above 0 and 1 at most.
    text : str
        ``document[start:end]``.
    """

    chunk: int
    document: str
    start: int
    end: int
    score: float
    text: str


class Answer(NamedTuple):
    """What a search found for one query, best first; `reason` says why where there is nothing."""

    query: str
    hits: tuple[Hit, ...]
    reason: str


class Index:
    """Documents, their chunks and the vectors of these. `build_index` makes one, `from_value` reads a stored one."""

    def __init__(
        self,
        documents: Sequence[Document],
        chunks: Sequence[Chunk],
        units: str,
        terms: Sequence[str],
        weights: Array,
        vectors: Any,
        components: Array | None,
    ) -> None:
        self.documents = tuple(documents)
        self.chunks = tuple(chunks)
        self.units = units
        self.terms = tuple(terms)
        self._weights = weights
        self._vectors = vectors
        self._components = components
        self._vectorizer = _vectorizer(units, self.terms)
        self._vectorizer.idf_ = weights

    def text(self, chunk: int) -> str:
        """Return a chunk's text."""
        document, start, end = self.chunks[chunk]
        return self.documents[document].text[start:end]

    def search(self, queries: Sequence[str], count: int = 5) -> list[Answer]:
        """Find the chunks that are most like each query.

        Parameters
        ----------
        queries : sequence of str
            Texts.
        count : int
            Hits for each at most; there are fewer where fewer chunks have anything of the query.

        Raises
        ------
        InvalidValue
            If `count` is not positive, `queries` is a single text, or one of them is blank.
        """
        if count < 1:
            raise InvalidValue(f"a search for {count} chunks", "ask for 1 or more")
        scores, known = self.scores(queries)
        answers = []
        for query, line, is_known in zip(queries, scores, known, strict=True):
            best = smallest(-line, min(count, len(line)))
            hits = tuple(self._hit(int(chunk), float(line[chunk])) for chunk in best if line[chunk] > 0)
            answers.append(Answer(query, hits, "" if hits else UNLIKE if is_known else UNKNOWN))
        return answers

    def ranking(self, queries: Sequence[str]) -> list[list[int]]:
        """Return for each query the documents with a hit, the one with the best chunk first, each once."""
        scores, _ = self.scores(queries)
        owners = np.asarray([chunk.document for chunk in self.chunks])
        found = []
        for line in scores:
            order = smallest(-line, len(line))
            found.append(list(dict.fromkeys(owners[order[line[order] > 0]].tolist())))
        return found

    def scores(self, queries: Sequence[str]) -> tuple[Array, Array]:
        """Return the cosine of each query with each chunk, float64 [queries, chunks], and which queries are known.

        Raises
        ------
        InvalidValue
            If `queries` is a single text, or one of them is blank.
        """
        if isinstance(queries, str):
            raise InvalidValue("queries are a list of texts and no single text", "write it like: search([text])")
        for number, query in enumerate(queries):
            if not query.strip():
                raise InvalidValue(f"query {number} is empty", "ask something")
        if not queries:
            return np.zeros((0, len(self.chunks))), np.zeros(0, bool)
        asked = self._vectorizer.transform(queries)
        if self._components is None:
            # A sparse product adds up each pair alone and in the order of the terms, so equal chunks score equally.
            return (asked @ self._vectors.T).toarray(), np.diff(asked.indptr) > 0
        from scipy.spatial.distance import cdist

        latent = _to_length_one(asked @ self._components.T)
        known: Array = np.asarray(latent.any(axis=1))
        # Of vectors of length 1: |u - v|^2 = 2 - 2 cos. Each pair is computed alone.
        found: Array = 1 - cdist(latent, self._vectors, "sqeuclidean") / 2
        found[~known] = 0
        return found, known

    def to_value(self) -> dict[str, Any]:
        """Return the index as arrays, numbers and short texts."""
        value: dict[str, Any] = {
            "format": FORMAT,
            "units": self.units,
            "documents": {
                "path": _packed([document.path for document in self.documents]),
                "title": _packed([document.title for document in self.documents]),
                "text": _packed([document.text for document in self.documents]),
            },
            "chunks": {
                name: np.asarray([getattr(chunk, name) for chunk in self.chunks], np.int64) for name in Chunk._fields
            },
            "terms": {**_packed(self.terms), "weight": self._weights},
        }
        if self._components is None:
            rows = {"value": self._vectors.data, "term": self._vectors.indices, "end": self._vectors.indptr[1:]}
            kinds = {"value": np.float64, "term": np.int64, "end": np.int64}
            return {**value, "vectors": {name: rows[name].astype(kind) for name, kind in kinds.items()}}
        return {**value, "vectors": {"latent": self._vectors, "components": self._components}}

    @classmethod
    def from_value(cls, value: Any) -> Index:
        """Return the index that `to_value` made a value of.

        Raises
        ------
        InvalidInput
            If the value is no document index of this format.
        """
        from scipy.sparse import csr_array

        try:
            if value["format"] != FORMAT or value["units"] not in _ANALYZERS:
                raise ValueError("it is of another format")
            columns = [_unpacked(value["documents"][name]) for name in Document._fields]
            documents = [Document(*fields) for fields in zip(*columns, strict=True)]
            places = [np.asarray(value["chunks"][name]).tolist() for name in Chunk._fields]
            chunks = [Chunk(*fields) for fields in zip(*places, strict=True)]
            terms = _unpacked(value["terms"])
            found, components = value["vectors"], None
            shape = (len(chunks), len(terms))
            if "components" in found:
                vectors, components = np.asarray(found["latent"]), np.asarray(found["components"])
                shape = (len(chunks), len(components))
            else:
                ends = np.concatenate([[0], np.asarray(found["end"])])
                vectors = csr_array((np.asarray(found["value"]), np.asarray(found["term"]), ends), shape=shape)
            if vectors.shape != shape or (components is not None and components.shape[1] != len(terms)):
                raise ValueError("its parts do not fit each other")
            weights = np.asarray(value["terms"]["weight"], np.float64)
            return cls(documents, chunks, value["units"], terms, weights, vectors, components)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidInput(f"this is no document index: {error}", "give a version of index-documents") from error

    def _hit(self, chunk: int, score: float) -> Hit:
        document, start, end = self.chunks[chunk]
        return Hit(chunk, self.documents[document].path, start, end, min(score, 1.0), self.text(chunk))


def build_index(run: Run, config: IndexConfig, documents: Mapping[str, bytes]) -> dict[str, Any]:
    """Index the documents of a folder; the recipe of the index.

    Parameters
    ----------
    run : Run
        Takes ``documents``, ``chunks``, ``terms`` and ``characters_per_chunk``; with `dimensions` also
        ``explained_variance``, the share that the directions up to a step explain.
    config : IndexConfig
        Settings.
    documents : mapping
        Bytes of each file by its path.

    Returns
    -------
    dict
        As `Index.to_value`.

    Raises
    ------
    InvalidInput
        As `read_documents`; if no document has a word.
    InvalidValue
        As `chunks_of`; if there are not more chunks and terms than `dimensions`.
    """
    texts = read_documents(documents, config.path)
    chunks = chunks_of(texts, config.largest, config.overlap)
    index, explained = _fitted(config, texts, chunks)
    sizes = [chunk.end - chunk.start for chunk in chunks]
    run.log_metrics(
        {
            "documents": len(texts),
            "chunks": len(chunks),
            "terms": len(index.terms),
            "characters_per_chunk": sum(sizes) / len(sizes),
        }
    )
    for step, share in enumerate(np.cumsum(explained).tolist(), 1):
        run.log_metric("explained_variance", share, step)
    return index.to_value()


def _fitted(config: IndexConfig, documents: Sequence[Document], chunks: Sequence[Chunk]) -> tuple[Index, Array]:
    vectorizer = _vectorizer(config.units)
    pieces = [documents[chunk.document].text[chunk.start : chunk.end] for chunk in chunks]
    try:
        vectors = vectorizer.fit_transform(pieces)
    except ValueError as error:
        raise InvalidInput(f"the documents of {config.path} have no words to index: {error}", "write some") from error
    # The order of a row's terms decides the last bits of a product.
    vectors.sort_indices()
    components, explained = None, np.empty(0)
    if config.dimensions:
        if config.dimensions >= min(vectors.shape):
            raise InvalidValue(
                f"{config.dimensions} dimensions of {vectors.shape[0]} chunks with {vectors.shape[1]} terms",
                f"give {min(vectors.shape) - 1} or fewer, or 0 to compare the terms themselves",
            )
        from sklearn.decomposition import TruncatedSVD

        # Nothing is drawn: 0 fixes the vector that the solver begins with.
        decomposition = TruncatedSVD(config.dimensions, algorithm="arpack", random_state=0).fit(vectors)
        components, explained = decomposition.components_, decomposition.explained_variance_ratio_
        vectors = _to_length_one(vectors @ components.T)
    terms = vectorizer.get_feature_names_out().tolist()
    return Index(documents, chunks, config.units, terms, vectorizer.idf_, vectors, components), explained


def _vectorizer(units: str, terms: Sequence[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(**_ANALYZERS[units], sublinear_tf=True, dtype=np.float64, vocabulary=terms)


def _to_length_one(vectors: Array) -> Array:
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    found: Array = vectors / np.where(lengths > 0, lengths, 1.0)
    return found


def _packed(texts: Sequence[str]) -> dict[str, Array]:
    """Return texts as one array of their UTF-8 bytes, and where each ends."""
    encoded = [text.encode("utf-8") for text in texts]
    return {
        "utf8": np.frombuffer(b"".join(encoded), np.uint8),
        "end": np.cumsum([len(item) for item in encoded], dtype=np.int64),
    }


def _unpacked(packed: Mapping[str, Any]) -> list[str]:
    data, ends = np.asarray(packed["utf8"], np.uint8).tobytes(), np.asarray(packed["end"]).tolist()
    return [data[start:end].decode("utf-8") for start, end in zip([0, *ends], ends, strict=False)]
