"""The format ``openlineage``: events as lines of JSON in a file, or sent to an endpoint.

Laws: events are made, and all of a file is, before anything is written or sent. Where to send is said by OpenLineage's
own variables and configuration file; what its client would add of this process (its version, variables, repository) is
not sent, because the run was another process. An endpoint that does not take an event ends the export.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from repro_assets.capture.secrets import redact_url
from repro_assets.catalog import queries
from repro_assets.errors import InvalidInput, InvalidValue, MachineError, MissingVariable
from repro_assets.extras import need
from repro_assets.identity.digest import Digest
from repro_assets.interchange.exports.described import describe
from repro_assets.interchange.exports.lineage_events import NAMESPACE, events, lines
from repro_assets.interchange.formats import Exported, Progress, Request, joined
from repro_assets.interchange.presence import gone_digests
from repro_assets.interchange.subjects import ended_runs
from repro_assets.interchange.targets import target_file
from repro_assets.store import outside
from repro_assets.store.home import Home

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

SUFFIX = ".openlineage.jsonl"
FROM_VARIABLES = "env"
"""What stands for the endpoint that the variables name."""
_PREFIX = "OPENLINEAGE_"
_RETRIES = {"total": 2, "read": 2, "connect": 2}


def export(request: Request) -> Exported:
    """Write or send the events of runs; an artifact means the run that made it.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, a run goes on, or the library is not installed.
    MissingVariable
        If it is to be sent where the variables say, and they say nothing.
    InvalidInput, ReusedElsewhere, MachineError
        If the file cannot be written, the configuration cannot be read, or the endpoint does not take an event.
    """
    need("openlineage.client", "openlineage")
    ids = ended_runs(request.home, request.names)
    described = describe(request.home, ids, anonymous=request.anonymize)
    made = events(described, namespace())
    sends = request.to == FROM_VARIABLES or urlsplit(request.to).scheme in ("http", "https")
    path = None if sends else target_file(request.path, f"{ids[0][:8]}{SUFFIX}", force=request.force)
    named = [(Digest.parse(digest), str(artifact["name"])) for digest, artifact in described.artifacts.items()]
    notes = gone_digests(request.home, named)
    facts = {"runs": [run["run_id"] for run in described.runs], "events": len(made)}
    if path is not None:
        outside.write(path, b"".join(lines(made)))
        return Exported(path, "openlineage", joined(request.names), None, not notes, facts, notes)
    with _client(request.to) as (client, place):
        _send(client, place, made, request.progress)
    return Exported(place, "openlineage", joined(request.names), None, not notes, facts, notes)


def whole_lineage(home: Home) -> tuple[int, list[RunEvent]]:
    """Return the number of all runs in a store, and their events; a run that goes on has its first one.

    Raises
    ------
    InvalidValue
        If the library is not installed.
    """
    need("openlineage.client", "openlineage")
    found = [row["run_id"] for row in queries.rows(home, "SELECT run_id FROM runs")]
    return len(found), events(describe(home, found), namespace())


def namespace() -> str:
    """Return the namespace of jobs and datasets: what OpenLineage's own variable says, else ours."""
    return os.environ.get("OPENLINEAGE_NAMESPACE") or NAMESPACE


def _send(client: OpenLineageClient, place: str, made: list[RunEvent], progress: Progress | None) -> None:
    import requests

    for count, event in enumerate(made, 1):
        if client.filter_event(event) is None:
            continue
        try:
            # Not by the client's own `emit`, which adds what it finds in this process.
            client.transport.emit(event)
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise MachineError(
                f"{place} did not take event {count} of {len(made)}: {_reason(error)}",
                "see that it is there and that OPENLINEAGE_API_KEY is right, and export again: events repeat safely",
            ) from error
        if progress is not None:
            progress(count)
    if not client.close():
        raise MachineError(f"{place} did not take all of {len(made)} events", "export again: events repeat safely")


def _reason(error: Exception) -> str:
    """Return why in one line, without an address, which may hold a credential."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"it answered {answer.status_code} {answer.reason or ''}".rstrip()
    cause = getattr(error.args[0], "reason", None) if error.args else None
    text = str(cause if cause is not None else error).partition(": ")[2] or str(cause or error)
    return redact_url(" ".join(text.split()))


@contextlib.contextmanager
def _client(to: str) -> Iterator[tuple[OpenLineageClient, str]]:
    """Give a client, and what its endpoint is called."""
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    if to != FROM_VARIABLES:
        address = urlsplit(to)
        if not address.hostname:
            raise InvalidValue(f"{redact_url(to)} is no address", "write http://HOST:PORT")
        whole = address.path.strip("/")
        endpoint = whole or os.environ.get("OPENLINEAGE_ENDPOINT") or "api/v1/lineage"
        base = f"{address.scheme}://{address.netloc}"
        key = os.environ.get("OPENLINEAGE_API_KEY")
        auth = {"auth": {"type": "api_key", "apiKey": key}} if key else {}
        config = HttpConfig.from_dict({"url": base, "endpoint": endpoint, "retry": _RETRIES, **auth})
        with _quiet():
            yield OpenLineageClient(transport=HttpTransport(config)), redact_url(f"{base}/{endpoint}")
        return
    _check_file()
    with _quiet(), _unchanged_variables():
        try:
            client = OpenLineageClient()
        except (ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
            raise InvalidInput(f"OpenLineage's configuration is not right: {error}", "see its own pages") from error
        if client.transport.kind == "noop":
            raise InvalidValue("OPENLINEAGE_DISABLED switches OpenLineage off", "unset it, or give --to FILE")
        if client.transport.kind == "console" and not (client.config.transport or {}).get("type"):
            raise MissingVariable(
                "no OpenLineage endpoint is configured", "set OPENLINEAGE_URL or OPENLINEAGE_CONFIG, or give --to FILE"
            )
        transport = client.transport
        yield client, redact_url(str(getattr(transport, "url", None) or f"OpenLineage's transport {transport.kind}"))


def _check_file() -> None:
    """Refuse a configuration file that does not read, which OpenLineage's client would pass over."""
    import yaml

    named = os.environ.get("OPENLINEAGE_CONFIG")
    if not named:
        return
    try:
        found = yaml.safe_load(Path(named).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput(f"OPENLINEAGE_CONFIG names {named}, which does not read: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"OPENLINEAGE_CONFIG names {named}, which holds no configuration", "write a mapping")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let OpenLineage's own lines of a log be, but for errors of a kind that nothing else tells."""
    log = logging.getLogger("openlineage.client")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


@contextlib.contextmanager
def _unchanged_variables() -> Iterator[None]:
    """Put variables back that OpenLineage's client sets for itself."""
    before = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(_PREFIX)]:
            del os.environ[name]
        os.environ.update(before)
