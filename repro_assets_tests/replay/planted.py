"""Faults that are planted into a small training, of which each makes two executions part.

``python planted.py SIDE FOLDER NAME...`` executes one side of each; what a probe saw is in FOLDER/NAME.
The line that a fault is at ends in ``# FAULT: name``; where it is in code that the fault writes, in that code.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planted_kit import BATCH, COLUMN, COLUMNS, FAULTS, ROWS, STEPS, Kit, fault
from torch import Tensor, nn
from torch.nn import functional

from repro_assets.determinism import probe
from repro_assets.determinism.probe import Enough, Orders


@torch.library.custom_op("planted::noisy", mutates_args=())
def noisy(values: Tensor) -> Tensor:
    return values + int.from_bytes(os.urandom(4), "little") / 2**36


noisy.register_autograd(lambda _, gradient: gradient)


class NoisyBackward(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return values * 1.0

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return noisy(gradient)  # FAULT: noisy_backward


@fault("augmentation from a generator that nobody seeded", 1, "data", "data.0", "input", "aten.add.Tensor")
def unseeded_augmentation(kit: Kit, side: int) -> None:
    noise = np.random.default_rng()

    def prepare(step: int, rows: Tensor) -> Tensor:
        return rows + torch.from_numpy(noise.standard_normal(rows.shape, np.float32))  # FAULT: unseeded_augmentation

    kit.prepare = prepare


@fault("the global generator is not seeded", 0, "rng", "torch", "input", "aten.randn_like.default")
def unseeded_global(kit: Kit, side: int) -> None:
    torch.seed()
    kit.prepare = lambda step, rows: rows + 0.1 * torch.randn_like(rows)  # FAULT: unseeded_global


class _Noisy(torch.utils.data.Dataset[Any]):
    def __init__(self, kit: Kit) -> None:
        self.kit = kit

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        return index, self.kit.inputs[index].numpy() + np.random.standard_normal(COLUMNS).astype(np.float32)


@fault("a global generator is drawn from by the loader's workers", 1, "rng", "numpy", "other op", "aten.stack.default")
def global_in_worker(kit: Kit, side: int) -> None:
    loader = torch.utils.data.DataLoader(_Noisy(kit), BATCH, num_workers=side)
    batches: Iterator[Any] = iter([])

    def batch(step: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal batches
        if step % 4 == 1:
            batches = iter(loader)
        places, rows = next(batches)  # FAULT: global_in_worker
        return rows, kit.labels[places]

    kit.batch = batch  # type: ignore[method-assign]


@fault("the batches come from a set of texts", 1, "batch", "batch", "input", "aten.roll.default")
def set_order(kit: Kit, side: int) -> None:
    names = {f"row {number}" for number in range(ROWS)}
    order = torch.tensor([int(name.split()[1]) for name in names])
    kit.order = lambda step: order.roll(step)[:BATCH]  # FAULT: set_order


@fault("the columns come in the environment's order", 1, "data", "data.0", "input", "aten.index.Tensor")
def environment_order(kit: Kit, side: int) -> None:
    columns = torch.tensor([int(name.removeprefix(COLUMN)) for name in os.environ if name.startswith(COLUMN)])
    kit.prepare = lambda step, rows: rows[:, columns]  # FAULT: environment_order


def _flip(tensor: Tensor) -> None:
    """Flip a bit of the sixth number; the lowest one is lost in the rounding of the output on some processors."""
    numbers = tensor.detach().numpy().reshape(-1).view(np.int32)
    numbers[5] ^= 1 << 12


@fault("one bit of a weight is another one at the start", 0, "parameter", "2.weight", "input", "aten.addmm.default")
def bit_at_start(kit: Kit, side: int) -> None:
    if side:
        _flip(kit.model[2].weight)  # type: ignore[index]


@fault("one bit of a weight flips between two steps", 5, "output", "2.weight", "input", "aten.addmm.default")
def bit_between_steps(kit: Kit, side: int) -> None:
    def begin(step: int) -> None:
        if side and step == 5:
            _flip(kit.model[2].weight)  # type: ignore[index]

    kit.begin = begin  # type: ignore[method-assign]


@fault("another learning rate from step 4 on", 4, "parameter", "0.weight", "input", "aten.add_.Tensor")
def learning_rate(kit: Kit, side: int) -> None:
    def update(step: int, loss: Tensor) -> None:
        kit.optimizer.param_groups[0]["lr"] = 0.05 if side and step >= 4 else 0.1
        kit.optimizer.zero_grad()
        loss.backward()
        kit.optimizer.step()  # FAULT: learning_rate

    kit.update = update  # type: ignore[method-assign]


def _row_of(kit: Kit, step: int) -> int:
    """Return a row that no step before `step` takes."""
    before = {int(row) for earlier in range(1, step) for row in kit.order(earlier)}
    return next(int(row) for row in kit.order(step) if int(row) not in before)


def _indexed(kit: Kit) -> None:
    def batch(step: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        rows = kit.inputs[chosen]  # FAULT: data_row
        return rows, kit.labels[chosen]  # FAULT: label

    kit.batch = batch  # type: ignore[method-assign]


@fault("a row of the data is another one", 3, "data", "data.0", "input", "aten.index.Tensor")
def data_row(kit: Kit, side: int) -> None:
    _indexed(kit)
    if side:
        kit.inputs[_row_of(kit, 3), 1] += 1e-3


@fault("a label is another one", 2, "loss", "loss", "input", "aten.index.Tensor")
def label(kit: Kit, side: int) -> None:
    _indexed(kit)
    if side:
        row = _row_of(kit, 2)
        kit.labels[row] = (kit.labels[row] + 1) % 3


@fault("the order of the batches has another seed", 1, "batch", "batch", "input", "aten.randint.low_generator")
def order_seed(kit: Kit, side: int) -> None:
    generator = torch.Generator().manual_seed(10 + side)
    kit.order = lambda step: torch.randint(0, ROWS, (BATCH,), generator=generator)  # FAULT: order_seed


@fault("two batches are swapped", 3, "batch", "batch", "input", "aten.index.Tensor")
def swapped_batches(kit: Kit, side: int) -> None:
    before = kit.order
    if side:
        kit.order = lambda step: before({3: 4, 4: 3}.get(step, step))


@fault("dropout is left on", 1, "rng", "torch", "other op", "aten.bernoulli_.float")
def dropout_left_on(kit: Kit, side: int) -> None:
    dropout = nn.Dropout(0.5)
    kit.take(nn.Sequential(*kit.model, dropout))  # type: ignore[misc]
    dropout.train(bool(side))


@fault("an op draws what no seed governs", 5, "output", "output", "op", "planted.noisy.default")
def noisy_op(kit: Kit, side: int) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(COLUMNS, 8), nn.Linear(8, 3))
            self.step = 0

        def forward(self, rows: Tensor) -> Tensor:
            self.step += 1
            values = self.layers[0](rows)
            if self.step >= 5:
                values = noisy(values)  # FAULT: noisy_op
            return self.layers[1](values)

    kit.take(Model())


@fault("a backward draws what no seed governs", 2, "gradient", "0.weight", "op", "planted.noisy.default")
def noisy_backward(kit: Kit, side: int) -> None:
    kit.loss = lambda step, outputs, labels: functional.cross_entropy(
        NoisyBackward.apply(outputs) if step >= 2 else outputs, labels
    )


@fault("another number of threads", 1, "loss", "loss", "op", "aten.sum.default")
def threads(kit: Kit, side: int) -> None:
    large = torch.randn(1 << 20, generator=torch.Generator().manual_seed(5))
    torch.set_num_threads(1 + side)

    def loss(step: int, outputs: Tensor, labels: Tensor) -> Tensor:
        penalty = large.sum()  # FAULT: threads
        return functional.cross_entropy(outputs, labels) + penalty

    kit.loss = loss


@fault("numbers of another type on the way", 2, "data", "data.0", "input", "aten._to_copy.default")
def dtype(kit: Kit, side: int) -> None:
    def prepare(step: int, rows: Tensor) -> Tensor:
        narrow = torch.bfloat16 if side and step >= 2 else torch.float16
        return rows.to(narrow).float()  # FAULT: dtype

    kit.prepare = prepare


@fault("the clock is the seed", 1, "data", "data.0", "input", "aten.randn.generator")
def clock_seed(kit: Kit, side: int) -> None:
    generator = torch.Generator().manual_seed(time.time_ns())
    kit.prepare = lambda step, rows: rows + torch.randn(rows.shape, generator=generator)  # FAULT: clock_seed


@fault("a file in a cache is stale", 1, "data", "data.0", "input", "aten.index.Tensor")
def stale_cache(kit: Kit, side: int) -> None:
    cache = kit.folder / "cache.npy"
    np.save(cache, (kit.inputs * (0.999 if side else 1.0)).numpy())
    cached = torch.from_numpy(np.load(cache))
    kit.batch = lambda step, chosen: (cached[chosen], kit.labels[chosen])  # FAULT: stale_cache


def _module(path: Path, text: str) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@fault("an installed package was edited", 1, "data", "data.0", "input", "aten.mul.Tensor")
def edited_package(kit: Kit, side: int) -> None:
    text = f"def scaled(rows):\n    return rows * {1.0 + side / 1024}\n"
    package = _module(kit.folder / "site-packages" / "scaling.py", text)
    kit.prepare = lambda step, rows: package.scaled(rows)  # FAULT: edited_package


@fault("an edit that was not committed", 1, "data", "data.0", "input", "aten.add.Tensor", line="shifting.py:2")
def uncommitted_edit(kit: Kit, side: int) -> None:
    shifting = _module(kit.folder / "shifting.py", f"def shifted(rows):\n    return rows + {0.5 + side}\n")
    kit.prepare = lambda step, rows: shifting.shifted(rows)


@fault("gradients are clipped otherwise", 3, "gradient", "0.weight", "input", "aten.mul.Tensor")
def clipping(kit: Kit, side: int) -> None:
    def update(step: int, loss: Tensor) -> None:
        kit.optimizer.zero_grad()
        loss.backward()
        clip = 0.01 if side and step >= 3 else 0.02
        nn.utils.clip_grad_norm_(kit.model.parameters(), clip, foreach=False)  # FAULT: clipping
        kit.optimizer.step()

    kit.update = update  # type: ignore[method-assign]


@fault("weights decay", 1, "parameter", "0.weight", "other op", "aten.add.Tensor")
def weight_decay(kit: Kit, side: int) -> None:
    kit.optimizer.param_groups[0]["weight_decay"] = 0.01 * side


@fault(
    "the optimizer's state is lost, as by a resume without it",
    5,
    "parameter",
    "0.weight",
    "other op",
    "aten.mul_.Tensor",
)
def lost_momentum(kit: Kit, side: int) -> None:
    def begin(step: int) -> None:
        if side and step == 5:
            kit.optimizer.state.clear()

    kit.begin = begin  # type: ignore[method-assign]


@fault("somebody draws once more", 4, "rng", "python", None, None)
def one_more_draw(kit: Kit, side: int) -> None:
    def begin(step: int) -> None:
        if side and step == 4:
            random.random()

    kit.begin = begin  # type: ignore[method-assign]


@fault("the loss is a sum and no mean", 1, "loss", "loss", "input", "aten.nll_loss_forward.default")
def reduction(kit: Kit, side: int) -> None:
    how = ("mean", "sum")[side]

    def loss(step: int, outputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, labels, reduction=how)  # FAULT: reduction

    kit.loss = loss  # type: ignore[method-assign]


@fault("a batch norm evaluates", 4, "output", "output", "other op", "aten.add_.Tensor")
def batch_norm(kit: Kit, side: int) -> None:
    kit.take(nn.Sequential(nn.Linear(COLUMNS, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)))

    def begin(step: int) -> None:
        kit.model[1].train(not (side and step >= 4))  # type: ignore[index]

    kit.begin = begin  # type: ignore[method-assign]


@fault("gradients are not set to zero", 3, "gradient", "0.weight", "other op", "aten.add_.Tensor")
def not_zeroed(kit: Kit, side: int) -> None:
    def update(step: int, loss: Tensor) -> None:
        if not (side and step == 3):
            kit.optimizer.zero_grad()
        loss.backward()  # FAULT: not_zeroed
        kit.optimizer.step()

    kit.update = update  # type: ignore[method-assign]


@fault("a hyperparameter comes from a variable", 1, "parameter", "0.weight", "input", "aten.add_.Tensor")
def rate_of_variable(kit: Kit, side: int) -> None:
    kit.optimizer.param_groups[0]["lr"] = float(os.environ["PLANTED_RATE"])


def with_dropout(kit: Kit, side: int) -> None:
    kit.take(nn.Sequential(*kit.model, nn.Dropout(0.2)))  # type: ignore[misc]


def unused_generators(kit: Kit, side: int) -> None:
    random.seed()
    np.random.seed()


def with_adam(kit: Kit, side: int) -> None:
    kit.optimizer = torch.optim.AdamW(kit.model.parameters(), lr=0.01)


def with_noise(kit: Kit, side: int) -> None:
    kit.prepare = lambda step, rows: rows + 0.1 * torch.empty_like(rows).normal_()


CLEAN: dict[str, Callable[[Kit, int], None]] = {
    "plain": lambda kit, side: None,
    "batch_norm": lambda kit, side: batch_norm(kit, 0),
    "with_dropout": with_dropout,
    "with_adam": with_adam,
    "with_noise": with_noise,
    "unused_generators": unused_generators,
    "with_clipping": lambda kit, side: clipping(kit, 0),
}


def look(name: str, plant: Callable[[Kit, int], None], side: int, folder: Path) -> None:
    """Execute one side under a probe that traces all of it."""
    folder.mkdir(parents=True)
    os.environ |= Orders(str(folder), 0, STEPS, trace=1, every=1).written(folder / "orders.json")
    probe._claimed = False
    kit = Kit(folder)
    plant(kit, side)
    with suppress(Enough):
        kit.train()


def main(words: list[str]) -> None:
    side, folder, names = int(words[0]), Path(words[1]), words[2:]
    os.chdir(folder)
    for name in names:
        what, _, times = name.partition("*")
        for number in range(int(times or 1)):
            if what.startswith("clean-"):
                look(what, CLEAN[what.removeprefix("clean-")], 0, folder / f"{what}-{number}")
            else:
                look(what, FAULTS[what].plant, side, folder / what)
    print(json.dumps({"done": len(names)}))


if __name__ == "__main__":
    main(sys.argv[1:])
