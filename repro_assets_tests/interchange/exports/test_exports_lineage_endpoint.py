"""Where OpenLineage's events are sent: an endpoint on loopback, the library's variables and its configuration file."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphed
import pytest
from lineage_reading import events_in

from repro_assets.errors import InvalidInput, InvalidValue, MachineError, MissingVariable
from repro_assets.interchange.formats import export


class Endpoint:
    """An endpoint on loopback that keeps what it is sent, or answers with an error."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str | None, dict[str, Any]]] = []
        self.answers = [200]
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = endpoint.answers[min(len(endpoint.taken), len(endpoint.answers) - 1)]
                endpoint.taken.append((self.path, self.headers["Authorization"], json.loads(body)))
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    yield found
    found.end()


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's configuration file is found."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_an_endpoint_takes_every_event(
    graph: graphed.Graphed, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "a-key")
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "team")
    told: list[int] = []
    done = export(graph.evaluate, to=endpoint.url, format="openlineage", home=graph.home, progress=told.append)
    assert done.path == f"{endpoint.url}/api/v1/lineage" and done.facts["events"] == 2 and told == [1, 2]
    assert [(path, key) for path, key, _ in endpoint.taken] == [("/api/v1/lineage", "Bearer a-key")] * 2
    path = tmp_path / "same.jsonl"
    export(graph.evaluate, to=path, format="openlineage", home=graph.home)
    assert [event for _, _, event in endpoint.taken] == events_in(path)
    assert endpoint.taken[0][2]["job"]["namespace"] == "team" == endpoint.taken[0][2]["inputs"][0]["namespace"]
    done = export(graph.bare, to=f"{endpoint.url}/lineage/take", format="openlineage", home=graph.home)
    assert endpoint.taken[-1][0] == "/lineage/take" and done.path == f"{endpoint.url}/lineage/take"


def test_variables_and_the_configuration_file_say_where(
    graph: graphed.Graphed, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", endpoint.url)
    monkeypatch.setenv("OPENLINEAGE_ENDPOINT", "take/this")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "a-key")
    before = dict(os.environ)
    done = export(graph.bare, to="env", format="openlineage", home=graph.home)
    assert done.path == endpoint.url and dict(os.environ) == before
    assert [(path, key) for path, key, _ in endpoint.taken] == [("/take/this", "Bearer a-key")] * 2
    # The library's own client would add its version and what it finds in this process.
    assert "tags" not in endpoint.taken[0][2]["run"]["facets"]
    for name in ("URL", "ENDPOINT", "API_KEY"):
        monkeypatch.delenv(f"OPENLINEAGE_{name}")
    config = tmp_path / "openlineage.yml"
    config.write_text(
        f"transport: {{type: http, url: '{endpoint.url}', endpoint: from/file}}\n"
        "filters: [{type: exact, match: bare}]\n"
    )
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(config))
    export(graph.bare, graph.notebook, to="env", format="openlineage", home=graph.home)
    assert [path for path, _, _ in endpoint.taken[2:]] == ["/from/file"] * 2
    assert {event["job"]["name"] for _, _, event in endpoint.taken[2:]} == {"notebook"}


def test_what_does_not_say_where_is_refused(
    graph: graphed.Graphed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tmp_path / "bad.yml"
    for variables, text, kind, said in (
        ({}, None, MissingVariable, "set OPENLINEAGE_URL"),
        ({"OPENLINEAGE_DISABLED": "true"}, None, InvalidValue, "switches OpenLineage off"),
        ({"OPENLINEAGE_CONFIG": str(tmp_path / "no.yml")}, None, InvalidInput, "does not read"),
        ({"OPENLINEAGE_CONFIG": str(bad)}, "a: [", InvalidInput, "does not read"),
        ({"OPENLINEAGE_CONFIG": str(bad)}, "- a\n", InvalidInput, "holds none"),
        ({"OPENLINEAGE_CONFIG": str(bad)}, "transport: {type: nonsense}\n", InvalidInput, "is not right"),
        ({"OPENLINEAGE_CONFIG": str(bad)}, "transport: {type: http}\n", InvalidInput, "is not right"),
    ):
        with monkeypatch.context() as scope, pytest.raises(kind, match=said) as refused:
            for name, value in variables.items():
                scope.setenv(name, value)
            if text is not None:
                bad.write_text(text)
            export(graph.bare, to="env", format="openlineage", home=graph.home)
        assert refused.value.exit_code == 2
    (tmp_path / "openlineage.yml").write_text("{")
    with pytest.raises(InvalidInput, match=r"openlineage\.yml does not read"):
        export(graph.bare, to="env", format="openlineage", home=graph.home)
    assert [record.message for record in caplog.records if record.name.startswith("openlineage")] == []
    with pytest.raises(InvalidValue, match="is no address"):
        export(graph.bare, to="http://", format="openlineage", home=graph.home)


def test_an_endpoint_that_does_not_take_an_event_ends_the_export(graph: graphed.Graphed, endpoint: Endpoint) -> None:
    address = endpoint.url.replace("//", "//user:secret@")
    for answers, said in (([200, 500], "event 2 of 2"), ([401], "event 1 of 2: it answered 401")):
        endpoint.answers, endpoint.taken = answers, []
        with pytest.raises(MachineError, match=said) as refused:
            export(graph.bare, to=address, format="openlineage", home=graph.home)
        assert refused.value.exit_code == 3 and "secret" not in str(refused.value) and "\n" not in str(refused.value)
    endpoint.end()
    with pytest.raises(MachineError, match=r"did not take event 1 of 2: .*refused"):
        export(graph.bare, to=endpoint.url, format="openlineage", home=graph.home)
    endpoint.__init__()  # type: ignore[misc]
