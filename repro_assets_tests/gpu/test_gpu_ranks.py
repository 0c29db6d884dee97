"""Ranks on GPUs: gradients go by NCCL, figures by gloo, and two ranks end up with equal ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing, nn

from repro_assets.training.ranks import Ranks

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not distributed.is_nccl_available(), reason="this torch has no NCCL"),
]


def exchanged(rank: int, count: int, folder: str) -> None:
    """Sum what each rank has, and leave it in the folder."""
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo"
    torch.cuda.set_device(rank)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl", init_method=f"file://{folder}/group", rank=rank, world_size=count
    )
    # Where there is one GPU, its rank behaves as one of two that are alone.
    ranks = Ranks(rank, max(2, count))
    model = nn.Linear(3, 2).to(Ranks(rank, count).device("cuda"))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float(rank + 1))
    ranks.sum_gradients(model, 1e-6)
    found: dict[str, Any] = {
        "gradients": [parameter.grad.cpu() for parameter in model.parameters() if parameter.grad is not None],
        "device": str(next(model.parameters()).device),
        "total": ranks.total(1.5, 2.0),
        "most": ranks.most(rank, 3),
    }
    torch.save(found, f"{folder}/rank-{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.parametrize("count", [1, 2])
def test_gradients_are_summed_by_nccl_and_figures_by_gloo(tmp_path: Path, count: int) -> None:
    if torch.cuda.device_count() < count:
        pytest.skip(f"{count} GPUs are needed, and torch sees {torch.cuda.device_count()}: NCCL takes one rank on each")
    multiprocessing.spawn(exchanged, args=(count, str(tmp_path)), nprocs=count)
    for rank in range(count):
        found = torch.load(tmp_path / f"rank-{rank}.pt")
        assert found["device"] == f"cuda:{rank}"
        assert [float(gradient.min()) for gradient in found["gradients"]] == [count * (count + 1) / 2] * 2
        assert [float(gradient.max()) for gradient in found["gradients"]] == [count * (count + 1) / 2] * 2
        assert found["total"] == [1.5 * count, 2.0 * count]
        assert found["most"] == [count - 1, 3]
