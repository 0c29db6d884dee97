"""What an attestation says of runs: an in-toto statement (v1) with SLSA's provenance (v1) as its predicate.

Laws: subjects are the products of ended runs, by the digests that they have in every store; what decided their bits is
in the build's definition, materials (inputs, source trees, environments) by digest; verdicts of replays are byproducts,
each with all that its record says. Nothing names a host or a person. The statement is a function of the records, so it
is made again equal until there is another replay.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.errors import CheckFailed, IntegrityError, InvalidInput, InvalidValue, UnknownName
from repro_assets.identity import canonical
from repro_assets.identity.digest import Digest
from repro_assets.interchange import signing
from repro_assets.store.home import Home

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD = "urn:repro-assets:run:v1"
"""What `externalParameters` and `internalParameters` mean; a name, which nothing ever asks for."""
REPLAY = "application/vnd.repro-assets.replay+json"

_RUNS = """
    SELECT run_id, parent_run_id, run_kind, name, recipe, asset, partition, state, seed, code_version, environment,
        source, commit, config, mode, settings, epoch_us(started_at) AS started, epoch_us(ended_at) AS ended
    FROM runs WHERE run_kind <> 'parent' AND (list_contains($runs, run_id) OR list_contains($runs, parent_run_id))
    ORDER BY started_at, run_id
"""
_EXTERNAL = ("run_id", "run_kind", "name", "recipe", "asset", "partition", "seed")
_INTERNAL = ("run_id", "code_version", "commit")


@dataclass(frozen=True, slots=True)
class Attested:
    """What was signed: the file, the id of the key, the runs, and the products as name and digest."""

    path: Path
    keyid: str
    runs: list[str]
    subjects: list[dict[str, str]]


@dataclass(slots=True)
class Verification:
    """What a verification found.

    Parameters
    ----------
    path : str
        The attestation.
    verified : bool
        The key signed it, and no subject that is in the store differs from it there.
    keyid : str
        Id of the key.
    runs : list of str
        Runs that it is about; none where the key did not sign it, because then nothing in it counts.
    subjects : list of dict
        ``name`` and ``digest`` of each product, and ``stored``: true if its bytes in the store here hash to it, false
        if they do not, null where it is not there, or there is no store.
    replays : list of dict
        ``run`` and ``verdict`` of each replay that it tells of.
    reason : str or None
        Why it is not verified.
    """

    path: str
    verified: bool
    keyid: str
    runs: list[str]
    subjects: list[dict[str, Any]]
    replays: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return asdict(self)


def statement(home: Home, runs: Sequence[str]) -> dict[str, Any]:
    """Return the statement of some runs; a parent run stands for those under it.

    Parameters
    ----------
    home : Home
        The store.
    runs : sequence of str
        Ids of runs.

    Raises
    ------
    UnknownName
        If a run is not there.
    InvalidValue
        If a run has not ended, has failed, or made nothing.
    """
    with queries.connect(home) as connection:

        def rows(sql: str, ids: list[str]) -> list[dict[str, Any]]:
            return queries.read_rows(connection, sql, {"runs": ids})

        found = rows(_RUNS, list(runs))
        ids = [str(row["run_id"]) for row in found]
        _refuse(runs, found)
        where = "WHERE list_contains($runs, run_id)"
        outputs = rows(f"SELECT run_id, slot, name, digest FROM run_outputs {where} ORDER BY ALL", ids)
        inputs = rows(f"SELECT run_id, slot, partition, digest, made_by FROM run_inputs {where} ORDER BY ALL", ids)
        replays = rows(
            "SELECT original_run, replay_run, verdict, reason, products, differences, record, epoch_us(time) AS time "
            "FROM replays WHERE list_contains($runs, original_run) ORDER BY time, record",
            ids,
        )
    if not outputs:
        raise InvalidValue(f"{_several(runs)} made nothing that could be attested", "name a run with products")
    made: dict[str, str] = {}
    for row in outputs:
        name = str(row["name"] or row["slot"])
        # A statement's subjects have names of their own; the same bits under the same name are one.
        made.setdefault(
            name if made.get(name, row["digest"]) == row["digest"] else f"{name} {row['run_id']}", row["digest"]
        )
    single = found[0]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": _sha256(digest)} for name, digest in sorted(made.items())],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {
                    "runs": [
                        {
                            **{name: row[name] for name in _EXTERNAL},
                            "config": _json(row["config"]),
                            "inputs": _listed(inputs, row["run_id"], ("slot", "partition", "digest", "made_by")),
                            "products": _listed(outputs, row["run_id"], ("slot", "name", "digest")),
                        }
                        for row in found
                    ]
                },
                "internalParameters": {
                    "runs": [
                        {
                            **{name: row[name] for name in _INTERNAL},
                            "mode": _json(row["mode"]),
                            "settings": _json(row["settings"]),
                        }
                        for row in found
                    ]
                },
                "resolvedDependencies": _materials(found, inputs),
            },
            "runDetails": {
                "builder": {"id": "urn:repro-assets:builder:v1", "version": {"repro-assets": version("repro-assets")}},
                "metadata": {
                    "invocationId": single["run_id"] if len(found) == 1 else str(Digest.of(canonical.encode(ids))),
                    "startedOn": _moment(min(row["started"] for row in found)),
                    "finishedOn": _moment(max(row["ended"] for row in found)),
                },
                "byproducts": [_replay(row) for row in replays],
            },
        },
    }


def attest(home: Home, runs: Sequence[str], key: Path, to: Path, *, force: bool = False) -> Attested:
    """Sign the statement of some runs.

    Parameters
    ----------
    home : Home
        The store.
    runs : sequence of str
        Ids of runs.
    key : Path
        The file of the private key.
    to : Path
        The file to write.
    force : bool
        Replace a file that is there.

    Raises
    ------
    UnknownName, InvalidValue
        As `statement`.
    InvalidInput, ReusedElsewhere, MachineError
        If the key is none, or the file is there or cannot be written.
    """
    from repro_assets.interchange.targets import target_file
    from repro_assets.store import outside

    said = statement(home, runs)
    path = target_file(to, f"{runs[0][:8]}.intoto.json", force=force)
    envelope, keyid = signing.sign(canonical.encode(said), key)
    outside.write(path, envelope)
    subjects = [{"name": item["name"], "digest": f"sha256:{item['digest']['sha256']}"} for item in said["subject"]]
    return Attested(path, keyid, [run["run_id"] for run in _runs_of(said)], subjects)


def verify(path: Path, public_key: Path, home: Home | None = None) -> Verification:
    """Verify an attestation with a public key, and its subjects where a store has them.

    Parameters
    ----------
    path, public_key : Path
        The files.
    home : Home, optional
        A store whose products are held against the statement; none is needed.

    Raises
    ------
    InvalidInput
        If one of the files is not what it should be, or what was signed is no such statement.
    MachineError
        If the extra is not installed.
    """
    try:
        payload, keyid = signing.verified(path, public_key)
    except CheckFailed as error:
        return Verification(str(path), False, signing.key_id(public_key), [], [], reason=str(error))
    try:
        said = json.loads(payload)
        kinds = (said["_type"], said["predicateType"])
        if kinds != (STATEMENT, PROVENANCE):
            raise InvalidInput(
                f"{path} is signed, and no attestation of runs: it is a {kinds[1]} in a {kinds[0]}", signing.MADE_BY
            )
        subjects = [(str(item["name"]), Digest(item["digest"]["sha256"])) for item in said["subject"]]
        runs = [str(run["run_id"]) for run in _runs_of(said)]
        replays = [
            {name: str(item["annotations"][name]) for name in ("run", "verdict")}
            for item in said["predicate"]["runDetails"]["byproducts"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, InvalidValue) as error:
        raise InvalidInput(
            f"{path} is signed, and no attestation of runs: what was signed is another statement", signing.MADE_BY
        ) from error
    found = Verification(str(path), True, keyid, runs, [], replays)
    for name, digest in subjects:
        stored = None if home is None else _is_stored(home, digest)
        if stored is False:
            found.verified = False
            found.reason = f"{path} is signed, but the bytes of {name} in this store are others"
        found.subjects.append({"name": name, "digest": str(digest), "stored": stored})
    return found


def _is_stored(home: Home, digest: Digest) -> bool | None:
    try:
        artifact = repository.by_digest(home, digest)
    except UnknownName:
        return None
    except IntegrityError:
        return False
    if not artifact.is_whole():
        return None
    try:
        artifact.verify()
    except IntegrityError:
        return False
    return True


def _refuse(asked: Iterable[str], found: list[dict[str, Any]]) -> None:
    known = {row["run_id"] for row in found} | {row["parent_run_id"] for row in found}
    for run in asked:
        if run not in known:
            raise UnknownName(f"there is no run {run} with products", "see: repro runs list")
    for row in found:
        if row["state"] != "COMPLETED":
            raise InvalidValue(f"run {row['run_id']} is {row['state']}, and is not attested", "name a COMPLETED run")


def _materials(runs: list[dict[str, Any]], inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each input, source tree and environment once, with the slots in which runs read it."""
    roles: dict[str, set[str]] = {}
    for row in runs:
        for what in ("source", "environment"):
            if row[what] is not None:
                roles.setdefault(row[what], set()).add(what)
    for row in inputs:
        roles.setdefault(row["digest"], set()).add(f"input {row['slot']}")
    return [
        {"name": ", ".join(sorted(names)), "digest": _sha256(digest), "uri": f"urn:repro-assets:{digest}"}
        for digest, names in sorted(roles.items())
    ]


def _replay(row: dict[str, Any]) -> dict[str, Any]:
    content = {
        "original_run": row["original_run"],
        "replay_run": row["replay_run"],
        "verdict": row["verdict"],
        "reason": row["reason"],
        "products": _json(row["products"]),
        "differences": _json(row["differences"]),
        "time": _moment(row["time"]),
    }
    return {
        "name": f"replay of {row['original_run']}",
        "mediaType": REPLAY,
        "content": base64.b64encode(canonical.encode(content)).decode(),
        "annotations": {"run": row["original_run"], "verdict": row["verdict"]},
    }


def _listed(rows: list[dict[str, Any]], run: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in names} for row in rows if row["run_id"] == run]


def _runs_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = said["predicate"]["buildDefinition"]["externalParameters"]["runs"]
    return runs


def _json(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": Digest.parse(digest).hex}


def _moment(microseconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _several(runs: Sequence[str]) -> str:
    return f"run {runs[0]}" if len(runs) == 1 else f"these {len(runs)} runs"
