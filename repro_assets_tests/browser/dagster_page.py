"""Dagster's page of a store, in a real browser.

Laws: the page is served on 127.0.0.1 on a port that was free; the browser is Debian's, with a profile of its own and
without traffic of its own; whoever leaves one of the two scopes leaves no process behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ANSWERS_WITHIN = 150.0
ENDS_WITHIN = 20.0
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
GROUPS = ("data", "training", "evaluation")


def chromium() -> str | None:
    """Return the browser's path, or None where it is not installed."""
    return shutil.which("chromium")


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(project: Path, home: Path, log: Path) -> Iterator[str]:
    """Serve the project's graph on a store with ``repro ui``, and return the address once it answers.

    Parameters
    ----------
    project : Path
        Folder with the project's ``workspace.yaml``.
    home : Path
        The store.
    log : Path
        Where the server's output goes.

    Raises
    ------
    RuntimeError
        If the server ends, or does not answer within `ANSWERS_WITHIN` seconds; the message ends with its output.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    variables = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("repro")), "ui", "--port", str(port)],
            cwd=project,
            env={**variables, "REPRO_HOME": str(home), "PYTHONPATH": str(project)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(server, f"{address}/server_info", log)
            yield address
        finally:
            _end(server)


@contextlib.contextmanager
def browser_page(width: int = 1600, height: int = 1000, last_picture: Path | None = None) -> Iterator[Page]:
    """Open an empty page in a browser with a new profile; Dagster's greeting is dismissed wherever it comes up.

    Parameters
    ----------
    width, height : int
        Size of the window, pixels.
    last_picture : Path, optional
        Where a picture of the page goes if the scope is left by an exception.
    """
    executable = chromium()
    if executable is None:
        raise FileNotFoundError("chromium is not on PATH; Debian's package is called chromium")
    with tempfile.TemporaryDirectory(prefix="repro-browser-") as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=executable, args=ARGUMENTS, viewport={"width": width, "height": height}
        )
        try:
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.add_locator_handler(page.get_by_role("button", name="Skip", exact=True), lambda button: button.click())
            try:
                yield page
            except BaseException:
                if last_picture is not None:
                    page.screenshot(path=last_picture)
                raise
        finally:
            context.close()


def graph_address(address: str) -> str:
    """Return the address of the asset graph of the default job, with every group opened."""
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    selection = urllib.parse.quote(" or ".join(f'group:"{group}"' for group in GROUPS))
    return f"{address}/asset-groups~{selection}/?expanded={expanded}"


def metadata(page: Page) -> dict[str, str]:
    """Return the rows of the metadata table on an asset's page: key to value, as text that a person sees."""
    rows: list[Any] = page.locator("tr:has(td)").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText.trim()))"
    )
    return {cells[0]: cells[-1] for cells in rows if len(cells) >= 2}


def run_state(address: str) -> str | None:
    """Return Dagster's state of the newest run, or None before there is one."""
    query = json.dumps({"query": "{ runsOrError(limit: 1) { ... on Runs { results { status } } } }"})
    asked = urllib.request.Request(
        f"{address}/graphql", data=query.encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        runs = json.load(answer)["data"]["runsOrError"]["results"]
    return str(runs[0]["status"]) if runs else None


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    limit = time.monotonic() + ANSWERS_WITHIN
    while time.monotonic() < limit:
        code = server.poll()
        if code is not None:
            raise RuntimeError(f"the server ended with code {code}:\n{_tail(log)}")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise RuntimeError(f"the server did not answer within {ANSWERS_WITHIN:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the whole process group: the server starts a daemon and code servers of its own."""
    for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, wanted)
        except ProcessLookupError:
            break
        limit = time.monotonic() + ENDS_WITHIN
        while time.monotonic() < limit:
            server.poll()
            if not _group_lives(server.pid):
                return
            time.sleep(0.1)
    server.wait()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
