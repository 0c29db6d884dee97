"""Where spans go: the standard variables decide, and no exporter stops or changes a run."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from recordings import Records
from span_files import ONE_RUN, PARENT, by_name, spans_of

from repro_assets.journal import run_records
from repro_assets.recording.span_export import SpanQueue
from repro_assets.recording.tracers import tracers
from repro_assets.recording.tracing import span
from repro_assets.store.home import Home


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"OTEL_TRACES_SAMPLER": "always_off"}, set()),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, set()),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, {"one", "inner"}),
        ({"TRACEPARENT": PARENT[:-2] + "00"}, set()),
        ({"OTEL_SDK_DISABLED": "true"}, set()),
        ({"OTEL_TRACES_EXPORTER": "none"}, set()),
    ],
)
def test_the_standard_variables_decide_what_is_kept(
    home: Home,
    process: Callable[..., subprocess.CompletedProcess[str]],
    records_of: Records,
    variables: dict[str, str],
    names: set[str],
) -> None:
    process(ONE_RUN, **variables)
    assert set(by_name(home)) == names
    assert records_of(run_records.RunEnded)[0].state == "COMPLETED"


class Collector(HTTPServer):
    """Receives OTLP over HTTP on loopback."""

    def __init__(self, status: int = 200) -> None:
        received: list[tuple[str, dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, dict(self.headers), body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *said: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.received = received
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    server = Collector(getattr(request, "param", 200))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


DRAWING = (
    """
import random
random.seed(3)
first = random.getstate()
"""
    + ONE_RUN
    + """
from repro_assets.recording.tracers import tracers
tracers._endpoint.force_flush()
assert random.getstate() == first
"""
)


def test_an_endpoint_gets_the_spans_by_the_standard_variables(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]], collector: Collector
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    process(
        DRAWING,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=small",
        OTEL_SERVICE_NAME="trainer",
    )
    received = []
    for path, headers, body in collector.received:
        assert (path, headers["x-tenant"]) == ("/v1/traces", "small")
        request = ExportTraceServiceRequest.FromString(body)
        (resource,) = request.resource_spans
        assert ("service.name", "trainer") in [(a.key, a.value.string_value) for a in resource.resource.attributes]
        received += resource.scope_spans[0].spans
    in_file = {(one["name"], one["spanId"], one["startTimeUnixNano"]) for one in spans_of(home)}
    assert {(one.name, one.span_id.hex(), str(one.start_time_unix_nano)) for one in received} == in_file
    assert {name for name, *_ in in_file} == {"one", "inner"}


@pytest.mark.parametrize("collector", [400], indirect=True)
def test_an_endpoint_that_refuses_costs_no_run_and_what_was_lost_is_said(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]], collector: Collector, records_of: Records
) -> None:
    done = process(DRAWING, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert done.stderr.count("spans do not reach") == 1
    assert f"2 spans were dropped on the way to {collector.url}" in done.stderr
    assert set(by_name(home)) == {"one", "inner"}
    assert records_of(run_records.RunEnded)[0].state == "COMPLETED"


def test_an_endpoint_that_nobody_listens_on_holds_nothing_up_but_the_end_a_little(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]], records_of: Records
) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as taken:
        url = f"http://127.0.0.1:{taken.server_port}"
    done = process(ONE_RUN, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert f"2 spans were dropped on the way to {url}" in done.stderr
    assert set(by_name(home)) == {"one", "inner"}
    assert records_of(run_records.RunEnded)[0].state == "COMPLETED"


@pytest.mark.parametrize("variables", [{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"HIDDEN": "1"}])
def test_an_endpoint_that_cannot_be_spoken_to_is_named(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]], variables: dict[str, str]
) -> None:
    # None in the table of modules is how Python marks one that cannot be imported.
    hide = 'if "HIDDEN" in os.environ: sys.modules["opentelemetry.exporter.otlp.proto.http.trace_exporter"] = None\n'
    done = process(hide + ONE_RUN, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **variables)
    wanted = "pip install 'repro-assets[otlp]'" if "HIDDEN" in variables else "'grpc' is not supported"
    assert done.stderr.count("spans go to the file only") == 1 and wanted in done.stderr
    assert set(by_name(home)) == {"one", "inner"}


def test_a_folder_that_cannot_be_written_costs_no_run_and_is_on_record(
    home: Home, process: Callable[..., subprocess.CompletedProcess[str]], records_of: Records
) -> None:
    home.traces.write_text("a file stands where the folder should be")
    done = process(
        """
from repro_assets.recording.tracers import tracers
with recorded(begin(home, RunStarted("0" * 16, "script", "one"))):
    with span("inner"): pass
    tracers.flush_files()
"""
    )
    assert done.stderr.count("spans do not reach") == 1
    assert "2 spans were dropped" in done.stderr
    assert records_of(run_records.RunEnded)[0].state == "COMPLETED"
    (batch,) = records_of(run_records.Metrics)
    assert [row[:3] for row in batch.rows] == [["spans_dropped", None, 1.0]]


def test_a_full_queue_drops_and_counts_and_never_waits(traced: Home, caplog: pytest.LogCaptureFixture) -> None:
    go_on, exported = threading.Event(), []

    def slow(spans: Any) -> None:
        go_on.wait(60)
        exported.extend(spans)

    queue = SpanQueue("nowhere", slow, exit_seconds=60, size=4)
    with span("one") as one:
        pass
    # The first export holds the thread; which spans it took before is its own affair.
    for _ in range(20):
        queue.on_end(one._span)
    assert 20 - 8 <= queue.dropped <= 20 - 4
    go_on.set()
    queue.shutdown()
    assert len(exported) + queue.dropped == 20
    assert [message for message in caplog.messages if "do not reach nowhere: 4 spans wait already" in message]
    assert caplog.messages[-1].startswith(f"{queue.dropped} spans were dropped on the way to nowhere")


def test_a_write_that_fails_half_way_leaves_no_torn_line(traced: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with span("before"):
        pass
    tracers.flush_files()
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if b"resourceSpans" in data:
            return write(descriptor, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("repro_assets.recording.span_export.os.write", full)
    with span("lost"):
        pass
    tracers.flush_files()
    monkeypatch.undo()
    with span("after"):
        pass
    assert set(by_name(traced)) == {"before", "after"}
