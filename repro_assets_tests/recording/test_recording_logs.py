"""Log lines: one format for whoever speaks, with the trace, and without secrets."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from repro_assets.errors import InvalidValue
from repro_assets.recording import logs
from repro_assets.recording.tracers import tracers
from repro_assets.recording.tracing import span
from repro_assets.store.home import Home

SECRET = "ghp_" + "x7Kq9Wm2Zt4Rv8Yb1Nc5x7Kq9Wm2Zt4Rv8Yb"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (logs.FORMAT_VARIABLE, logs.LEVEL_VARIABLE, "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    level = logging.getLogger(logs.ROOT).level
    yield
    logging.getLogger(logs.ROOT).setLevel(level)
    if logs._handler is not None:
        logging.getLogger().removeHandler(logs._handler)
        logs._handler = None


def test_every_line_has_time_name_level_trace_component_and_message(home: Home) -> None:
    tracers.start(home)
    stream = io.StringIO()
    logs.configure("plain", stream=stream)
    log = logs.get_logger("trainer")
    log.info("outside")
    with span("one") as one:
        log.warning("inside %s", "here", step=3)
        logging.getLogger("another.library").warning("from %s", "elsewhere")
        logging.getLogger("another.library").info("not a warning")
        logs.warn("tracing", "100 % said")
    outside, inside, foreign, own = stream.getvalue().splitlines()
    assert re.fullmatch(TIME + r" - repro_assets\.trainer - INFO - \[-\|trainer\] - outside", outside)
    assert inside.endswith(f" - repro_assets.trainer - WARNING - [{one.trace_id}|trainer] - inside here step=3")
    assert foreign.endswith(f" - another.library - WARNING - [{one.trace_id}|-] - from elsewhere")
    assert own.endswith(f" - repro_assets.tracing - WARNING - [{one.trace_id}|tracing] - 100 % said")


def test_what_dagsters_handler_did_to_a_record_does_not_show_and_it_gets_no_secret() -> None:
    stream, seen = io.StringIO(), []
    logs.configure("plain", stream=stream)

    class Dagsters(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            record.dagster_meta = {"orig_message": record.getMessage(), "step_key": "models__sft"}
            record.msg, record.args = f"job - run - models__sft - {record.getMessage()}", ()

    handler = Dagsters()
    logger = logging.getLogger(logs.ROOT)
    logger.addHandler(handler)
    try:
        logs.get_logger("trainer").info("given %s", SECRET, rows=3)
        logs.warn("tracing", f"given {SECRET}")
    finally:
        logger.removeHandler(handler)
    assert seen == ["given <github-token>"] * 2
    first, second = stream.getvalue().splitlines()
    assert first.endswith("[-|trainer] - given <github-token> rows=3")
    assert second.endswith("[-|tracing] - given <github-token>")


@pytest.mark.parametrize("style", ["plain", "json"])
def test_no_secret_reaches_a_line(style: str) -> None:
    stream = io.StringIO()
    logs.configure(style, stream=stream)
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError:
        logs.get_logger("trainer").exception("it said %s", SECRET, token=SECRET)
    said = stream.getvalue()
    assert SECRET not in said
    assert "refused <github-token>" in said


def test_json_is_one_document_a_line() -> None:
    stream = io.StringIO()
    logs.configure("json", stream=stream)
    logs.get_logger("trainer").bind(fold=2).info("first\nsecond", message="taken", name="x", value=0.5, what=Home)
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("other").exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.items() >= {
        "name": "repro_assets.trainer", "level": "INFO", "trace_id": "-", "component": "trainer",
        "message": "first\nsecond", "message_": "taken", "name_": "x", "fold": 2, "value": 0.5, "what": str(Home),
    }.items()  # fmt: skip
    assert second["exception"].endswith("KeyError: 'gone'")


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def line_on(stream: io.StringIO) -> str:
        logs.configure(stream=stream)
        logs.get_logger("trainer").warning("said")
        return stream.getvalue()

    assert " - \x1b[33mWARNING\x1b[0m - [-|trainer] - said" in line_on(Terminal())
    assert "\x1b" not in line_on(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in line_on(Terminal())
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "JSON")
    assert json.loads(line_on(Terminal()))["message"] == "said"


def test_a_second_configuration_replaces_the_first_and_the_level_holds() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("plain", stream=first)
    logs.configure("plain", "ERROR", second)
    log = logs.get_logger("trainer")
    log.warning("less")
    log.error("more")
    assert first.getvalue() == ""
    assert second.getvalue().endswith("- more\n") and "less" not in second.getvalue()


@pytest.mark.parametrize(("style", "level"), [("xml", None), (None, "LOUD")])
def test_an_unknown_style_or_level_is_refused(style: str | None, level: str | None) -> None:
    with pytest.raises(InvalidValue, match=r"xml|LOUD"):
        logs.configure(style, level, io.StringIO())


def test_an_unknown_style_in_the_variable_is_named_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "xml")
    with pytest.raises(InvalidValue, match="REPRO_LOG_FORMAT='xml'"):
        logs.configure(stream=io.StringIO())


def test_a_program_that_configures_logging_itself_sees_plain_messages(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        logs.get_logger("trainer").info("said %d", 3)
    (record,) = caplog.records
    assert (record.getMessage(), record.name, record.component) == ("said 3", "repro_assets.trainer", "trainer")  # type: ignore[attr-defined]


def test_loading_the_logger_moves_no_generator() -> None:
    program = (
        "import random, sys\nfrom repro_assets.recording import logs\nbefore = random.getstate()\n"
        "logs.warn('trainer', 'said')\nassert 'structlog' not in sys.modules\n"
        "logs.configure(); logs.get_logger('trainer').info('said')\nassert random.getstate() == before\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
