"""What differs between two fingerprints, by name.

Laws: two fingerprints have no difference exactly if their digests are equal; each difference names one thing: a tensor,
a column, a sample, a row, a file, a setting; of a part in which one element changed, that element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from repro_assets.determinism.data_fingerprints import DataFingerprint
from repro_assets.determinism.model_fingerprints import ModelFingerprint
from repro_assets.determinism.parts import Part, changed_place
from repro_assets.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Parameters
    ----------
    where : str
        What it is about: ``weight encoder.bias``, ``column price``, ``file a/b.csv``, ``module encoder``, ….
    what : str
        ``content``, ``dtype``, ``shape``, ``added``, ``removed``, or the name of the setting.
    before, after : object
        What stood on both sides; None where it is content, or was not there.
    element : tuple of int or None
        Index of the only element that differs; None where several do, or it is not known.
    """

    where: str
    what: str
    before: Any = None
    after: Any = None
    element: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.what == "content":
            if self.element is None:
                return f"{self.where}: the content differs"
            return f"{self.where}: element {list(self.element)} differs, and no other"
        if self.what in ("added", "removed"):
            return f"{self.where}: {self.what}"
        return f"{self.where}: {self.what} was {self.before}, is {self.after}"


Fingerprint = DataFingerprint | ModelFingerprint
_STRUCTURES = ("frame", "dict", "list", "tuple")


def diff_fingerprints(before: Fingerprint, after: Fingerprint) -> list[Difference]:
    """Name what differs between two fingerprints of data, or of models.

    Parameters
    ----------
    before, after : DataFingerprint or ModelFingerprint
        Two of one kind.

    Returns
    -------
    list of Difference
        Empty exactly if nothing differs; each reads as a sentence.

    Raises
    ------
    InvalidValue
        If one is of data and the other of a model, or only one holds weights.
    """
    if isinstance(before, DataFingerprint) and isinstance(after, DataFingerprint):
        return _of_data(before, after)
    if isinstance(before, ModelFingerprint) and isinstance(after, ModelFingerprint):
        return _of_models(before, after)
    raise InvalidValue("a fingerprint of data and one of a model have nothing in common", "compare like with like")


def _of_data(before: DataFingerprint, after: DataFingerprint) -> list[Difference]:
    found = []
    if before.kind != after.kind:
        found.append(Difference("data", "kind", before.kind, after.kind))
    found += _of_settings("data", before.facts, after.facts)
    found += _of_parts(before.parts, after.parts, lambda name, part: _of_data_part(before.kind, name, part))
    for number in range(max(len(before.preprocessing), len(after.preprocessing))):
        steps = [side[number] if number < len(side) else None for side in (before.preprocessing, after.preprocessing)]
        if steps[0] != steps[1]:
            found.append(Difference(f"preprocessing step {number + 1}", "step", *steps))
    return found


def _of_data_part(kind: str, name: str, part: Part) -> str:
    if kind == "frame":
        return f"column {name.strip('[]')}" if name.startswith("[") else f"frame {name.strip('.') or 'columns'}"
    if kind == "samples":
        return f"samples, field {name}" if name else "samples"
    if kind in ("file", "folder"):
        return f"{part.dtype} {name}".rstrip()
    return f"{kind} {name}".rstrip()


def _of_parts(
    before: Mapping[str, Part], after: Mapping[str, Part], name_of: Callable[[str, Part], str]
) -> list[Difference]:
    found = []
    # Whoever gained or lost a member has other members: the member is named, not its holder.
    regrouped = before.keys() != after.keys()
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            part = old or new
            assert part is not None
            found.append(Difference(name_of(name, part), "added" if old is None else "removed"))
            continue
        where = name_of(name, old)
        if old.dtype != new.dtype:
            found.append(Difference(where, "dtype", old.dtype, new.dtype))
        if old.shape != new.shape:
            found.append(Difference(where, "shape", list(old.shape), list(new.shape)))
        if regrouped and old.dtype in _STRUCTURES:
            continue
        if old.digest != new.digest and (old.dtype, old.shape) == (new.dtype, new.shape):
            found.append(Difference(where, "content", element=changed_place(old, new)))
    return found


def _of_models(before: ModelFingerprint, after: ModelFingerprint) -> list[Difference]:
    if (before.weights is None) != (after.weights is None):
        raise InvalidValue("only one of the fingerprints holds weights", "fingerprint both with weights, or neither")
    old, new = before.architecture, after.architecture
    roles = {name: facts["role"] for name, facts in {**old["tensors"], **new["tensors"]}.items()}
    found = _of_modules(old["modules"], new["modules"])
    found += _of_tensors(old["tensors"], new["tensors"])
    if old["tied"] != new["tied"]:
        found.append(Difference("tied tensors", "names", old["tied"], new["tied"]))
    # A tensor that came, went or has another form is named above.
    same = {name for name, facts in old["tensors"].items() if _form(facts) == _form(new["tensors"].get(name, {}))}
    weights = [{name: part for name, part in (side.weights or {}).items() if name in same} for side in (before, after)]
    shared = weights[0].keys() & weights[1].keys()
    before_parts, after_parts = ({name: part for name, part in side.items() if name in shared} for side in weights)
    found += _of_parts(before_parts, after_parts, lambda name, _: f"{roles[name]} {name}")
    found += _of_values(before.values or {}, after.values or {})
    return found + _of_tokenizers(before.tokenizer, after.tokenizer)


def _form(facts: Mapping[str, Any]) -> Any:
    return facts.get("dtype"), facts.get("shape")


def _of_tensors(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        where = f"{(before or after or {})['role']} {name}"
        if before is None or after is None:
            found.append(Difference(where, "added" if before is None else "removed"))
        else:
            found += _of_settings(where, before, after)
    return found


def _of_modules(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        where = f"module {name or '(the model)'}"
        if name not in old or name not in new:
            found.append(Difference(where, "added" if name not in old else "removed"))
            continue
        before, after = old[name], new[name]
        told = [
            *_of_settings(where, before["attributes"], after["attributes"]),
            *_of_settings(f"{where}, not read", before["unread"], after["unread"]),
        ]
        found += _of_settings(where, {"class": before["class"]}, {"class": after["class"]}) + told
        if not told:
            # What a module prints are its attributes once more, if they differ.
            found += _of_settings(where, {"settings": before["settings"]}, {"settings": after["settings"]})
    return found


def _of_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    found = []
    for kind, word in (("read", "value"), ("unread", "not read:")):
        before, after = old.get(kind, {}), new.get(kind, {})
        for name in [*before, *(name for name in after if name not in before)]:
            if name not in before or name not in after:
                found.append(Difference(f"{word} {name}", "added" if name not in before else "removed"))
            elif before[name] != after[name]:
                found.append(Difference(f"{word} {name}", "value", before[name], after[name]))
    return found


def _of_tokenizers(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[Difference]:
    if before is None or after is None:
        return [] if before is after else [Difference("tokenizer", "added" if before is None else "removed")]
    found = _of_parts({"": before["vocabulary"]}, {"": after["vocabulary"]}, lambda *_: "tokenizer vocabulary")
    old, new = ({name: value for name, value in side.items() if name != "vocabulary"} for side in (before, after))
    return found + _of_settings("tokenizer", old, new)


def _of_settings(where: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _of_settings(f"{where} {name}", old, new)
        elif old != new:
            found.append(Difference(where, name, old, new))
    return found
