"""What differs between runs: parameters, metrics, packages, settings, hardware, inputs, code.

Laws: only what differs is told, and all of it; what cannot be compared is named with the reason and is no difference;
versions are compared as versions (`capture.comparison`); two NaN are equal; the first run is the one that differences
of metrics and code are taken from. Everything but the code is read from the catalog.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from repro_assets.capture.comparison import Difference, diff_environments
from repro_assets.catalog import queries
from repro_assets.errors import IntegrityError, InvalidValue, UnknownName
from repro_assets.inspection.code_differences import FileDifference, diff_sources
from repro_assets.store.home import Home

if TYPE_CHECKING:
    import pandas

PARTS = (
    "run", "config", "param", "metric", "setting", "mode", "hardware", "environment", "package", "input", "output",
)  # fmt: skip
_JSON_PARTS = ("config", "param", "setting", "mode")
_JSON_FACTS = ("seed", "dirty", "trial")
# Told by the environment documents, version by version and sensor by sensor.
_FROM_DOCUMENTS = ("package", "hardware")
_HEAD = "run_id, name, state, asset, seed, started_at, environment, source"


@dataclass(frozen=True, slots=True)
class RunDifference:
    """One fact in which runs differ.

    Parameters
    ----------
    part : str
        One of `PARTS`.
    name : str
        Name of the parameter, metric, package, setting or slot; parts of a nested value stand behind dots.
    values : tuple
        The value of each run; None where it has none.
    deltas : tuple of float or None
        Of a metric: by how much each run's last value is greater than the first run's; None where one is not finite.
    how : tuple of str or None
        Of a version: ``upgrade``, ``downgrade``, ``other build``, ``editable`` or ``origin``, seen from the first run.
    """

    part: str
    name: str
    values: tuple[Any, ...]
    deltas: tuple[float | None, ...] | None = None
    how: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class CodeDifference:
    """The files in which the source of `run_id` differs from that of the first run."""

    run_id: str
    files: list[FileDifference]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Everything in which runs differ.

    Parameters
    ----------
    runs : list of dict
        Id, name, state, asset, seed and start of each run, in the order in which they were given.
    differences : list of RunDifference
        Part by part.
    code : list of CodeDifference
        One for each run whose source tree differs from the first run's.
    not_compared : dict
        What could not be compared, with the reason.
    """

    runs: list[dict[str, Any]]
    differences: list[RunDifference]
    code: list[CodeDifference]
    not_compared: dict[str, str]

    @property
    def equal(self) -> bool:
        """Whether nothing differs among what was compared."""
        return not self.differences and not self.code

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object, with a list for each part."""
        parts: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
        for each in self.differences:
            fact = {name: value for name, value in asdict(each).items() if value is not None and name != "part"}
            parts[each.part].append(fact)
        return {
            "equal": self.equal,
            "runs": self.runs,
            **parts,
            "code": [asdict(each) for each in self.code],
            "not_compared": self.not_compared,
        }

    def frame(self) -> pandas.DataFrame:
        """Return the differences as a table: part, name, and a column for each run, code as changed lines."""
        import pandas

        ids = [run["run_id"] for run in self.runs]
        rows = [(each.part, each.name, *each.values) for each in self.differences]
        for each in self.code:
            for file in each.files:
                lines = "" if file.added is None else f" +{file.added} -{file.removed}"
                cells = [f"{file.change}{lines}" if run == each.run_id else None for run in ids]
                rows.append(("code", file.path, *cells))
        return pandas.DataFrame(rows, columns=["part", "name", *ids], dtype=object)


def compare_runs(home: Home, runs: Sequence[str]) -> RunComparison:
    """Compare two or more runs.

    Parameters
    ----------
    home : Home
        The store.
    runs : sequence of str
        What `catalog.queries.resolve_run` takes; the others are compared with the first.

    Raises
    ------
    InvalidValue
        If fewer than two are given.
    UnknownName, AmbiguousName
        As `resolve_run`.
    """
    if len(runs) < 2:
        raise InvalidValue(f"{len(runs)} run{'s' * (len(runs) != 1)} cannot be compared", "name two or more")
    with queries.connect(home) as connection:
        ids = [queries.resolve_run_on(connection, run) for run in runs]
        heads = {
            row["run_id"]: row
            for row in queries.read_rows(
                connection, f"SELECT {_HEAD} FROM runs WHERE list_contains($ids, run_id)", {"ids": ids}
            )
        }
        facts = queries.read_rows(connection, "FROM run_facts($ids)", {"ids": ids})
        documents = {
            row["environment"]: json.loads(row["document"])
            for row in queries.read_rows(
                connection,
                "SELECT environment, document FROM environments WHERE list_contains($known, environment)",
                {"known": sorted({str(head["environment"]) for head in heads.values()})},
            )
        }
    chosen = [heads[run] for run in ids]
    not_compared: dict[str, str] = {}
    found = [
        *_of_facts(ids, facts),
        *_of_environments(chosen, documents, not_compared),
    ]
    found.sort(key=lambda each: (PARTS.index(each.part), each.name))
    shown = [{name: value for name, value in head.items() if name not in ("environment", "source")} for head in chosen]
    return RunComparison(shown, found, _of_sources(home, chosen, not_compared), not_compared)


def _of_facts(ids: list[str], facts: list[dict[str, Any]]) -> Iterator[RunDifference]:
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for fact in facts:
        part = fact["part"]
        if part in _FROM_DOCUMENTS:
            continue
        in_json = part in _JSON_PARTS or (part == "run" and fact["name"] in _JSON_FACTS)
        value = json.loads(fact["value"]) if in_json else fact["value"]
        if part == "metric":
            value = float(value)
        for name, leaf in _leaves(fact["name"], value):
            known.setdefault((part, name), {})[fact["run_id"]] = leaf
    for (part, name), values in known.items():
        each = tuple(values.get(run) for run in ids)
        if not all(_same(value, each[0]) for value in each):
            yield RunDifference(part, name, each, _deltas(each) if part == "metric" else None)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for inner, item in value.items():
            yield from _leaves(f"{name}.{inner}", item)
    else:
        yield name, value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    # True is 1 to Python, and not to whoever set it.
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def _deltas(values: tuple[Any, ...]) -> tuple[float | None, ...]:
    first = values[0]

    def delta(value: Any) -> float | None:
        if first is None or value is None or not (math.isfinite(first) and math.isfinite(value)):
            return None
        return float(value - first)

    return tuple(delta(value) for value in values)


def _of_environments(
    runs: list[dict[str, Any]], documents: dict[str, Any], not_compared: dict[str, str]
) -> Iterator[RunDifference]:
    """Yield what differs between the environments, each compared with the first run's."""
    first = runs[0]
    found: dict[tuple[str, str], dict[int, Difference]] = {}
    silent: dict[int, set[str]] = {number: set() for number in range(len(runs))}
    for number, run in enumerate(runs[1:], 1):
        if run["run_id"] == first["run_id"] or run["environment"] == first["environment"] is not None:
            continue
        lacking = next((each for each in (first, run) if each["environment"] not in documents), None)
        if lacking is not None:
            have = "no environment on record" if lacking["environment"] is None else "an environment that is gone"
            not_compared[_of_run("environment", runs, number)] = f"run {lacking['run_id']} has {have}"
            silent[number].add("")
            continue
        compared = diff_environments(documents[first["environment"]], documents[run["environment"]])
        for path, reason in compared.not_compared.items():
            not_compared[_of_run(path, runs, number)] = reason
        silent[number].update(compared.not_compared)
        for each in (*compared.added, *compared.removed, *compared.changed):
            path = "packages" if each.part == "package" else each.name
            found.setdefault((path, _shown(each)), {})[number] = each
    for (path, name), differences in found.items():
        base = next(iter(differences.values()))
        values = tuple(
            differences[number].b if number in differences else None if _unknown(path, silent[number]) else base.a
            for number in range(len(runs))
        )
        how = tuple(differences[number].how if number in differences else None for number in range(len(runs)))
        part = "package" if base.part == "package" else "hardware" if path.startswith("hardware.") else "environment"
        yield RunDifference(part, name, values, how=how if any(how) else None)


def _of_run(path: str, runs: list[dict[str, Any]], number: int) -> str:
    return path if len(runs) == 2 else f"{path} (run {runs[number]['run_id']})"


def _unknown(path: str, silent: set[str]) -> bool:
    return any(part == "" or path == part or path.startswith((f"{part}.", f"{part}[")) for part in silent)


def _shown(each: Difference) -> str:
    if each.part == "package" and each.how in ("editable", "origin"):
        return f"{each.name} ({each.how})"
    return each.name.removeprefix("hardware.")


def _of_sources(home: Home, runs: list[dict[str, Any]], not_compared: dict[str, str]) -> list[CodeDifference]:
    found = []
    for number, run in enumerate(runs[1:], 1):
        if run["run_id"] == runs[0]["run_id"] or run["source"] == runs[0]["source"] is not None:
            continue
        part = _of_run("code", runs, number)
        lacking = next((each for each in (runs[0], run) if each["source"] is None), None)
        if lacking is not None:
            not_compared[part] = f"run {lacking['run_id']} has no source tree on record"
            continue
        try:
            files = diff_sources(home, runs[0]["source"], run["source"])
        except (IntegrityError, UnknownName) as error:
            # The rest of the comparison stands; that this part of it does not is told.
            not_compared[part] = str(error)
            continue
        found.append(CodeDifference(run["run_id"], files))
    return found
