"""One training by several processes: who does which part of a batch, and how the parts become one step.

Laws: every rank holds the same parameters before and after every step; the gradient is that of the mean over the whole
batch, however it is shared out; what is summed, in which order and in which pieces is a function of the parameters, the
number of ranks and the bucket size alone, the first step after a resumption included; all ranks decide alike, because
what they decide by is exchanged first. One process alone exchanges nothing and computes as if there were no ranks.

The gradients are summed here and not by torch's DistributedDataParallel: that one sets its buckets anew after its first
backward pass, so the first step after a resumption would add in another order than the same step without one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from repro_assets.determinism.devices import check_devices
from repro_assets.errors import CheckFailed, InvalidValue, PeerLost

Value = TypeVar("Value")
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of one training, as one of them sees them.

    Parameters
    ----------
    rank : int
        This process, 0 to `count` - 1; the first one records.
    count : int
        How many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls, wanted: int) -> Ranks:
        """Return the processes that this one is one of.

        Raises
        ------
        InvalidValue
            If they are not as many as the config wants.
        """
        found = cls()
        if distributed.is_available() and distributed.is_initialized():
            found = cls(distributed.get_rank(), distributed.get_world_size())
        if found.count != wanted:
            raise InvalidValue(
                f"processes is {wanted}, and {found.count} {'is' if found.count == 1 else 'are'} here",
                "have the asset executed: repro train --mode sft --nproc N starts them",
            )
        return found

    @property
    def first(self) -> bool:
        """Whether this is the process that records what is of the whole training."""
        return self.rank == 0

    def device(self, kind: str) -> torch.device:
        """Return where this rank computes: the CPU, or the GPU of its number.

        Raises
        ------
        InvalidValue
            If there is no GPU for each rank.
        """
        check_devices(kind, self.count)
        return torch.device(kind) if kind == "cpu" else torch.device(kind, self.rank)

    def part(self, batch: Tensor) -> Tensor:
        """Return this rank's part of a batch, [n, ...]: neighbours, whose numbers differ by one at most."""
        return batch if self.count == 1 else batch.tensor_split(self.count)[self.rank]

    def sum_gradients(self, model: nn.Module, megabytes: float) -> None:
        """Replace each gradient by its sum over the ranks.

        Parameters
        ----------
        model : Module
            Its parameters, in their order; one without a gradient on this rank counts as zeros.
        megabytes : float
            Gradients are exchanged together up to so many 10^6 bytes, a larger one alone.
        """
        if self.count == 1:
            return
        for bucket in _buckets(model, megabytes * MEGABYTE):
            joined = torch.cat([gradient.reshape(-1) for gradient in bucket])
            with _reached():
                distributed.all_reduce(joined)
            parts = torch.split(joined, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def total(self, *figures: float) -> list[float]:
        """Return the sum of each figure over the ranks, in float64."""
        if self.count == 1:
            return list(figures)
        joined = torch.tensor(figures, dtype=torch.float64)
        with _reached():
            distributed.all_reduce(joined)
        return [float(figure) for figure in joined]

    def most(self, *numbers: int) -> list[int]:
        """Return the greatest of each number over the ranks."""
        if self.count == 1:
            return list(numbers)
        joined = torch.tensor(numbers, dtype=torch.int64)
        with _reached():
            distributed.all_reduce(joined, op=distributed.ReduceOp.MAX)
        return [int(number) for number in joined]

    def gathered(self, value: Value) -> list[Value]:
        """Return the value of every rank, in their order, on every rank."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        with _reached():
            distributed.all_gather_object(found, value)
        return found


def check_equal(fingerprints: Sequence[Mapping[str, str]], step: int) -> None:
    """Refuse ranks whose parameters are no longer the same.

    Parameters
    ----------
    fingerprints : sequence of mapping
        Of each rank's tensors, by name.
    step : int
        After which step.

    Raises
    ------
    CheckFailed
        If a rank's differ from the first one's; the rank and the first such tensor are named.
    """
    for rank, found in enumerate(fingerprints):
        differing = [name for name, fingerprint in fingerprints[0].items() if found.get(name) != fingerprint]
        if differing:
            raise CheckFailed(
                f"rank {rank} has another {differing[0]} than rank 0 after step {step}",
                "something computes or draws differently between the ranks; the checkpoints before are whole",
            )


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """Say what it means where an exchange does not succeed."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(f"the other ranks cannot be reached: {error}") from error


def _buckets(model: nn.Module, most: float) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = []
    held = 0
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradient = parameter.grad
        alike = bool(buckets) and buckets[-1][0].dtype == gradient.dtype
        if not alike or held + gradient.nbytes > most:
            buckets.append([])
            held = 0
        buckets[-1].append(gradient)
        held += gradient.nbytes
    return buckets
