"""Looking closely at an execution that is made again: all quantities of chosen steps, the ops of some, then the end.

Laws: whoever executes a run again names a file in the variable `VARIABLE`; the first training of the run that the
orders name is looked at, no other, and where they name none the first one of the process; of several ranks the first
one writes, and all end after the same step; what was seen is on the disk when the process ends, whole lines of it
whenever it dies; nothing that decides bits is changed. A file of a newer format is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from repro_assets.errors import InvalidInput

if TYPE_CHECKING:
    from repro_assets.determinism.quantities import Tensors

VARIABLE = "REPRO_PROBE"
FORMAT = 2
"""Format 1 has no member `run`; what names no run is written in it, so that the child of an older tree reads it."""
VALUES_BYTES = 512 << 20
"""Bytes of values that an answer holds; of what comes after it has the fingerprints alone."""


class Enough(SystemExit):
    """The execution was ended because nothing more was to be seen."""

    def __init__(self, step: int) -> None:
        super().__init__(0)
        self.step = step

    def __str__(self) -> str:
        return f"ended after step {self.step}, as was asked"


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be looked at.

    Parameters
    ----------
    folder : str
        Where the answer goes.
    first, last : int
        Steps whose quantities are wanted; the execution ends after `last`, or goes to its end where that is None.
    trace : int or None
        First step whose ops are wanted, up to `last`; None for none.
    every : int
        Values are kept of each such step, of those that it divides, and of the last; 0 for none.
    checkpoint : str or None
        Digest of the checkpoint to go on from; None for the beginning.
    run : str or None
        The recorded run whose training is looked at, where the process executes several again.
    """

    folder: str
    first: int
    last: int | None
    trace: int | None = None
    every: int = 0
    checkpoint: str | None = None
    run: str | None = None

    def written(self, path: Path) -> dict[str, str]:
        """Write them into a file and return the variable that a process needs to find it."""
        document = {"format": FORMAT, **asdict(self)}
        if document["run"] is None:
            del document["run"]
            document["format"] = 1
        path.write_text(json.dumps(document), "utf-8")
        return {VARIABLE: str(path)}


class Probe:
    """The answer to orders, while it is written.

    Parameters
    ----------
    orders : Orders
        What is to be looked at.
    writes : bool
        False in a rank that only begins and ends as the one that writes.
    """

    def __init__(self, orders: Orders, *, writes: bool = True) -> None:
        self.orders = orders
        self.writes = writes
        self._folder = Path(orders.folder)
        self._lines: dict[str, IO[str]] = {}
        self._values: IO[bytes] | None = None

    def wants(self, step: int) -> bool:
        """Tell whether the quantities after `step` are wanted."""
        last = self.orders.last
        return self.writes and step >= self.orders.first and (last is None or step <= last)

    def traces(self, step: int) -> bool:
        """Tell whether the ops of `step` are wanted."""
        return self.orders.trace is not None and step >= self.orders.trace and self.wants(step)

    def is_last(self, step: int) -> bool:
        """Tell whether nothing after `step` is wanted."""
        return self.orders.last is not None and step >= self.orders.last

    def see(self, step: int, quantity: str, tensors: Tensors) -> None:
        """Write the fingerprints of a quantity, and its values where they are wanted."""
        from repro_assets.determinism.fingerprints import fingerprint_of

        keep = self.orders.every and (step % self.orders.every == 0 or step == self.orders.last)
        for name, tensor in tensors.items():
            row = {"step": step, "quantity": quantity, "tensor": name, "xxh3": fingerprint_of(tensor, name)}
            self.write("fingerprints", {**row, **(self.value(tensor) if keep else {})})

    def value(self, tensor: Any) -> dict[str, Any]:
        """Keep the numbers of a tensor and return where; nothing of what is no number, or where there is no room."""
        import numpy

        if self._values is None:
            self._values = (self._folder / "values.bin").open("ab")
        array = tensor
        if hasattr(tensor, "detach"):
            import torch

            plain = tensor.detach().cpu()
            array = (plain.float() if plain.dtype is torch.bfloat16 else plain).resolve_conj().resolve_neg().numpy()
        array = numpy.ascontiguousarray(array)
        place = self._values.tell()
        if array.dtype.kind not in "biufc" or place + array.nbytes > VALUES_BYTES:
            return {}
        self._values.write(array.tobytes())
        return {"at": place, "dtype": array.dtype.name, "shape": list(numpy.shape(tensor))}

    def write(self, what: str, row: Mapping[str, Any]) -> None:
        """Append a line to the file of `what`."""
        if what not in self._lines:
            self._lines[what] = (self._folder / f"{what}.jsonl").open("a", encoding="utf-8", buffering=1 << 16)
        self._lines[what].write(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Put everything into the files."""
        for file in self._lines.values():
            file.flush()
        if self._values is not None:
            self._values.flush()


_claimed = False


def claimed(replay_of: str | None = None) -> Probe | None:
    """Return this process's probe to the first training that is wanted; None to all others, and where there is none.

    Parameters
    ----------
    replay_of : str, optional
        The recorded run that the one which asks executes again.

    Raises
    ------
    InvalidInput
        If the file of orders does not read.
    """
    global _claimed
    path = os.environ.get(VARIABLE)
    if not path or _claimed:
        return None
    orders = _read(path)
    if orders.run not in (None, replay_of):
        return None
    _claimed = True
    return Probe(orders, writes=os.environ.get("RANK", "0") == "0")


def _read(path: str) -> Orders:
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        if document.pop("format") not in (1, FORMAT):
            raise ValueError("its format is another one")
        return Orders(**document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"the orders in {path} do not read: {error}", f"unset {VARIABLE}") from error
