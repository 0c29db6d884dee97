"""Where ended spans go: to a file of this process, and to an OTLP endpoint where the environment names one.

Laws: ending a span only puts it into a bounded queue; a thread exports it, so a slow, failing or absent exporter
neither stops nor slows the caller; what a full queue or a failed export loses is counted, and said once when it begins
and once when the process ends. A line of the file is a whole OTLP/JSON request (`resourceSpans`), as the OpenTelemetry
collector's file receiver reads it; a last line without its newline is being written, or its writer died. Nothing is
fsynced: a crash of the machine may take the last spans with it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from repro_assets.recording import logs

QUEUE_SPANS = 8192
BATCH_SPANS = 512
EXPORT_SECONDS = 1.0
IDLE_SECONDS = 5.0
FILE_EXIT_SECONDS = 5.0
OTLP_EXIT_SECONDS = 2.0

Export = Callable[[Sequence[ReadableSpan]], None]


class ExportFailed(Exception):
    """A batch was not taken; the text says why."""


class SpanQueue(SpanProcessor):
    """Ended spans on their way to one exporter.

    Parameters
    ----------
    place : str
        Where they go, for what is said.
    export : callable
        Takes a batch; whatever it raises counts the batch as dropped.
    exit_seconds : float
        How long the end of the process waits for it.
    size : int
        Spans that may wait.
    """

    def __init__(self, place: str, export: Export, exit_seconds: float, size: int = QUEUE_SPANS) -> None:
        self.place = place
        self.exit_seconds = exit_seconds
        self._export = export
        self._size = size
        self._reason = ""
        self.dropped = 0
        self._in_hand = 0
        self._spans: deque[ReadableSpan] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._asked: list[threading.Event] = []
        self._thread: threading.Thread | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Take an ended span."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            full = len(self._spans) >= self._size
            if not full:
                self._spans.append(span)
                self._begin_thread()
        if full:
            self._drop(1, f"{self._size} spans wait already")
        elif len(self._spans) >= BATCH_SPANS:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what has ended is exported; False where that took longer."""
        with self._lock:
            if self._thread is None:
                return True
            done = threading.Event()
            self._asked.append(done)
        self._wake.set()
        return done.wait(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Export what waits, within the time that the process's end has for it, and count the rest as dropped."""
        if not self.force_flush(round(self.exit_seconds * 1000)):
            with self._lock:
                left = len(self._spans) + self._in_hand
                self._spans.clear()
            self._drop(left, f"not exported within {self.exit_seconds:g} s of the process's end")
        if self.dropped:
            _say(f"{self.dropped} spans were dropped on the way to {self.place}: {self._reason}")

    def _begin_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="repro-spans", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        last = time.monotonic()
        while True:
            self._wake.wait(EXPORT_SECONDS)
            self._wake.clear()
            with self._lock:
                asked, self._asked = self._asked, []
            while self._spans:
                batch: list[ReadableSpan] = []
                with self._lock:
                    while self._spans and len(batch) < BATCH_SPANS:
                        batch.append(self._spans.popleft())
                    self._in_hand = len(batch)
                self._try(batch)
                self._in_hand = 0
                last = time.monotonic()
            for done in asked:
                done.set()
            with self._lock:
                if not self._spans and not self._asked and time.monotonic() - last > IDLE_SECONDS:
                    # A process may open many stores; an idle thread for each would stay for ever.
                    self._thread = None
                    return

    def _try(self, batch: list[ReadableSpan]) -> None:
        if not batch:
            return
        try:
            self._export(batch)
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises must not reach a run
            self._drop(len(batch), f"{type(error).__name__}: {error}")

    def _drop(self, count: int, reason: str) -> None:
        first = self.dropped == 0
        self.dropped += count
        self._reason = " ".join(reason.split())
        if first:
            _say(f"spans do not reach {self.place}: {self._reason}")


class SpanFile:
    """The trace file of this process in one store.

    Parameters
    ----------
    folder : Path
        The store's ``traces`` folder; made when the first spans come, in a store that is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> None:
        """Append one line with these spans.

        Raises
        ------
        OSError
            If the folder or the file cannot be written; a torn line is cut off again.
        """
        if self._path is None:
            self._folder.mkdir(exist_ok=True)
            name = f"{platform.node() or 'host'}-{os.getpid()}-{uuid.uuid4().hex}.jsonl"
            self._path = self._folder / name
        line = json.dumps(otlp_request(spans), ensure_ascii=False, separators=(",", ":"))
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            end = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                written = os.write(descriptor, data)
                while written < len(data):
                    written += os.write(descriptor, data[written:])
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)


def otlp_request(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """Return spans of one resource as an ExportTraceServiceRequest in its JSON form."""
    resource = spans[0].resource.attributes
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": {"name": "repro_assets"}, "spans": [_span(span) for span in spans]}],
            }
        ]
    }


def _span(span: ReadableSpan) -> dict[str, Any]:
    context, start = span.context, span.start_time
    assert context is not None and start is not None
    found: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(span.end_time or start),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }
    if span.parent is not None:
        found["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.status.description:
        found["status"]["message"] = span.status.description
    return found


def _attributes(attributes: Any) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        # JSON has no NaN and no infinities; protobuf's JSON form spells them.
        spelt = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
        return {"doubleValue": spelt.get(str(value), value)}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}


def otlp_queue(environment: dict[str, str]) -> SpanQueue | None:
    """Return the queue to the endpoint that the standard variables name; None where they name none.

    What cannot be used (the extra is not installed, the protocol is not HTTP) is said, and spans go to the file only.
    """
    named = [
        environment[name]
        for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        if environment.get(name)
    ]
    exporters = environment.get("OTEL_TRACES_EXPORTER", "")
    if (not named and "otlp" not in exporters) or exporters == "none":
        return None
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "http/protobuf"):
        _say(f"spans go to the file only: the protocol {protocol!r} is not supported, http/protobuf is")
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        _say(f"spans go to the file only: {error}; install it: pip install 'repro-assets[otlp]'")
        return None
    from opentelemetry.sdk.trace.export import SpanExportResult

    exporter: Any = OTLPSpanExporter()
    # Theirs draws its jitter from Python's global generator, before every export: a run's bits would change.
    exporter._client._compute_backoff = lambda retry: float(2**retry)
    said = _Said()
    for name in ("opentelemetry.exporter", *_loggers_below("opentelemetry.exporter")):
        logging.getLogger(name).addFilter(said)

    def export(spans: Sequence[ReadableSpan]) -> None:
        said.thread = threading.get_ident()
        if exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise ExportFailed(said.text or "it was refused")

    return SpanQueue(named[0] if named else "http://localhost:4318", export, OTLP_EXIT_SECONDS)


def _loggers_below(name: str) -> list[str]:
    return [known for known in logging.Logger.manager.loggerDict if known.startswith(f"{name}.")]


class _Said(logging.Filter):
    """Keeps what the exporter's library logs in our thread: its reason is said once, by us, and not at each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.thread: int | None = None
        self.text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        self.text = record.getMessage()
        return False


def resource_attributes(environment: dict[str, str]) -> dict[str, Any]:
    """What the spans of this process have in common: service, process, host, and the rank that torchrun gave it."""
    found: dict[str, Any] = {
        "service.name": environment.get("OTEL_SERVICE_NAME") or "repro",
        "host.name": platform.node(),
        "process.pid": os.getpid(),
        "process.executable.name": Path(sys.argv[0]).name if sys.argv else "",
    }
    if environment.get("RANK", "").isdigit():
        found["repro.rank"] = int(environment["RANK"])
    return found


def _say(text: str) -> None:
    logs.warn("tracing", text)
