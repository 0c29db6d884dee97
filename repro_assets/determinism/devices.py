"""Where a recipe computes, and how several processes of one reach each other there."""

from __future__ import annotations

from repro_assets.errors import InvalidValue

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
"""Backend of `torch.distributed` for each kind of device."""


def check_devices(device: str, processes: int) -> None:
    """Refuse GPUs that are not there.

    Raises
    ------
    InvalidValue
        If `device` is ``cuda`` and there are fewer GPUs than processes, or this torch has no NCCL for several.
    """
    if device != "cuda":
        return
    import torch

    found = torch.cuda.device_count()
    if found < processes:
        raise InvalidValue(
            f"{processes} {'process needs a GPU' if processes == 1 else 'processes need a GPU each'}, and torch sees "
            f"{found}",
            "set device to cpu" if found == 0 else f"set device to cpu, or processes to {found}",
        )
    if processes > 1 and not torch.distributed.is_nccl_available():
        raise InvalidValue("this torch has no NCCL, by which processes on GPUs reach each other", "set device to cpu")
