"""Fingerprints of models: what they are built of, what they weigh, what they read with.

Laws: the architecture's digest does not depend on the weights, nor either of them on the tokenizer; every parameter,
buffer and other tensor counts, of tied ones the names too, and so does every public attribute of a module and every
plain value of a state dictionary; what has no form here is named with its class under ``unread``, never passed over;
weights are read tensor by tensor, so a model that comes as an iterator need never be in memory as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from repro_assets.determinism.fingerprints import numbers_of
from repro_assets.determinism.leaves import encoded, is_a
from repro_assets.determinism.model_values import Beside, is_tensor, tensors_in
from repro_assets.determinism.parts import Part, part_of, part_of_cells, refuse_other_form
from repro_assets.errors import InvalidValue
from repro_assets.identity.canonical import digest_of
from repro_assets.identity.digest import Digest
from repro_assets.wording import type_in_words

if TYPE_CHECKING:
    import torch

    Model = torch.nn.Module | Mapping[str, Any] | Iterable[tuple[str, torch.Tensor]]

FORMAT = 2
_NO_SETTINGS = ("training",)
"""Public attributes of every module that say what is done with it at the moment."""


@dataclass(frozen=True, slots=True)
class ModelFingerprint:
    """What `fingerprint_model` found.

    Parameters
    ----------
    architecture : dict
        ``modules``: name to ``class``, ``settings``, as the module prints them, ``attributes``, its public ones as
        text, and ``unread``, those that have no form here, with their class. ``tensors``: name to ``role``
        (``parameter``, ``buffer``, ``attribute``, or ``tensor`` where there are no modules), ``dtype``, ``shape``,
        ``requires_grad``, ``persistent``. ``tied``: lists of names that share one tensor; None for an iterator, of
        which it cannot be known. ``counts``: ``modules``, ``tensors``, and the elements of ``parameters``, of those
        ``trainable``, of ``buffers``, tied ones once; ``bytes``.
    weights : dict or None
        Each tensor by its name, tied ones by their first; None if they were not asked for.
    values : dict or None
        ``read``: name to text, of everything else in a state dictionary, such as a learning rate, or in the extra
        state of a module; ``unread``: name to class of what has no form here. None if weights were not asked for.
    tokenizer : dict or None
        ``class``, ``size``, ``vocabulary`` (a part, in the order of the ids), ``special``, ``merges`` and ``backend``.
    """

    architecture: dict[str, Any]
    weights: dict[str, Part] | None
    values: dict[str, dict[str, str]] | None
    tokenizer: dict[str, Any] | None

    @property
    def architecture_digest(self) -> Digest:
        """Digest of the architecture alone."""
        return digest_of(self.architecture)

    @property
    def weights_digest(self) -> Digest | None:
        """Digest of the weights and the values beside them; None if they were not asked for."""
        if self.weights is None:
            return None
        return digest_of([{name: part.document() for name, part in self.weights.items()}, self.values])

    @property
    def digest(self) -> Digest:
        """Digest of all of it."""
        return digest_of(self.document())

    def document(self) -> dict[str, Any]:
        """Return it as JSON, to be stored."""
        tokenizer = self.tokenizer
        if tokenizer is not None:
            tokenizer = {**tokenizer, "vocabulary": tokenizer["vocabulary"].document()}
        return {
            "format": FORMAT,
            "architecture": self.architecture,
            "weights": None if self.weights is None else {n: part.document() for n, part in self.weights.items()},
            "values": self.values,
            "tokenizer": tokenizer,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ModelFingerprint:
        """Read what `document` wrote.

        Raises
        ------
        UnsupportedFormat
            If it has another form than this version's, whose digests cannot be compared with it.
        """
        refuse_other_form(document, FORMAT)
        weights, tokenizer = document["weights"], document["tokenizer"]
        return cls(
            dict(document["architecture"]),
            None if weights is None else {name: Part.from_document(part) for name, part in weights.items()},
            document["values"],
            None if tokenizer is None else {**tokenizer, "vocabulary": Part.from_document(tokenizer["vocabulary"])},
        )

    def text(self) -> str:
        """Return the architecture for a person to read: modules, and the tensors that each holds."""
        counts = self.architecture["counts"]
        lines = [
            f"{counts['parameters']:,} parameters, {counts['trainable']:,} trainable; {counts['buffers']:,} elements "
            f"of buffers; {counts['tensors']} tensors, {counts['bytes']:,} bytes"
        ]
        owned: dict[str, list[str]] = {}
        for name, facts in self.architecture["tensors"].items():
            owner, _, last = name.rpartition(".")
            notes = [facts["role"]] + [word for word, said in _notes(facts) if said]
            line = f"{last}: {facts['dtype']} {facts['shape']} ({', '.join(notes)})"
            owned.setdefault(owner if owner in self.architecture["modules"] else "", []).append(
                line if owner in self.architecture["modules"] else line.replace(last, name, 1)
            )
        for name, facts in (self.architecture["modules"] or {"": None}).items():
            depth = name.count(".") + 1 if name else 0
            if facts is not None:
                shown = facts["settings"] or ", ".join(f"{key}={text}" for key, text in facts["attributes"].items())
                settings = f"({shown})" if shown else ""
                lines.append("  " * depth + f"{name.rpartition('.')[2] or 'model'}: {facts['class']}{settings}")
                lines += ["  " * (depth + 1) + f"{key}: not read ({what})" for key, what in facts["unread"].items()]
            lines += ["  " * (depth + 1) + line for line in owned.get(name, [])]
        lines += [f"tied: {' = '.join(names)}" for names in self.architecture["tied"] or []]
        if self.values is not None and (self.values["read"] or self.values["unread"]):
            lines.append(f"{len(self.values['read']):,} values beside the tensors")
            lines += [f"  {name}: not read ({what})" for name, what in self.values["unread"].items()]
        if self.tokenizer is not None:
            lines.append(f"tokenizer: {self.tokenizer['class']}, {self.tokenizer['size']:,} entries")
        return "\n".join(lines)


def fingerprint_model(model: Model, weights: bool = True, tokenizer: Any = None) -> ModelFingerprint:
    """Fingerprint a model: its architecture, its weights, its tokenizer.

    Parameters
    ----------
    model : Module, mapping or iterable of (name, tensor)
        A model, which may be on the meta device where `weights` is False; a state dictionary, its own or an
        optimizer's, possibly nested and with plain values between; or an iterator of pairs of a name and a tensor, each
        of which is let go before the next is asked for.
    weights : bool
        Read every element, too, and the values beside the tensors.
    tokenizer : object, optional
        Something with ``get_vocab()``, as those of Hugging Face's ``tokenizers`` and ``transformers`` have.

    Returns
    -------
    ModelFingerprint
        Compare two with `diff_fingerprints`; read one with its `text`.

    Raises
    ------
    InvalidValue
        If `model` is nothing of that kind, a tensor has no data, no shape yet or comes twice, or the tokenizer has no
        vocabulary.
    """
    described = None if tokenizer is None else _of_tokenizer(tokenizer)
    if is_a(model, "torch.nn", "Module"):
        found = _of_module(model, weights)
    elif isinstance(model, Mapping):
        found = _of_state(model)
    elif isinstance(model, Iterable):
        found = _Found({}, _of_pairs(model), may_be_tied=False)
    else:
        raise InvalidValue(
            f"{type_in_words(model)} is no model",
            "give a Module, its state dictionary or its tensors with their names",
        )
    return _walked(found, weights, described)


@dataclass(frozen=True, slots=True)
class _Found:
    """Modules, the tensors with their names and roles, and what there is beside them."""

    modules: dict[str, Any]
    named: Iterator[tuple[str, Any, dict[str, Any]]]
    beside: Beside = field(default_factory=Beside)
    may_be_tied: bool = True


def _walked(given: _Found, weights: bool, tokenizer: dict[str, Any] | None) -> ModelFingerprint:
    modules, may_be_tied = given.modules, given.may_be_tied
    tensors: dict[str, Any] = {}
    found: dict[str, Part] = {}
    first: dict[Any, list[str]] = {}
    counts = {"modules": len(modules), "tensors": 0, "parameters": 0, "trainable": 0, "buffers": 0, "bytes": 0}
    for name, tensor, facts in given.named:
        if name in tensors:
            raise InvalidValue(f"the model has two tensors named {name!r}", "name each once")
        if not is_a(tensor, "torch", "Tensor") and not is_a(tensor, "numpy", "ndarray"):
            raise InvalidValue(f"{name!r} of the model is {type_in_words(tensor)}", "give tensors by name")
        if is_a(tensor, "torch.nn.parameter", "UninitializedTensorMixin"):
            raise InvalidValue(f"{name!r} of the model has no shape yet", "put one batch through the model first")
        trainable = bool(getattr(tensor, "requires_grad", False))
        dtype = str(tensor.dtype).removeprefix("torch.")
        tensors[name] = {
            **facts, "dtype": dtype, "shape": list(tensor.shape), "requires_grad": trainable,
        }  # fmt: skip
        names = first.setdefault(_identity(tensor) if may_be_tied else name, [])
        names.append(name)
        if len(names) > 1:
            continue
        elements = math.prod(tensor.shape)
        counts["tensors"] += 1
        counts["bytes"] += elements * tensor.dtype.itemsize
        if facts["role"] != "attribute":
            counts["buffers" if facts["role"] == "buffer" else "parameters"] += elements
            counts["trainable"] += elements if trainable else 0
        if weights:
            found[name] = part_of(numbers_of(tensor, name))
        # Let go before the next is asked for, which may be made only then.
        del tensor
    tied = [names for names in first.values() if len(names) > 1] if may_be_tied else None
    architecture = {"modules": modules, "tensors": tensors, "tied": tied, "counts": counts}
    values = {"read": given.beside.read, "unread": given.beside.unread}
    return ModelFingerprint(architecture, found if weights else None, values if weights else None, tokenizer)


def _of_module(model: Any, weights: bool) -> _Found:
    import torch

    modules: dict[str, Any] = {}
    attributes: list[tuple[str, Any]] = []
    beside = Beside()
    for name, module in model.named_modules():
        told = Beside()
        for key, value in sorted(vars(module).items()):
            if key.startswith("_") or key in _NO_SETTINGS:
                continue
            inner = list(tensors_in(value, key))
            attributes += [(f"{name}.{path}" if name else path, tensor) for path, tensor in inner]
            if not inner or not is_tensor(value):
                told.add(key, value, whole=True)
        modules[name] = {
            "class": _class(module), "settings": module.extra_repr(), "attributes": told.read, "unread": told.unread,
        }  # fmt: skip
        # As `state_dict` asks: only a class that has some says that it has.
        if weights and type(module).get_extra_state is not torch.nn.Module.get_extra_state:
            beside.add(f"{name}._extra_state" if name else "_extra_state", module.get_extra_state())
    return _Found(modules, _tensors_of(model, attributes), beside)


def _tensors_of(model: Any, attributes: list[tuple[str, Any]]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for name, parameter in model.named_parameters(remove_duplicate=False):
        yield name, parameter, {"role": "parameter", "persistent": True}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, buffer in module.named_buffers(prefix=prefix, recurse=False, remove_duplicate=False):
            kept = name.rpartition(".")[2] not in module._non_persistent_buffers_set
            yield name, buffer, {"role": "buffer", "persistent": kept}
    for name, tensor in attributes:
        yield name, tensor, {"role": "attribute", "persistent": False}


def _of_state(state: Mapping[Any, Any]) -> _Found:
    beside = Beside()
    beside.add("", state, tensors=False)
    return _Found({}, ((name, tensor, {"role": "tensor"}) for name, tensor in tensors_in(state)), beside)


def _of_pairs(pairs: Iterable[Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InvalidValue(f"{type_in_words(pair)} is no name with its tensor", "give pairs of both")
        name, tensor = pair
        del pair
        yield name, tensor, {"role": "tensor"}
        del tensor


def _identity(tensor: Any) -> Any:
    """What two names of one tensor have in common; they stay alive while it is compared."""
    dense = is_a(tensor, "torch", "Tensor") and str(tensor.layout) == "torch.strided" and not tensor.is_meta
    if dense and tensor.numel():
        return str(tensor.device), tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype
    return id(tensor)


def _notes(facts: Mapping[str, Any]) -> list[tuple[str, bool]]:
    return [
        ("frozen", facts["role"] == "parameter" and not facts["requires_grad"]),
        ("not saved", not facts.get("persistent", True)),
    ]


def _class(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _of_tokenizer(tokenizer: Any) -> dict[str, Any]:
    if not callable(getattr(tokenizer, "get_vocab", None)):
        raise InvalidValue(f"{type_in_words(tokenizer)} has no get_vocab()", "give a tokenizer of that form")
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    entries = sorted(vocabulary.items(), key=lambda item: (item[1], item[0]))
    special = {}
    for name in ("special_tokens_map", "all_special_tokens", "added_tokens_decoder", "get_added_tokens_decoder"):
        value = getattr(tokenizer, name, None)
        value = value() if callable(value) else value
        if value is not None:
            special[name.removeprefix("get_")] = _shown(value)
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    written = backend.to_str() if callable(getattr(backend, "to_str", None)) else None
    merges = getattr(tokenizer, "bpe_ranks", None)
    return {
        "class": _class(tokenizer),
        "size": len(vocabulary),
        "vocabulary": part_of_cells("entries", (encoded([token, index]) for token, index in entries)),
        "special": special,
        "merges": None if merges is None else part_of_cells("merges", map(encoded, merges)).digest,
        # Of a fast tokenizer its whole description: merges, normalization, splitting, what is put around a text.
        "backend": None if written is None else part_of_cells("json", [written.encode()]).digest,
    }


def _shown(value: Any) -> Any:
    """Return special tokens as JSON; objects of a token's class print as all that they say."""
    if isinstance(value, Mapping):
        return {str(key): _shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return value if isinstance(value, (str, int, bool)) or value is None else repr(value)
