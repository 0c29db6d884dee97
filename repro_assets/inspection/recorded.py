"""One recorded run, in a notebook.

Laws: everything is read from the record and nothing is remembered in its place: two objects of one run are equal; what
is shown as HTML is escaped, so no name or note becomes markup.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.catalog import naming, queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import UnknownName
from repro_assets.inspection.ancestry import Lineage, lineage_of
from repro_assets.inspection.comparison import compare_runs
from repro_assets.inspection.frames import frame_of, query
from repro_assets.store.home import Home, find_store

if TYPE_CHECKING:
    import pandas

METRICS_SHOWN = 12
_SHOWN = ("run_id", "state", "asset", "partition", "seed", "started_at", "seconds", "commit", "tags", "note")
_INPUT_COLUMNS = ("slot", "name", "digest", "asset", "partition", "made_by", "pinned", "time")
_OUTPUT_COLUMNS = ("slot", "name", "digest", "asset", "partition", "collection", "version", "time")


@dataclass(frozen=True)
class RecordedRun:
    """A run as it is on record; `run` finds one.

    Parameters
    ----------
    home : Home
        The store.
    run_id : str
        Its id.
    """

    home: Home = field(repr=False)
    run_id: str

    @cached_property
    def record(self) -> dict[str, Any]:
        """The whole record, as ``repro runs show --json`` has it, read once."""
        return show_run(self.home, self.run_id)

    @property
    def config(self) -> dict[str, Any]:
        """Hyperparameters."""
        return dict(self.record["config"] or {})

    @property
    def params(self) -> dict[str, Any]:
        """Parameters that it logged."""
        return dict(self.record["params"])

    @property
    def command(self) -> str | None:
        """The command that executes it again from its record; None where it cannot be replayed."""
        command: str | None = self.record["command"]
        return command

    def metrics(self, name: str | None = None) -> pandas.DataFrame:
        """Return its curves: a row for each point, with those of the run that it continued.

        Parameters
        ----------
        name : str, optional
            Only this metric.

        Returns
        -------
        pandas.DataFrame
            Columns ``name``, ``step``, ``value``, ``time`` (UTC) and ``logged_by`` (a run), by name and step.

        Raises
        ------
        UnknownName
            If it has no metric of this name; near names are given.
        """
        given = {"run": self.run_id, "name": name}
        found = query(
            "SELECT name, step, value, time, logged_by FROM curve($run) WHERE $name IS NULL OR name = $name "
            "ORDER BY name, step NULLS FIRST, time",
            given,
            home=self.home,
        )
        if name is not None and found.empty:
            known = [row["name"] for row in self.record["metrics"]]
            raise UnknownName(
                f"run {self.run_id} has no metric named {name!r}", queries.near(name, known) or ", ".join(known)
            )
        return found

    def inputs(self) -> pandas.DataFrame:
        """Return what it read, an artifact a row."""
        return frame_of(self.record["inputs"], _INPUT_COLUMNS)

    def outputs(self) -> pandas.DataFrame:
        """Return what it wrote, an artifact a row."""
        return frame_of(self.record["outputs"], _OUTPUT_COLUMNS)

    def artifact(self, name: str) -> Artifact:
        """Return something that it read, wrote or saved.

        Parameters
        ----------
        name : str
            A slot of its outputs or inputs, or the name of an output or checkpoint.

        Raises
        ------
        UnknownName
            If there is none; near names are given.
        """
        items = [(item, part) for part in ("outputs", "checkpoints", "inputs") for item in self.record[part]]
        for word in ("name", "slot"):
            for item, _ in items:
                if item.get(word) == name:
                    return naming.resolve_artifact(self.home, item["digest"])
        known = [str(item[word]) for item, _ in items for word in ("name", "slot") if item.get(word)]
        raise UnknownName(f"run {self.run_id} has no artifact {name!r}", queries.near(name, known) or ", ".join(known))

    def lineage(self) -> Lineage:
        """Return where it stands among all artifacts and runs."""
        return lineage_of(self.run_id, home=self.home)

    def compare(self, *others: str | RecordedRun) -> pandas.DataFrame:
        """Return only what differs between this run and others: part, name, and a column for each run.

        Parameters
        ----------
        *others : str or RecordedRun
            What `run` takes.
        """
        names = [other.run_id if isinstance(other, RecordedRun) else other for other in others]
        return compare_runs(self.home, [self.run_id, *names]).frame()

    def _repr_html_(self) -> str:
        record = self.record
        facts = [(name, record[name]) for name in _SHOWN if record[name] not in (None, "", [])]
        facts += [(f"config.{name}", value) for name, value in sorted(self.config.items())]
        if record["error"]:
            facts.append(("error", f"{record['error']['type']}: {record['error']['message']}"))
        lines = [f"<tr><th>{_html(name)}</th><td>{_html(value)}</td></tr>" for name, value in facts]
        figures = [
            f"<tr><td>{_html(row['name'])}</td><td>{_html(row['value'])}</td><td>{_html(row['best'])}</td>"
            f"<td>{_html(row['step_of_best'])}</td></tr>"
            for row in record["metrics"][:METRICS_SHOWN]
        ]
        more = len(record["metrics"]) - len(figures)
        if more > 0:
            figures.append(f"<tr><td>and {more} more: metrics()</td><td></td><td></td><td></td></tr>")
        head = "<tr><th>metric</th><th>last</th><th>best</th><th>at step</th></tr>"
        table = f"<table>{head}{''.join(figures)}</table>" if figures else ""
        return f"<div><b>{_html(record['name'])}</b><table>{''.join(lines)}</table>{table}</div>"


def run(name: str, *, home: Home | None = None) -> RecordedRun:
    """Return a recorded run.

    Parameters
    ----------
    name : str
        An id, 8 or more of its digits, a name, ``last``, or ``last~1``.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.

    Raises
    ------
    UnknownName, AmbiguousName
        If no run is called that, or several are.
    NoStore
        If there is no store.
    """
    home = home or find_store()
    return RecordedRun(home, queries.resolve_run(home, name))


def artifact(name: str, *, home: Home | None = None) -> Artifact:
    """Return an artifact; ``.load()`` gives its value.

    Parameters
    ----------
    name : str
        ``NAME``, ``NAME:v3``, ``NAME@alias``, a display name, a digest or 8 or more of its digits, or a file.
    home : Home, optional
        The store; that of this folder, or of ``REPRO_HOME``, if left out.

    Raises
    ------
    UnknownName, AmbiguousName
        If nothing is called that, or several artifacts are.
    NoStore
        If there is no store.
    """
    return naming.resolve_artifact(home or find_store(), name)


def _html(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.6g}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    return "" if value is None else escape(str(value))
