"""A store with a small lineage in it, and bundles that were made wrong on purpose."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import pandas
import xxhash

from repro_assets.artifacts import repository
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.identity.digest import Digest
from repro_assets.interchange.container import Reader, Writer
from repro_assets.journal.run_records import ReplayMade, RunStarted
from repro_assets.journal.segments import journal_at
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home, make_store
from repro_assets.store.layout import Form

HOST_FACTS = {"name": "sturdy-host", "gpu_uuids": ["GPU-12345678-aaaa"], "torch": {"threads": 1}}
ENVIRONMENT = {
    "level": "standard",
    "python": {"version": "3.11.9", "implementation": "CPython", "executable": "/home/erika/venv/bin/python"},
    "packages": [{"name": "numpy", "version": "2.1.0"}],
    "host": {"name": "sturdy-host", "gpu_uuids": ["GPU-12345678-aaaa"]},
    "unavailable": {},
}
REMOTE = "git@forge.example:erika/secret-work.git"


@dataclass
class Stored:
    """Three runs, one after the other, beside one that has nothing to do with them."""

    home: Home
    data: str = "data000011111111"
    train: str = "trai000022222222"
    later: str = "late000033333333"
    other: str = "othe000044444444"


def started(home: Home, run_id: str, name: str, **more: Any) -> RunStarted:
    environment = repository.put(home, ENVIRONMENT, name="environment")
    code = home.root / "code.py"
    code.write_text("print('the code')\n")
    source = repository.put(
        home, [TreeFile("code.py", code), TreeFile("folder/link", code, link_target="../code.py")], "tree"
    )
    return RunStarted(
        run_id,
        "asset",
        name,
        asset=f"small/{name}",
        parent_run_id="pare000000000000",
        environment=str(environment.digest),
        source=str(source.digest),
        source_facts={"git": True, "commit": "c" * 40, "remote": REMOTE, "remotes": {"origin": REMOTE}},
        host_facts=HOST_FACTS,
        plan={"folder": "/home/erika/work", "asset": f"small/{name}"},
        **more,
    )


def fill(folder: Path) -> Stored:
    """Make the store."""
    home = make_store(folder)
    stored = Stored(home)
    journal_at(home.journal).append(RunStarted("pare000000000000", "parent", "all"))
    data = begin(home, started(home, stored.data, "data"))
    frame = pandas.DataFrame({"x": numpy.arange(3000) % 7, "word": ["a", "b", "c"] * 1000})
    table = data.log_output("result", frame, name=f"dataset-{stored.data}", collection="dataset-small")
    data.end()
    train = begin(home, started(home, stored.train, "train", seed=3))
    train.use("dataset", table)
    for step in range(50):
        train.log_metric("loss", 1.0 / (step + 1), step)
    weights = {"w": numpy.arange(4000, dtype="float32"), "noise": numpy.random.default_rng(0).random(4000)}
    train.log_output("result", weights, name=f"model-{stored.train}", collection="model-small")
    train.end()
    later = begin(home, started(home, stored.later, "later"))
    later.use("model", repository.by_name(home, "model-small:v1"))
    later.log_output("result", {"accuracy": 0.5}, name=f"eval-{stored.later}", collection="eval-small")
    later.end()
    other = begin(home, started(home, stored.other, "other"))
    other.log_metric("loss", 9.0, 0)
    other.log_output("result", {"weights": [9]}, name=f"model-{stored.other}", collection="model-small")
    other.end()
    journal_at(home.journal).append(
        ReplayMade(stored.train, "repl000055555555", "identical", products=[{"name": "model", "verdict": "identical"}])
    )
    return stored


@dataclass
class Pieces:
    """A bundle taken apart, to be put together again with something else in it."""

    document: dict[str, Any]
    segments: list[bytes]
    objects: list[tuple[Digest, Form, bytes]]
    manifests: list[tuple[Digest, Form, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, bundle: Path) -> Pieces:
        with bundle.open("rb") as file:
            reader = Reader(file, bundle)
            segments = [reader.segment(item["size"]) for item in reader.document["segments"]]
            parts, manifests = (
                [(digest, form, b"".join(blocks)) for digest, form, blocks in reader.objects(reader.document[name])]
                for name in ("parts", "manifests")
            )
            reader.end()
        return cls(reader.document, segments, parts, manifests)

    def write(self, path: Path) -> Path:
        """Write a bundle whose lengths and seals are right, whatever else is not."""
        for item, data in zip(self.document["segments"], self.segments, strict=True):
            item.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        self.document.update(parts=len(self.objects), manifests=len(self.manifests))
        out = io.BytesIO()
        writer = Writer(out)
        writer.begin(self.document)
        for data in self.segments:
            writer.write(data)
        for digest, form, stored in (*self.objects, *self.manifests):
            writer.write_object(digest, form, [stored])
        writer.end()
        path.write_bytes(out.getvalue())
        return path


def entry(
    data: bytes, *, digest: Digest | None = None, codec: str = "raw", stored: bytes | None = None, size: int = -1
) -> tuple[Digest, Form, bytes]:
    """An object as a bundle has it, right unless something else is given."""
    stored = data if stored is None else stored
    form = Form(codec, len(data) if size < 0 else size, len(stored), xxhash.xxh3_128_digest(stored))
    return digest or Digest.of(data), form, stored


def files_of(home: Home) -> dict[str, bytes]:
    """Every file of a store that is not a cache, a lease or what a process of this test writes."""
    skipped = ("cache", "leases", "catalog.duckdb", "tmp")
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in sorted(home.root.rglob("*"))
        if path.is_file() and path.relative_to(home.root).parts[0] not in skipped
    }


Edit = Callable[[Pieces], None]
