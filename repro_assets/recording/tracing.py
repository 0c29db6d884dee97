"""Spans: when a run, a stage, an epoch, a checkpoint, an asset or a request began, how long it took, under which other.

Laws: a span is a timing and may be lost; what must not be lost is a record of the journal. Nothing here stops or slows
the work: exporting is a thread's (`repro_assets.recording.span_export`). Spans are made once there is somewhere to put
them: a store (`tracers.start`, which every run calls; in a process that was started under a span the one that
`find_store` finds) or an OTLP endpoint; before that `span` does and loads nothing.
Ids come from the system, never from a generator that a seed governs. Text passes the secret scanner.

A span's parent is the span that is current where it begins: in the same thread, in tasks that were begun under it, in
threads through `carried`, in other processes through the variables of `process_environment` (``TRACEPARENT``,
``TRACESTATE``, ``BAGGAGE``). A process that was started with them, such as a rank of torchrun, continues that trace.
The span of a forked child's parent is never ended by the child.

The standard variables hold: ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG``, ``OTEL_EXPORTER_OTLP_ENDPOINT``
and what belongs to it, ``OTEL_TRACES_EXPORTER=none``, ``OTEL_SDK_DISABLED``, ``OTEL_SERVICE_NAME``.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import numbers
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from repro_assets.errors import InvalidValue
from repro_assets.recording.redaction import redact
from repro_assets.recording.tracers import HOME, tracers
from repro_assets.store.home import Home

if TYPE_CHECKING:
    from opentelemetry.context import Context

KINDS = ("run", "stage", "epoch", "checkpoint", "asset", "request")
VARIABLES = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")
RUN = "repro.run_id"
KIND = "repro.kind"

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Span:
    """A span that has not begun, goes on, or is over. Use `span`.

    As a context manager it is the current span of its body, and an error that leaves the body is its status; as a
    decorator of a function or coroutine function, each call is a span.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        parent: str | None,
        run_id: str | None,
        home: Home | None,
        attributes: dict[str, Any],
    ) -> None:
        if kind not in KINDS:
            raise InvalidValue(f"{kind!r} is no kind of span", f"one of {', '.join(KINDS)}")
        self.name = name
        self.kind = kind
        self._parent = parent
        self._run_id = run_id
        self._home = home
        self._attributes = attributes
        self._span: Any = None
        self._context: Context | None = None
        self._token: Any = None
        self._process = 0

    def begin(self) -> Span:
        """Begin, without becoming the current span."""
        tracer = tracers.tracer(self._home)
        if tracer is None:
            return self
        from opentelemetry import baggage, context, trace
        from opentelemetry.trace import SpanKind

        under = _parent_context(self._parent)
        if self._home is not None:
            under = context.set_value(HOME, self._home, under)
        if self._run_id is not None:
            under = baggage.set_baggage(RUN, self._run_id, under)
        run_id = baggage.get_baggage(RUN, under)
        attributes = {KIND: self.kind, **({RUN: str(run_id)} if run_id else {})}
        self._process = os.getpid()
        self._span = tracer.start_span(
            _text(self.name),
            under,
            SpanKind.SERVER if self.kind == "request" else SpanKind.INTERNAL,
            {**attributes, **{name: _value(name, value) for name, value in self._attributes.items()}},
        )
        self._context = trace.set_span_in_context(self._span, under)
        return self

    def end(self, error: BaseException | str | None = None) -> None:
        """End; `error` is what it failed with. A second call changes nothing, and neither does a forked child's."""
        if self._span is None or self._process != os.getpid():
            return
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            said = error if isinstance(error, str) else f"{type(error).__name__}: {error}".removesuffix(": ")
            self._span.set_status(Status(StatusCode.ERROR, _text(said)))
        self._span.end()

    def set(self, **attributes: Any) -> None:
        """Add attributes while it goes on; values other than numbers, truth values, texts and lists become text."""
        if self._span is not None and self._process == os.getpid():
            self._span.set_attributes({name: _value(name, value) for name, value in attributes.items()})

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits; None where spans go nowhere."""
        context = self._span.get_span_context() if self._span is not None else None
        return f"{context.trace_id:032x}" if context is not None and context.is_valid else None

    @property
    def span_id(self) -> str | None:
        """16 hexadecimal digits; None where spans go nowhere."""
        context = self._span.get_span_context() if self._span is not None else None
        return f"{context.span_id:016x}" if context is not None and context.is_valid else None

    @contextlib.contextmanager
    def current(self) -> Iterator[Span]:
        """Make a span that has begun the current one for a while."""
        if self._context is None:
            yield self
            return
        from opentelemetry import context

        token = context.attach(self._context)
        try:
            yield self
        finally:
            context.detach(token)

    def __enter__(self) -> Span:
        self.begin()
        if self._context is not None:
            from opentelemetry import context

            self._token = context.attach(self._context)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._token is not None:
            from opentelemetry import context

            context.detach(self._token)
            self._token = None
        self.end(error)

    def _another(self) -> Span:
        return Span(self.name, self.kind, self._parent, self._run_id, self._home, self._attributes)

    def __call__(self, function: Callable[Given, Answer]) -> Callable[Given, Answer]:
        """Return `function` with each call a span.

        Raises
        ------
        InvalidValue
            If it is a generator function: its body runs in pieces, between which its caller's spans are current.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidValue(f"{function.__qualname__} is a generator function", "open the span in its caller")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                with self._another():
                    return await function(*args, **kwargs)

            return asynchronous  # type: ignore[return-value]

        @functools.wraps(function)
        def synchronous(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
            with self._another():
                return function(*args, **kwargs)

        return synchronous


def span(
    name: str,
    kind: str = "stage",
    *,
    parent: str | None = None,
    run_id: str | None = None,
    home: Home | None = None,
    **attributes: Any,
) -> Span:
    """Return a span, to be used with ``with`` or as a decorator.

    Parameters
    ----------
    name : str
        What is timed.
    kind : str
        One of `KINDS`.
    parent : str, optional
        A W3C ``traceparent`` that came with a request or message; the current span if left out. One that does not read
        is said in the log, and the current span is the parent.
    run_id : str, optional
        The run that this span and those under it belong to; the parent's if left out.
    home : Home, optional
        The store that this span and those under it go to; the parent's, or the one last started, if left out.
    **attributes
        What is known at its beginning.

    Raises
    ------
    InvalidValue
        If `kind` is none.
    """
    return Span(name, kind, parent, run_id, home, attributes)


class Laps:
    """Spans of which each begins where the one before ends, such as epochs in one loop.

    Use as a context manager around the loop and call `at` at the top of its body.
    """

    def __init__(self, name: str, kind: str) -> None:
        self._name = name
        self._kind = kind
        self._number: int | None = None
        self._span: Span | None = None

    def at(self, number: int) -> None:
        """Say which lap it is; a new number ends the span of the one before."""
        if number != self._number:
            self._close(None)
            self._number = number
            self._span = span(self._name, self._kind, number=number).__enter__()

    def __enter__(self) -> Laps:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        if self._span is not None:
            self._span.__exit__(None, error, None)
            self._span = None


def carried(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Return `function` as it has to be given to a thread, so that its spans are under the one that is current now."""
    here = contextvars.copy_context()

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        # Two threads cannot be in one context at once.
        return here.copy().run(function, *args, **kwargs)

    return call


def traceparent() -> str | None:
    """Return the current span as a W3C ``traceparent``, for a request's header; None where there is none."""
    return process_environment().get("TRACEPARENT")


def process_environment() -> dict[str, str]:
    """Return the variables with which a process is to be started so that its spans are under the current one."""
    if not tracers.in_use:
        return {name: os.environ[name] for name in VARIABLES if name in os.environ}
    carrier: dict[str, str] = {}
    _propagator().inject(carrier, _parent_context(None))
    return {name.upper(): value for name, value in carrier.items()}


def current_trace_id() -> str | None:
    """Return the trace that the current span belongs to; None where there is none."""
    # Not there yet either while another thread imports it.
    current = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current is None:
        return None
    context = current().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def _parent_context(parent: str | None) -> Context:
    from opentelemetry import context, trace

    here = context.get_current()
    if parent is not None:
        return _extracted({"traceparent": parent}, here) or here
    if trace.get_current_span(here).get_span_context().is_valid:
        return here
    carrier = {name.lower(): os.environ[name] for name in VARIABLES if os.environ.get(name)}
    return (_extracted(carrier, here) if "traceparent" in carrier else None) or here


@functools.cache
def _propagator() -> Any:
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.propagators.composite import CompositePropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def _extracted(carrier: Mapping[str, str], here: Context) -> Context | None:
    from opentelemetry import trace

    found: Context = _propagator().extract(carrier, here)
    context = trace.get_current_span(found).get_span_context()
    given = f"{context.trace_id:032x}" if context.is_valid else ""
    if not given or given not in carrier["traceparent"]:
        _say_malformed(carrier["traceparent"])
        return None
    return found


@functools.lru_cache(maxsize=64)
def _say_malformed(text: str) -> None:
    from repro_assets.recording import logs

    logs.warn("tracing", f"traceparent {text!r} does not read and is ignored")


@functools.lru_cache(maxsize=512)
def _text(text: str, name: str = "") -> str:
    from repro_assets.capture.secrets import redact_text

    shown = redact_text(text)
    # A text under a name such as "password" is one, whatever it looks like.
    return shown if shown != text or not name else str(redact(text, name)[0])


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, bool):
        return value
    # NumPy's numbers are of these kinds too; OpenTelemetry takes Python's own only.
    if isinstance(value, numbers.Integral):
        return int(value) if abs(int(value)) < 2**63 else str(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, (list, tuple)) and {type(item) for item in value} in ({bool}, {int}, {float}, {str}):
        return [_value(name, item) for item in value]
    return _text(str(value), name)
