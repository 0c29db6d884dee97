"""Log lines: ``time - name - level - [trace_id|component] - message``, with ``-`` where there is none.

Laws: what structlog's loggers and those of the standard library say goes through one formatter; a line passes the
secret scanner before it is written; nothing is configured by importing, and a program that configures logging itself
sees plain messages; no generator of random numbers is moved. Line breaks in a message are kept, as in a trace; JSON has
one line for each record. What is bound under a name that a record has for itself gets ``_`` behind its name.

``REPRO_LOG_FORMAT`` (plain, colour, json) and ``REPRO_LOG_LEVEL`` decide where `configure` is not told.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from repro_assets.capture.secrets import redact_text
from repro_assets.errors import InvalidValue
from repro_assets.recording import tracing

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

ROOT = "repro_assets"
FORMATS = ("plain", "colour", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMAT_VARIABLE = "REPRO_LOG_FORMAT"
LEVEL_VARIABLE = "REPRO_LOG_LEVEL"
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_NONE = "-"
# What every record of the standard library has; the rest was given as `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

_handler: logging.Handler | None = None


def get_logger(component: str) -> BoundLogger:
    """Return the logger ``repro_assets.<component>``; its lines name the component, and what is bound to it.

    It writes through the standard library's logger of that name.
    """
    structlog = _structlog()
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"{ROOT}.{component}"),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            _redact,
            _add_trace,
            _rename_taken,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        component=component,
    )
    return logger


def configure(
    style: str | None = None,
    level: str | None = None,
    stream: TextIO | None = None,
    context: Mapping[str, int | str] | None = None,
) -> None:
    """Write what is logged in this process to a stream; a second call replaces the first.

    Of other libraries that is what they say at their own levels, which are warnings where they set none.

    Parameters
    ----------
    style : str, optional
        One of `FORMATS`; if left out, the variable ``REPRO_LOG_FORMAT``, else colour on a terminal and plain elsewhere.
    level : str, optional
        The least level of this project's that is shown, one of `LEVELS`; if left out, the variable
        ``REPRO_LOG_LEVEL``, else INFO.
    stream : text file, optional
        stderr if left out.
    context : mapping, optional
        What every line says beside its own, such as the rank of this process.

    Raises
    ------
    InvalidValue
        If style or level is none.
    """
    global _handler
    stream = stream or sys.stderr
    style = _chosen(style, FORMAT_VARIABLE, FORMATS, "colour" if _is_coloured(stream) else "plain")
    level = _chosen(level, LEVEL_VARIABLE, LEVELS, "INFO")
    root = logging.getLogger()
    if _handler is not None:
        root.removeHandler(_handler)
    _handler = logging.StreamHandler(stream)
    _handler.setFormatter(Lines(style))
    if context:
        _handler.addFilter(_Context(context))
    root.addHandler(_handler)
    logging.getLogger(ROOT).setLevel(level)


def warn(component: str, text: str) -> None:
    """Say something from within this project, at any moment of a run and from any thread: it loads nothing."""
    logging.getLogger(f"{ROOT}.{component}").warning("%s", redact_text(text), extra={"component": component})


def _structlog() -> Any:
    if "structlog" in sys.modules:
        return sys.modules["structlog"]
    # It loads rich, which draws from Python's global generator while it is loaded.
    state = random.getstate()
    import structlog

    random.setstate(state)
    return structlog


def _chosen(given: str | None, variable: str, known: tuple[str, ...], otherwise: str) -> str:
    asked = given if given is not None else os.environ.get(variable) or otherwise
    found = next((word for word in known if word.lower() == asked.lower()), None)
    if found is None:
        said = repr(asked) if given is not None else f"{variable}={asked!r}"
        raise InvalidValue(f"{said} is no style or level of the log", f"one of {', '.join(known)}")
    return found


def _is_coloured(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _add_trace(_logger: Any, _method: str, event: Any) -> Any:
    # Where it is said, not where it is written: a handler may write in a thread of its own.
    trace_id = tracing.current_trace_id()
    if trace_id is not None:
        event.setdefault("trace_id", trace_id)
    return event


def _redact(_logger: Any, _method: str, event: Any) -> Any:
    # Where it is said too: handlers of others, such as Dagster's, write what they are given.
    return {name: redact_text(value) if isinstance(value, str) else value for name, value in event.items()}


def _rename_taken(_logger: Any, _method: str, event: Any) -> Any:
    # The standard library raises where an `extra` has the name of an attribute of its own.
    for name in [name for name in event if name in _OWN and name not in ("exc_info", "stack_info", "stacklevel")]:
        event[f"{name}_"] = event.pop(name)
    return event


class _Context(logging.Filter):
    """Lets every record through, with what holds for all of them."""

    def __init__(self, context: Mapping[str, int | str]) -> None:
        super().__init__()
        self._context = dict(context)

    def filter(self, record: logging.LogRecord) -> bool:
        vars(record).update({name: value for name, value in self._context.items() if name not in vars(record)})
        return True


class Lines(logging.Formatter):
    """Turns records into lines of one of `FORMATS`, for handlers of one's own too."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self._form = style

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines, of a record."""
        extra = {name: value for name, value in vars(record).items() if name not in _OWN}
        # Dagster's handler, which sees the record first, writes its own prefix into the message.
        dagsters = extra.pop("dagster_meta", None)
        message = record.getMessage()
        if isinstance(dagsters, Mapping):
            message = str(dagsters.get("orig_message", message))
        trace_id = str(extra.pop("trace_id", None) or tracing.current_trace_id() or _NONE)
        component = str(extra.pop("component", None) or _NONE)
        exception = ""
        if record.exc_info and record.exc_info[0] is not None:
            exception = self.formatException(record.exc_info)
        if self._form == "json":
            line = {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
                "name": record.name,
                "level": record.levelname,
                "trace_id": trace_id,
                "component": component,
                "message": redact_text(message),
            }
            for name, value in sorted(extra.items()):
                kept = isinstance(value, (bool, int, float)) or value is None
                line.setdefault(name, value if kept else redact_text(str(value)))
            return json.dumps(
                {**line, **({"exception": redact_text(exception)} if exception else {})}, ensure_ascii=False
            )
        moment = datetime.fromtimestamp(record.created).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        level = record.levelname
        if self._form == "colour":
            level = f"\x1b[{_COLOURS.get(level, '0')}m{level}\x1b[0m"
        said = " ".join([message, *(f"{name}={value!r}" for name, value in sorted(extra.items()))])
        said = redact_text(f"{said}\n{exception}" if exception else said)
        return f"{moment} - {record.name} - {level} - [{trace_id}|{component}] - {said}"
