"""What is in ``store-v1``: the values, the digests that they have for ever, and the records.

``python repro_assets_tests/golden/store_v1.py`` writes the folder where it is not there; it is never written over,
because its purpose is to be old.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from repro_assets.artifacts import names
from repro_assets.artifacts.kinds import DECODERS, kind_named
from repro_assets.artifacts.kinds.block_list import Segments
from repro_assets.artifacts.kinds.tree import TreeFile
from repro_assets.identity.digest import Digest
from repro_assets.journal.artifact_records import AliasMoved, ArtifactStored, VersionClaimed
from repro_assets.journal.lines import write_line
from repro_assets.journal.records import Payload, Process
from repro_assets.journal.run_records import (
    CheckMade,
    CheckpointSaved,
    EvaluationMade,
    Fingerprints,
    Metrics,
    Params,
    ParentState,
    ReplayMade,
    RunEnded,
    RunInput,
    RunOutput,
    RunStarted,
    SeedsUsed,
)
from repro_assets.store.home import MARKER, Home, make_store
from repro_assets.store.opening import open_objects

ROOT = Path(__file__).parent / "store-v1"
SEGMENT = "golden-101-00000000000000000000000000000001.jsonl"
DAMAGED_SEGMENT = "golden-102-00000000000000000000000000000002.jsonl"
TIME = 1_790_000_000.25

FILES = {"code/train.py": b"print('train')\n", "empty": b"", "run.sh": b"#!/bin/sh\n", "ünï/κ.txt": b"\xff\x00"}

JSON_VALUE = {
    "numbers": [0, -1, 2**53 - 1, 2**53, -(2**70), 0.1, 1e300, 5e-324],
    "special": [float("inf"), float("-inf"), -0.0],
    "$float": "a member that is named like an escape",
    "text": '\u0000 " \\ \u20ac \U0001f600',
    "nothing": [None, True, False, [], {}],
}

DIGESTS = {
    "json": "120a027c4310b2f993b1bc735a56eb1331e4b4d48732af8fca97c2d72ed7e1d7",
    "bytes": "aef190ce24748ce3d5ccd58251a6a69e083f8be192cb323ed1c317a4e6384144",
    "segments": "6ace1407ba23e7d42869530fd8d0d60f4fc437e68e2a2b606a5197bd824de533",
    "tree": "9d665afadef435d0b9630377f1a5560c231405789d4c62410e35516b61c3d8bc",
    "table": "754ea64c85d355ada6c9a192ae00b5e7efa60ea4c7e87292c5d74672995a418e",
    "tensors": "bcfee4daa864c59c850d4eccba7a859f9a7282222694943401c9a5cc03f800a7",
}
"""SHA-256 of the manifest of each of `values`, by its kind."""


def values() -> dict[str, Any]:
    """One value of each kind, as it is given to be written."""
    import pyarrow
    import torch

    weight = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    return {
        "json": JSON_VALUE,
        "bytes": bytes(range(256)),
        "segments": Segments((b"first block", b"", b"third")),
        "tree": [
            *(
                TreeFile(path, Path("none"), executable=path == "run.sh", read=content.__bytes__)
                for path, content in FILES.items()
            ),
            TreeFile("link", Path("none"), link_target="run.sh"),
        ],
        "table": pyarrow.table(
            {
                "whole": pyarrow.array([1, None, -(2**62)], pyarrow.int64()),
                "small": pyarrow.array([1, 2, 3], pyarrow.uint8()),
                "number": pyarrow.array([0.1, None, float("inf")], pyarrow.float64()),
                "half": pyarrow.array([0.5, -0.0, 2.0], pyarrow.float32()),
                "flag": pyarrow.array([True, None, False]),
                "text": pyarrow.array(["", None, "a\n\u20ac\U0001f600"]),
                "blob": pyarrow.array([b"\x00\xff", None, b""]),
                "list": pyarrow.array([[1, None], [], None], pyarrow.list_(pyarrow.int32())),
                "nested": pyarrow.array([[["a"], []], None, [[None]]], pyarrow.list_(pyarrow.list_(pyarrow.string()))),
                "struct": pyarrow.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}]),
                "moment": pyarrow.array([moment, None, moment], pyarrow.timestamp("us", "UTC")),
                "day": pyarrow.array([moment.date(), None, moment.date()], pyarrow.date32()),
            }
        ),
        "tensors": {
            "model": {"weight": weight, "tied": weight, "bias": torch.tensor([0.5, -1.5], dtype=torch.bfloat16)},
            "scalars": (torch.tensor(3), torch.tensor(True), torch.zeros(0, 5), torch.tensor([1 + 2j])),
            "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "lr": 1e-3, "betas": (0.9, 1.0), "name": None},
        },
    }


def records() -> list[Payload]:
    """One record of each kind."""
    given = {kind: f"sha256:{hexadecimal}" for kind, hexadecimal in DIGESTS.items()}
    return [
        Process("golden", "golden-host", "golden-start", 101, ["repro"]),
        RunStarted(
            run_id="0123456789abcdef",
            run_kind="asset",
            name="sft-seed7",
            parent_run_id="parent-1",
            recipe="repro_assets.training.sft:train",
            asset="models/sft",
            partition="p",
            job="default",
            experiment="golden",
            tags=["a", "b"],
            trial=True,
            replay_of="fedcba9876543210",
            seed=7,
            mode={"threads": 1},
            settings={"level": "standard"},
            capture_level="standard",
            config={"lr": 0.1, "name": "é"},
            code_version="abc",
            reuse_key="key",
            device="cpu",
            environment=given["json"],
            source=given["tree"],
            source_facts={"commit": "0" * 40, "dirty": False},
            host_facts={"cpu": "golden"},
            plan={"job": "default"},
            warnings=["the tree is dirty"],
        ),
        ArtifactStored(given["table"], "table", 100, 1),
        RunInput("0123456789abcdef", "data", given["table"], "data/cota", "p", "fedcba9876543210", True),
        RunOutput("0123456789abcdef", "model", given["tensors"], "model-0123", "models/sft", "p", "model-sft", 1),
        VersionClaimed("model-sft", 1, given["tensors"], "tensors", "0123456789abcdef", True),
        AliasMoved("model-sft", "best", 1, given["tensors"], f"{SEGMENT}:4"),
        Params("0123456789abcdef", {"depth": 3, "name": "\udcff"}),
        Metrics.of(
            "0123456789abcdef", [["loss", 0, 1.5, TIME], ["loss", 1, float("inf"), TIME], ["x", None, 1.0, TIME]]
        ),
        SeedsUsed("0123456789abcdef", 7, {"init": 2**62}),
        CheckpointSaved("0123456789abcdef", "checkpoint_best_1", "best", "1", given["tensors"], 10, {"loss": 0.5}),
        EvaluationMade(
            "0123456789abcdef", "eval-m-on-d", given["tensors"], given["table"], given["json"], {"acc": 0.9}
        ),
        Fingerprints("0123456789abcdef", 10, {"weight": "0" * 32}),
        CheckMade("verifies", True, "0123456789abcdef", "models/sft", "p", "WARN", {"objects": 3}),
        ReplayMade(
            "0123456789abcdef",
            "fedcba9876543210",
            "identical",
            "equal bits",
            [{"name": "model", "verdict": "identical"}],
            [{"setting": "threads"}],
            [{"name": "loss"}],
            1.5,
        ),
        RunEnded("0123456789abcdef", "FAILED", {"type": "ValueError", "message": "m", "trace": "t"}, ["train.py"]),
        ParentState("parent-1", "FAILED", "FAILURE", "default", TIME, TIME + 1, {"type": "E", "message": "m"}),
    ]


def write(root: Path) -> dict[str, Digest]:
    """Write the store and return the digests of its artifacts; where they are not `DIGESTS`, only the objects."""
    home: Home = make_store(root)
    (root / MARKER).write_text(json.dumps({"format": 1, "store_id": "0" * 32}) + "\n")
    objects = open_objects(home, DECODERS)
    digests = {
        kind: objects.put(kind_named(kind).write(value, objects.batch()).encode()) for kind, value in values().items()
    }
    if {kind: digest.hex for kind, digest in digests.items()} != DIGESTS:
        return digests
    for number, kind in enumerate(("tensors", "table", "tensors")):
        names.claim(home, "model-sft", digests[kind], kind, None if number else "0123456789abcdef", trial=not number)
    home.journal.mkdir()
    (home.journal / SEGMENT).write_bytes(
        b"".join(
            write_line(payload, seq=seq, time=TIME + seq, follows=(f"{SEGMENT}:{seq - 1}",) if seq > 1 else ())
            for seq, payload in enumerate(records())
        )
    )
    whole = [write_line(Params("run", {"number": number}), seq=number, time=TIME) for number in range(1, 5)]
    (home.journal / DAMAGED_SEGMENT).write_bytes(
        write_line(records()[0], seq=0, time=TIME)
        + whole[0].replace(b'"number":1', b'"number":9')
        + whole[1].rstrip(b"\n")
        + whole[2]
        + whole[3][:-20]
    )
    home.temporary.rmdir()
    return digests


if __name__ == "__main__":
    if ROOT.exists():
        sys.exit(f"{ROOT} is there; what is old stays as it is")
    for kind, digest in write(ROOT).items():
        print(f'    "{kind}": "{digest.hex}",')
