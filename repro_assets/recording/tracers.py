"""What this process has opened for its spans: a maker of spans for each store, and the queues behind it.

Laws: nothing is opened, and OpenTelemetry not even loaded, before the first span that has somewhere to go; a process
that was started under a span finds its store by itself, or says once that there is none; ids come from the system,
never from a generator that a seed governs; a forked child opens everything anew.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro_assets.errors import ReproError
from repro_assets.store.home import Home, find_store
from repro_assets.store.offline import is_offline

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from repro_assets.recording.span_export import SpanQueue

HOME = "repro-home"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_trace_id: contextvars.ContextVar[int | None] = contextvars.ContextVar("repro-trace-id", default=None)


@contextlib.contextmanager
def in_trace(trace_id: str) -> Iterator[None]:
    """Give spans that begin without a parent this trace id (32 hexadecimal digits) for a while."""
    token = _trace_id.set(int(trace_id, 16))
    try:
        yield
    finally:
        _trace_id.reset(token)


class Tracers:
    """The one of this process is `tracers`."""

    def __init__(self) -> None:
        self._home: Home | None = None
        self.in_use = False
        self._forked = False
        self._looked = False
        self._open_nothing()
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self._end)

    def _open_nothing(self) -> None:
        self._lock = threading.RLock()
        self._tracers: dict[Home | None, Tracer | None] = {}
        self._files: list[SpanQueue] = []
        self._endpoint: SpanQueue | None = None
        self._endpoint_known = False

    def start(self, home: Home) -> None:
        """Make `home` the store of spans that name none and have no parent."""
        self._home = home
        self.in_use = True

    def tracer(self, home: Home | None) -> Tracer | None:
        """Return what makes spans for a store, None where they would go nowhere."""
        endpoint = any(os.environ.get(name) for name in _ENDPOINTS)
        if home is None and self._home is None:
            self._look(endpoint)
        if not self.in_use and home is None and not endpoint:
            return None
        self.in_use = True
        if home is None:
            from opentelemetry import context

            found = context.get_value(HOME)
            home = found if isinstance(found, Home) else self._home
        with self._lock:
            if home not in self._tracers:
                self._tracers[home] = self._open(home)
            if self._forked:
                self._forked = False
                util = sys.modules.get("multiprocessing.util")
                if util is not None:
                    # A forked worker of multiprocessing leaves by `os._exit`, past atexit.
                    util.Finalize(None, self._end, exitpriority=0)
            return self._tracers[home]

    def _look(self, endpoint: bool) -> None:
        """Find the store of a process that was started under a span; it may never open a run."""
        if self._looked or not os.environ.get("TRACEPARENT"):
            return
        self._looked = True
        if (
            os.environ.get("OTEL_TRACES_EXPORTER") == "none"
            or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        ):
            return
        try:
            self.start(find_store())
        except ReproError as error:
            if not endpoint:
                from repro_assets.recording import logs

                logs.warn("tracing", f"spans of this process have nowhere to go: {error}")

    def flush_files(self, seconds: float = 5.0) -> None:
        """Wait until the spans that have ended are in their files."""
        for queue in list(self._files):
            queue.force_flush(round(seconds * 1000))

    def dropped(self) -> int:
        """Return how many spans were lost so far, on the way to the files and to the endpoint."""
        queues = self._files + ([self._endpoint] if self._endpoint is not None else [])
        return sum(queue.dropped for queue in queues)

    def _open(self, home: Home | None) -> Tracer | None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        from repro_assets.recording import span_export

        class Ids(IdGenerator):
            """Random ids of the system's: the library's own draw from Python's global generator, which is seeded."""

            def generate_span_id(self) -> int:
                return int.from_bytes(os.urandom(8)) or 1

            def generate_trace_id(self) -> int:
                return _trace_id.get() or int.from_bytes(os.urandom(16)) or 1

            def is_trace_id_random(self) -> bool:
                return True

        if not self._endpoint_known:
            self._endpoint_known = True
            self._endpoint = None if is_offline() else span_export.otlp_queue(dict(os.environ))
        queues = [self._endpoint] if self._endpoint is not None else []
        if home is not None and os.environ.get("OTEL_TRACES_EXPORTER") != "none":
            file = span_export.SpanFile(home.traces)
            queue = span_export.SpanQueue(str(home.traces), file.export, span_export.FILE_EXIT_SECONDS)
            self._files.append(queue)
            queues.append(queue)
        if not queues:
            return None
        provider = TracerProvider(
            resource=Resource(span_export.resource_attributes(dict(os.environ))),
            shutdown_on_exit=False,
            id_generator=Ids(),
        )
        for item in queues:
            provider.add_span_processor(item)
        return provider.get_tracer("repro_assets")

    def _end(self) -> None:
        for queue in self._files:
            queue.shutdown()
        if self._endpoint is not None:
            self._endpoint.shutdown()

    def _after_fork(self) -> None:
        # What waits in the queues, and the connection to the endpoint, are the parent's.
        self._open_nothing()
        self._forked = True


tracers = Tracers()
