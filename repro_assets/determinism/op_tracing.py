"""Every op of a training step with the fingerprints of what it read and wrote.

Laws: an op computes what it computes without the trace; what it overwrites unread is none of its inputs; memory that
nothing has written yet has no fingerprint, and who reads it is told; an op that draws has its generator's state among
its inputs; views, which compute nothing, are left out. The source line is the innermost one of the project's own code;
of a backward op, also that of the forward op whose gradient it computes.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from repro_assets.determinism.fingerprints import fingerprint_of
from repro_assets.determinism.probe import Probe
from repro_assets.errors import InvalidValue

sequence_number: Any = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]
_PACKAGE = Path(__file__).parents[1]
_OWN_HERE = ("training",)
_NOT_OWN = ("loop.py", "ranks.py")
"""Of this project's package the recipes are somebody's own code; the rest, their loop and their ranks, is machinery."""
_LIBRARIES = tuple(
    {str(Path(path).resolve()) for path in (*sysconfig.get_paths().values(), sys.base_prefix, torch.__path__[0])}
    | {sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]}
)
_CELL = re.compile(r"<(?:ipython-input-|cell )(\d+)")
"""The file of a notebook's cell, as IPython and `repro_assets.tracking.cells` call it."""
_BLANK = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "empty_permuted", "resize_")
_OVERWRITING = (
    "copy_", "fill_", "zero_", "uniform_", "normal_", "random_", "bernoulli_", "exponential_", "geometric_",
    "cauchy_", "log_normal_", "set_",
)  # fmt: skip


class OpTrace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes a line for each op of the steps in which it is on.

    Parameters
    ----------
    probe : Probe
        Takes the lines.
    model : Module, optional
        Gives modules and parameters their names.
    """

    def __init__(self, probe: Probe, model: nn.Module | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.step: int | None = None
        self._probe = probe
        self._number = 0
        self._modules = {} if model is None else {id(module): name for name, module in model.named_modules()}
        self._model = model
        self._open: list[str] = []
        self._names: dict[int, str] = {}
        self._blank: set[int] = set()
        self._forward: dict[int, dict[str, Any]] = {}
        self._hooks: list[Any] = []
        self._owned: dict[str, bool] = {}

    def begin(self, step: int) -> None:
        """Trace from here on."""
        if not self._hooks:
            self._hooks = [
                hooks.register_module_forward_pre_hook(self._entered),
                hooks.register_module_forward_hook(self._left, always_call=True),
            ]
        self.step, self._number = step, 0
        self._open.clear()

    def pause(self) -> None:
        """Trace no more."""
        self.step = None
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._blank.clear()
        self._forward.clear()

    def _entered(self, module: nn.Module, _arguments: Any) -> None:
        self._open.append(self._modules.get(id(module)) or type(module).__name__)

    def _left(self, _module: nn.Module, _arguments: Any, _output: Any) -> None:
        if self._open:
            self._open.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Execute an op, and write what it read and wrote."""
        given = dict(kwargs or {})
        if self.step is None or func.is_view or func.namespace in ("profiler", "prim"):
            return func(*args, **given)
        self._name_parameters()
        step, name = self.step, func._schema.name.partition("::")[2]
        arguments = list(_named(func, args, given))
        written = [value for argument, value, is_written in arguments if is_written for value in _tensors(value)]
        read = [
            self._described(argument, value)
            for argument, value, is_written in arguments
            if not (is_written and (name in _OVERWRITING or argument == "out"))
        ]
        if torch.Tag.nondeterministic_seeded in func.tags:
            read.append({"arg": "generator", "tensor": fingerprint_of(_generator_state(arguments))})
        made = func(*args, **given)
        if func.namespace == "c10d":
            _wait_for(made)
        new = [value for value in _tensors(made) if not any(value is old for old in written)]
        row: dict[str, Any] = {
            "step": step, "n": self._number, "op": str(func), "phase": "forward",
            "module": self._open[-1] if self._open else None, **self._places(), "in": read,
        }  # fmt: skip
        self._number += 1
        node: Any = torch._C._current_autograd_node()
        if node is not None:
            forward = self._forward.get(node._sequence_nr(), {})
            row |= {"phase": "backward", "module": forward.get("module"), "forward_line": forward.get("source")}
        else:
            self._forward.setdefault(sequence_number() - 1, row)
        for value in (*new, *written):
            self._blank.discard(_storage(value))
        if name in _BLANK:
            self._blank.update(_storage(value) for value in new or written)
        row["out"] = [self._described("", value, keep=True) for value in (*written, *new)]
        self._probe.write("ops", row)
        return made

    def _name_parameters(self) -> None:
        if self._number or self._model is None:
            return
        self._names = {}
        for name, parameter in self._model.named_parameters():
            self._names[parameter.data_ptr()] = name
        for name, buffer in self._model.named_buffers():
            self._names[buffer.data_ptr()] = name

    def _described(self, argument: str, value: Any, *, keep: bool = False) -> dict[str, Any]:
        """Return what tells an argument from another: fingerprints of tensors, the value of what is none."""
        tensors = list(_tensors(value))
        if not tensors:
            return {"arg": argument, "value": _said(value)}
        if len(tensors) > 1 or not isinstance(value, Tensor):
            return {"arg": argument, "parts": [self._of_tensor("", tensor, keep) for tensor in tensors]}
        return self._of_tensor(argument, tensors[0], keep)

    def _of_tensor(self, argument: str, tensor: Tensor, keep: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"arg": argument} if argument else {}
        try:
            if (storage := _storage(tensor)) and storage in self._blank:
                return {**found, "blank": True}
            found["tensor"] = fingerprint_of(tensor)
            name = self._names.get(tensor.data_ptr())
        except (InvalidValue, RuntimeError, NotImplementedError) as error:
            # Sparse, meta or quantized: no bytes that are its value.
            return {**found, "value": f"{tensor.dtype} {tuple(tensor.shape)}: {type(error).__name__}"}
        if name is not None:
            found["name"] = name
        elif self._model is not None and argument == "":
            found |= self._gradient_name(tensor)
        return {**found, **(self._probe.value(tensor) if keep else {})}

    def _gradient_name(self, tensor: Tensor) -> dict[str, str]:
        assert self._model is not None
        place = tensor.data_ptr()
        for name, parameter in self._model.named_parameters():
            if parameter.grad is not None and place and parameter.grad.data_ptr() == place:
                return {"name": f"gradient of {name}"}
        return {}

    def _places(self) -> dict[str, Any]:
        """Return the innermost own line, and whether the optimizer is at work."""
        frame: FrameType | None = sys._getframe(2)
        found: dict[str, Any] = {"source": None}
        optimizer = False
        while frame is not None:
            file = frame.f_code.co_filename
            if "/torch/optim/" in file:
                optimizer = True
            elif self._is_own(file):
                found["source"] = f"{_shown(file)}:{frame.f_lineno}"
                break
            frame = frame.f_back
        return {**found, **({"phase": "optimizer"} if optimizer else {})}

    def _is_own(self, file: str) -> bool:
        known = self._owned.get(file)
        if known is None:
            known = self._owned[file] = _own(file)
        return known


def _own(file: str) -> bool:
    if _CELL.match(file):
        return True
    if file.startswith("<"):
        return False
    path = Path(file).resolve()
    if path.is_relative_to(_PACKAGE):
        inner = path.relative_to(_PACKAGE)
        return inner.parts[0] in _OWN_HERE and inner.name not in _NOT_OWN
    return not str(path).startswith(_LIBRARIES) and "site-packages" not in path.parts


def _shown(file: str) -> str:
    if cell := _CELL.match(file):
        return f"cell {cell[1]}"
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _named(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield name and value of each argument, and whether the op writes to it."""
    for number, argument in enumerate(func._schema.arguments):
        value = args[number] if number < len(args) else kwargs.get(argument.name)
        if value is not None:
            yield argument.name, value, argument.alias_info is not None and argument.alias_info.is_write


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


def _storage(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        # A tensor without storage.
        return 0


def _wait_for(made: Any) -> None:
    """Wait until the ranks have exchanged what an op only began to exchange."""
    for part in made if isinstance(made, tuple) else (made,):
        if isinstance(part, torch.ScriptObject):
            work: Any = part
            work.wait()


def _generator_state(arguments: list[tuple[str, Any, bool]]) -> Tensor:
    for _, value, _ in arguments:
        if isinstance(value, torch.Generator):
            return value.get_state()
    on_gpu = next((tensor.device for _, value, _ in arguments for tensor in _tensors(value) if tensor.is_cuda), None)
    return torch.get_rng_state() if on_gpu is None else torch.cuda.get_rng_state(on_gpu)


def _said(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [_said(part) for part in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    # A generator's state stands beside it, and its address is nobody's input.
    return type(value).__name__ if isinstance(value, torch.Generator) else str(value)
