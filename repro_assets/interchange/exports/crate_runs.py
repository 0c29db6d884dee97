"""Runs as actions of a crate, with all that they read, wrote and measured.

Laws: each run is an action under its own id; what it read and wrote are files of the crate, once each, or an entity
that says that the bytes are gone. Parameters and last values of metrics are values; every point is in a file beside
them. Who executed a run is said only where an account is on record.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from repro_assets.artifacts import repository
from repro_assets.capture.system_info import requirement
from repro_assets.catalog import queries
from repro_assets.catalog.parameters import execute
from repro_assets.errors import InvalidValue, MissingObject, UnknownName
from repro_assets.identity.digest import Digest
from repro_assets.interchange.exports.crate import Crate, identifier, value_of
from repro_assets.interchange.exports.crate_files import DIGITS, Folder
from repro_assets.interchange.exports.crate_steps import Executed, Steps, times_of
from repro_assets.interchange.exports.crate_workflow import module_file, workflow_file
from repro_assets.interchange.exports.described import Described
from repro_assets.mirrors.holding import flat, holdable
from repro_assets.store.home import Home
from repro_assets.wording import plain

if TYPE_CHECKING:
    from rocrate.model import Entity

_ENCODINGS = {"table": "application/vnd.apache.parquet", "json": "application/json"}
_OF_RUNS = "SEMI JOIN (SELECT unnest($runs::VARCHAR[]) AS run_id) USING (run_id)"
_POINTS = (
    f"SELECT run_id, name, step, value, time FROM metrics {_OF_RUNS} ORDER BY run_id, name, step NULLS FIRST, time"
)
_CONSOLES = f"SELECT run_id, stream, text FROM consoles {_OF_RUNS} ORDER BY run_id, stream"


class Runs:
    """The runs of a crate that is being made.

    Parameters
    ----------
    home : Home
        The store.
    described : Described
        What is on record of the runs.
    crate : Crate
        What they are added to.
    folder : Folder
        Where its files go.
    progress : callable, optional
        Told how many artifacts are laid out.
    """

    def __init__(
        self,
        home: Home,
        described: Described,
        crate: Crate,
        folder: Folder,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.crate = crate
        self.notes: list[str] = []
        self._home, self._described, self._folder, self._progress = home, described, folder, progress
        self._artifacts: dict[str, Entity] = {}
        self._sources: dict[str, dict[str, Entity]] = {}
        self._environments: dict[str, list[Entity]] = {}
        self._steps = Steps(crate)
        self._profiles: list[str] = []

    def facts(self) -> dict[str, Any]:
        """Return what is said of the crate beside its path."""
        return {"runs": [run["run_id"] for run in self._described.runs], "profiles": self._profiles}

    def add_all(self) -> None:
        """Add all runs, and what is said of the crate as a whole."""
        runs = self._described.runs
        above = {run["parent_run_id"] for run in runs if run["run_kind"] != "parent"}
        # A parent is the workflow's run of those under it; alone it is a run like any other.
        own = [run for run in runs if run["run_kind"] != "parent" or run["run_id"] not in above]
        for run in own:
            self._steps.executed(self._executed(run))
        self._profiles = self._steps.add(self._described.above, self._engine)
        self._add_documents(runs)
        root = self.crate.crate.root_dataset
        ended = [run["last_seen"] for run in runs if run["last_seen"] is not None]
        names = [str(run["name"] or run["run_id"]) for run in own]
        root["name"] = holdable(f"Run {names[0]}") if len(names) == 1 else f"{len(names)} runs"
        root["description"] = (
            "What is on record of "
            + (f"run {own[0]['run_id']}" if len(own) == 1 else f"{len(own)} runs")
            + ": source, environment, parameters, what was read and written, and what was measured."
        )
        if not ended:
            raise InvalidValue(f"no time is on record of run {own[0]['run_id']}", "a crate needs one; name another run")
        # The day on which the newest of them ended: when a crate is made is no part of it.
        root["datePublished"] = plain(max(ended).date())
        root["license"] = "No licence is on record for the whole of this; files of the source tree may name some."
        root["mentions"] = self._steps.actions

    def _executed(self, run: dict[str, Any]) -> Executed:
        source = self._source(run)
        path = workflow_file(run, source)
        is_step = run["run_kind"] in ("asset", "parent")
        tool = self._tool(run, source) if is_step or path is None else None
        instrument = tool if tool is not None else source[str(path)]
        # What it wrote comes first: it is called as this run recorded it, also where it had read the same bytes.
        wrote = [self._artifact(row["digest"], run["run_id"]) for row in run["outputs"]]
        read = [self._artifact(row["digest"], row["made_by"]) for row in run["inputs"]]
        action = self.crate.add(
            identifier("run", run["run_id"]),
            "CreateAction",
            name=run["name"] or run["run_id"],
            identifier=run["run_id"],
            description=_description(run),
            keywords=", ".join(run["tags"]) or None,
            instrument=instrument,
            agent=self._agent(run),
            environment=self._variables(run),
            **times_of(run),
        )
        given = {**dict(flat(run["config"] or {})), **dict(flat(run["params"]))}
        if run["seed"] is not None:
            given.setdefault("seed", run["seed"])
        values = {name: self._value(run, "parameter", name, value) for name, value in sorted(given.items())}
        metrics = [
            self._value(run, "metric", row["name"], row["value"], description=_of_points(row))[0]
            for row in run["metrics"]
        ]
        action["object"] = list(dict.fromkeys([*read, *(entity for entity, _ in values.values())]))
        action["result"] = list(dict.fromkeys([*wrote, *metrics]))
        slots = [
            ("input", row["slot"], entity, _kind_of(entity)) for row, entity in zip(run["inputs"], read, strict=True)
        ]
        slots += [("input", name, entity, kind) for name, (entity, kind) in values.items()]
        slots += [
            ("output", row["slot"], entity, _kind_of(entity)) for row, entity in zip(run["outputs"], wrote, strict=True)
        ]
        workflow = None if path is None else source[path]
        return Executed(run, action, workflow, instrument, is_step, slots, read, wrote)

    def _tool(self, run: Mapping[str, Any], source: Mapping[str, Entity]) -> Entity:
        """Return what the run executed: its recipe, else what it is called."""
        name = str(run["recipe"] or run["asset"] or run["job"] or run["name"] or run["run_id"])
        version = run["code_version"] or run["source"]
        module = module_file(str(run["recipe"]).partition(":")[0], source) if run["recipe"] else None
        packages = [
            self.crate.add(
                identifier("package", package, number), "SoftwareApplication", name=package, softwareVersion=number
            )
            for package, number in run["packages"].items()
        ]
        tool = self.crate.add(
            identifier("tool", name, version),
            "SoftwareApplication",
            name=name,
            softwareVersion=version,
            isBasedOn=source[module] if module is not None else None,
        )
        # What one run of it had imported by its end, another may not have.
        known = tool.get("softwareRequirements", [])
        tool["softwareRequirements"] = [*known, *(package for package in packages if package not in known)]
        return tool

    def _source(self, run: Mapping[str, Any]) -> dict[str, Entity]:
        """Return the files of the source tree by their paths in it; none where there is none."""
        digest = run["source"]
        if digest is None:
            return {}
        if digest not in self._sources:
            self._sources[digest] = {}
            try:
                tree = repository.by_digest(self._home, Digest.parse(digest), name="source tree")
                tree.verify()
            except (MissingObject, UnknownName):
                self.notes.append(f"bytes of the source tree {digest} are gone from the store")
                return {}
            laid = self._folder.lay_out(tree, "source", "tree")
            facts = run["source_facts"] or {}
            commit = facts.get("commit")
            known = f"Commit {commit}{', with changes' if facts.get('dirty') else ''}." if commit else None
            self.crate.add_artifact(
                laid, name="Source tree", identifier=digest, description=known, codeRepository=facts.get("remote")
            )
            found = {file.path.removeprefix(laid.path): self.crate.crate.get(quote(file.path)) for file in laid.files}
            self._sources[digest] = found
        return self._sources[digest]

    def _artifact(self, digest: str, made_by: str | None) -> Entity:
        """Return the one entity of an artifact, which is called as the first of these runs recorded it."""
        if digest not in self._artifacts:
            self._artifacts[digest] = self._laid(digest, self._described.artifact(digest, made_by))
            if self._progress is not None:
                self._progress(len(self._artifacts))
        return self._artifacts[digest]

    def _laid(self, digest: str, known: Mapping[str, Any]) -> Entity:
        name = str(known["name"])
        try:
            artifact = repository.by_digest(self._home, Digest.parse(digest), name=name)
            artifact.verify()
        except (MissingObject, UnknownName):
            self.notes.append(f"bytes of {name} are gone from the store")
            return self.crate.add(
                identifier("artifact", digest),
                "CreativeWork",
                name=name,
                identifier=digest,
                description="The bytes of this are gone from the store that it was exported from.",
                creativeWorkStatus="gone",
            )
        called = known["collection"] or (name if name != digest else artifact.kind)
        return self.crate.add_artifact(
            self._folder.lay_out(artifact, "data", str(called)),
            name=name,
            identifier=digest,
            version=str(known["version"]) if known["version"] is not None else None,
            encodingFormat=_ENCODINGS.get(artifact.kind),
        )

    def _value(
        self, run: Mapping[str, Any], what: str, name: str, value: Any, description: str | None = None
    ) -> tuple[Entity, str]:
        held, kind = value_of(value)
        place = identifier("run", run["run_id"], what, name)
        return self.crate.add(place, "PropertyValue", name=name, value=held, description=description), kind

    def _variables(self, run: Mapping[str, Any]) -> list[Entity]:
        document = self._described.environments.get(run["environment"]) or {}
        variables = (document.get("variables") or {}).items()
        place = str(run["environment"])
        return [
            self.crate.add(identifier("variable", place, name), "PropertyValue", name=name, value=value_of(value)[0])
            for name, value in sorted(variables)
        ]

    def _agent(self, run: Mapping[str, Any]) -> Entity | None:
        # Whoever imported a run did not execute it.
        if run["account"] is None or run["run_kind"] == "imported":
            return None
        return self.crate.add(identifier("account", run["account"]), "Person", name=run["account"])

    def _engine(self) -> Entity:
        versions = {
            str(package["version"])
            for document in self._described.environments.values()
            for package in document.get("packages") or ()
            if package.get("name") == "dagster"
        }
        return self.crate.add(
            identifier("engine", "dagster"),
            "SoftwareApplication",
            name="Dagster",
            url="https://dagster.io/",
            softwareVersion=versions.pop() if len(versions) == 1 else None,
        )

    def _add_documents(self, runs: list[dict[str, Any]]) -> None:
        """Add what is written about runs: the record, every point, the console, the environment."""
        points: dict[str, list[list[Any]]] = {}
        given = {"runs": [run["run_id"] for run in runs]}
        with queries.connect(self._home) as connection:
            for run_id, *point in execute(connection, _POINTS, given).fetchall():
                points.setdefault(run_id, []).append(point)
            consoles = execute(connection, _CONSOLES, given).fetchall()
        environments: dict[str, list[Entity]] = {}
        for run in runs:
            action = self.crate.crate.get(identifier("run", run["run_id"]))
            if run["environment"] is not None:
                environments.setdefault(run["environment"], []).append(action)
            under = f"runs/{self._folder.held(run['run_id'])}"
            said = {name: value for name, value in run.items() if name != "last_seen"}
            record = json.dumps(plain(said), indent=1, sort_keys=True).encode()
            self._about(f"{under}/run.json", record, "The record", "application/json", [action])
            if run["run_id"] in points:
                self._about(
                    f"{under}/metrics.csv", self._table(points[run["run_id"]]), "Every point", "text/csv", [action]
                )
            for run_id, stream, text in consoles:
                if run_id == run["run_id"]:
                    written = self._described.value(text).encode("utf-8", "replace")
                    self._about(f"{under}/{self._folder.held(stream)}.txt", written, stream, "text/plain", [action])
        for digest, actions in environments.items():
            self._add_environment(digest, actions)

    def _add_environment(self, digest: str, actions: list[Entity]) -> None:
        document = self._described.environments.get(digest)
        if document is None:
            self.notes.append(f"bytes of the environment {digest} are gone from the store")
            return
        under = f"environments/{Digest.parse(digest).hex[:DIGITS]}"
        written = json.dumps(document, indent=1, sort_keys=True).encode()
        self._about(f"{under}/environment.json", written, "The environment", "application/json", actions)
        packages = document.get("packages") or []
        if packages:
            lines = "".join(f"{requirement(package)}\n" for package in packages)
            self._about(f"{under}/requirements.txt", lines.encode(), "Its packages", "text/plain", actions)

    def _about(self, path: str, content: bytes, name: str, encoding: str, actions: list[Entity]) -> None:
        self.crate.add_file(self._folder.write(path, content), name=name, encodingFormat=encoding, about=actions)

    def _table(self, points: list[list[Any]]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("name", "step", "value", "time"))
        writer.writerows(
            (self._described.value(name), "" if step is None else step, repr(value), plain(time))
            for name, step, value, time in points
        )
        return text.getvalue().encode("utf-8", "replace")


def _description(run: Mapping[str, Any]) -> str:
    plan = run["plan"] or {}
    words = plan.get("command") or plan.get("interpreter_argv")
    parts = [f"Materialized the asset {run['asset']}" if run["asset"] else None]
    parts.append(f"partition {run['partition']}" if run["partition"] else None)
    parts.append(f"Executed {shlex.join(map(str, words))}" if words and not run["asset"] else None)
    origin = run["imported_from"]
    parts.append(f"Recorded by {origin['tool']} as {origin['foreign_id']}" if origin else None)
    parts.append(f"State: {run['state']}")
    parts.append("it is a replay of " + run["replay_of"] if run["replay_of"] else None)
    verdicts = ", ".join(dict.fromkeys(row["verdict"] for row in run["replays"]))
    parts.append(f"executed again from its record: {verdicts}" if verdicts else None)
    parts.append(f"Note: {run['note']}" if run["note"] else None)
    return "; ".join(filter(None, parts))


def _of_points(row: Mapping[str, Any]) -> str:
    at = f", at step {row['step']}" if row["step"] is not None else ""
    return f"The last of {row['points']} points{at}." if row["points"] > 1 else f"The only point{at}."


def _kind_of(entity: Entity) -> str:
    kinds = entity.type if isinstance(entity.type, list) else [entity.type]
    return str(kinds[0])
