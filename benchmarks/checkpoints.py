"""What ten checkpoints and a ring buffer's snapshots take on the disk, and how long saving and loading takes.

The checkpoints are those of a real training, on the CPU, of a transformer that predicts the next byte of this project's
own pages and modules: the model, its AdamW state and the step.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from benchmarks.measuring import Section, repeated, timed
from repro_assets.artifacts import repository
from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds.record_blocks import RecordBuffer
from repro_assets.artifacts.succession import repack_store
from repro_assets.store.home import Home, make_store

PROJECT = Path(__file__).parents[1]
CHECKPOINTS = 10
STEPS_BETWEEN = 10
RATE = 1e-4
WIDTH, LAYERS, CONTEXT, BATCH, RANK = 256, 4, 64, 8, 4
LARGE = 1 << 24
SNAPSHOTS, CAPACITY, TURNOVER = 16, 200_000, 20_000
RECORD = numpy.dtype(
    [
        ("state", "f4", (16,)),
        ("action", "i8"),
        ("reward", "f4"),
        ("done", "?"),
        ("log_prob", "f4"),
        ("value", "f4"),
        ("episode", "i8"),
        ("step", "i8"),
    ]
)


def measure() -> Section:
    """Measure sizes and times."""
    rows, figures = [], []
    last: dict[str, Any] = {}
    for title, prepare, target, repacked in (
        ("frozen base, trained head", _freeze_base, 0.22, None),
        ("frozen base, adapters of rank 4 (LoRA)", _adapt, 0.15, None),
        ("all parameters change", lambda _: None, 0.85, 0.70),
    ):
        with tempfile.TemporaryDirectory() as folder:
            home, raw = make_store(Path(folder, "home")), 0
            for number, checkpoint in enumerate(_training(prepare)):
                stored = repository.put(home, checkpoint)
                repository.claim(stored, "checkpoints", run_id=str(number))
                raw += stored.manifest.size
                last = checkpoint
            before = _bytes(home)
            repack_store(home)
            rows.append((title, raw, before / raw, target, _bytes(home) / raw, repacked))
    for title, value in (
        ("the transformer's last checkpoint", last),
        ("one tensor of 64 MiB, normal numbers", {"weight": torch.randn(LARGE) * 0.02}),
        ("one tensor of 64 MiB, random bits", {"bits": torch.randint(-(2**62), 2**62, (LARGE // 2,))}),
    ):
        figures += _times(title, value)
    ring = [(title, *_ring(columns)) for title, columns in (("simulated", _episodes()), ("noise", _noise()))]
    return Section(title="Checkpoints and buffers", about=_about(rows, ring), figures=figures)


def _about(rows: list[tuple[Any, ...]], ring: list[tuple[str, int, int]]) -> str:
    lines = [
        f"{CHECKPOINTS} checkpoints, {STEPS_BETWEEN} steps of AdamW (rate {RATE:g}) between them, of a transformer "
        f"({LAYERS} layers, width {WIDTH}) on the bytes of this project's text. Sizes are parts of the raw size of the "
        "tensors; each has its target beside it.",
        "",
        "| what is trained | raw, MB | stored | target | after `store repack` | target |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for title, raw, before, target, after, repacked in rows:
        wanted = "" if repacked is None else f"{repacked:g}"
        lines.append(f"| {title} | {raw / 1e6:.0f} | {before:.3f} | {target:g} | {after:.3f} | {wanted} |")
    lines += [
        "",
        f"{SNAPSHOTS} snapshots of a ring buffer of {CAPACITY:,} records ({RECORD.itemsize} bytes each), {TURNOVER:,} "
        "new ones between two; target 25 MB. Simulated: four coupled driven pendulums, one episode of 200 steps after "
        "the other, actions drawn from a softmax policy. Noise: the same, its floating-point fields normal random.",
        "",
        "| contents | raw, MB | stored, MB |",
        "| --- | ---: | ---: |",
        *(f"| {title} | {raw / 1e6:.1f} | {stored / 1e6:.1f} |" for title, raw, stored in ring),
        "",
        "Saving is durable (the files and their folders are on the disk) and hashes with SHA-256; `torch.save` does "
        "neither. Loading verifies every byte; `torch.load` does not. Files are in the page cache.",
    ]
    return "\n".join(lines)


class _Adapted(nn.Module):
    """A frozen linear layer with a trained difference of low rank."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.randn(RANK, base.in_features) * 0.02)
        self.up = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.base(values) + values @ self.down.T @ self.up.T
        return result


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, WIDTH)
        self.place = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True) for _ in range(LAYERS)
        )
        self.head = nn.Linear(WIDTH, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embed(tokens) + self.place
        mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=mask, is_causal=True)
        result: Tensor = self.head(hidden)
        return result


def _freeze_base(model: _Transformer) -> None:
    model.requires_grad_(False)
    model.head.requires_grad_(True)


def _adapt(model: _Transformer) -> None:
    model.requires_grad_(False)
    for layer in model.layers:
        layer.linear1, layer.linear2 = _Adapted(layer.linear1), _Adapted(layer.linear2)


def _training(prepare: Callable[[_Transformer], None]) -> Iterator[dict[str, Any]]:
    torch.manual_seed(0)
    model = _Transformer()
    prepare(model)
    optimizer = torch.optim.AdamW([item for item in model.parameters() if item.requires_grad], lr=RATE)
    files = sorted([*PROJECT.glob("repro_assets/**/*.py"), *PROJECT.glob("docs/*.md")])
    text = torch.frombuffer(bytearray(b"".join(path.read_bytes() for path in files)), dtype=torch.uint8).long()
    for step in range(1, CHECKPOINTS * STEPS_BETWEEN + 1):
        starts = torch.randint(0, len(text) - CONTEXT - 1, (BATCH,)).tolist()
        tokens = torch.stack([text[start : start + CONTEXT + 1] for start in starts])
        loss = nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % STEPS_BETWEEN == 0:
            yield {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}


def _times(title: str, value: dict[str, Any]) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        file, numbers = Path(folder, "value.pt"), itertools.count()
        torch.save(value, file)
        stored = repository.put(make_store(Path(folder, "home")), value)

        def put() -> Artifact:
            return repository.put(make_store(Path(folder, f"home-{next(numbers)}")), value)

        return [
            repeated(f"load {title}, verified", lambda: timed(stored.load)),
            repeated("`torch.load` of the same", lambda: timed(lambda: torch.load(file))),
            repeated("save it into an empty store", lambda: timed(put)),
            repeated("`torch.save` of the same", lambda: timed(lambda: torch.save(value, Path(folder, "again.pt")))),
        ]


def _bytes(home: Home) -> int:
    files = (path for folder in (home.objects, home.packs) for path in folder.rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file())


def _ring(columns: dict[str, Any]) -> tuple[int, int]:
    buffer, raw, end = RecordBuffer(RECORD, CAPACITY), 0, CAPACITY
    buffer.append({name: column[:end] for name, column in columns.items()})
    with tempfile.TemporaryDirectory() as folder:
        home = make_store(Path(folder, "home"))
        for _ in range(SNAPSHOTS):
            raw += repository.put(home, buffer.snapshot()).manifest.size
            buffer.append({name: column[end : end + TURNOVER] for name, column in columns.items()})
            end += TURNOVER
        return raw, _bytes(home)


def _episodes() -> dict[str, Any]:
    """Records of one environment after the other step, in double precision, stored in single."""
    count = CAPACITY + SNAPSHOTS * TURNOVER
    generator = numpy.random.default_rng(0)
    policy = generator.standard_normal((5, 16))
    records = numpy.zeros(count, RECORD)
    angle = speed = numpy.zeros(4)
    goal, torque = 0.0, 0.0
    for index in range(count):
        step = index % 200
        if step == 0:
            angle, speed, goal = generator.uniform(-3, 3, 4), numpy.zeros(4), generator.uniform(-3, 3)
        facts = [numpy.cos(goal), numpy.sin(goal), step / 200, torque]
        state = numpy.concatenate([numpy.cos(angle), numpy.sin(angle), speed, facts])
        logits = policy @ state
        chances = numpy.exp(logits - logits.max())
        chances /= chances.sum()
        action = min(int((chances.cumsum() < generator.random()).sum()), 4)
        torque = action - 2.0
        reward = numpy.cos(angle[0] - goal) - 1 - 1e-3 * torque**2
        value = numpy.tanh(logits[0])
        records[index] = (state, action, reward, step == 199, numpy.log(chances[action]), value, index // 200, step)
        pull = numpy.diff(angle)
        push = -9.81 * numpy.sin(angle) - 0.1 * speed
        push[0] += torque
        push[1:] -= 0.5 * pull
        push[:-1] += 0.5 * pull
        speed = speed + 0.02 * push
        angle = angle + 0.02 * speed
    return {name: records[name] for name in RECORD.names or ()}


def _noise() -> dict[str, Any]:
    generator = numpy.random.default_rng(1)
    records = numpy.zeros(CAPACITY + SNAPSHOTS * TURNOVER, RECORD)
    for name in ("state", "reward", "log_prob", "value"):
        records[name] = generator.standard_normal(records[name].shape)
    records["action"] = generator.integers(0, 5, len(records))
    records["step"] = numpy.arange(len(records)) % 200
    records["episode"] = numpy.arange(len(records)) // 200
    records["done"] = records["step"] == 199
    return {name: records[name] for name in RECORD.names or ()}
