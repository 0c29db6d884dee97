"""The pictures of the documentation, taken from a store in which the default job has run: ``make screenshots``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from dagster_page import browser_page, graph_address, served
from playwright.sync_api import Page

from repro_assets.catalog import queries
from repro_assets.report.folder import Folder
from repro_assets.report.script import file_name
from repro_assets.report.writing import write_report
from repro_assets.store.home import Home, open_store

PROJECT = Path(__file__).parents[2]
IMAGES = PROJECT / "docs" / "images"
CURVE = "[Show Markdown]"


def main() -> int:
    """Write ``graph.png``, ``asset.png``, ``curve.png``, ``report.png`` and ``report-run.png``."""
    home = Path(os.environ.get("REPRO_HOME", PROJECT / "data")).absolute()
    if not (home / "repro-store.json").is_file():
        print(f"there is no store in {home}: make one with `make run`, or name one with REPRO_HOME", file=sys.stderr)
        return 2
    IMAGES.mkdir(parents=True, exist_ok=True)
    report(open_store(home))
    with tempfile.TemporaryDirectory() as folder, served(PROJECT, home, Path(folder, "server.log")) as address:
        with browser_page(1350, 1150) as page:
            graph(page, address)
        with browser_page() as page:
            asset(page, address)
    return 0


def report(home: Home) -> None:
    """Take two pages of a report: the curves of the trainings over their seeds, and the run that was trained first."""
    trained = "SELECT run_id FROM runs WHERE asset = 'models/sft' AND state = 'COMPLETED' AND replay_of IS NULL"
    first = queries.rows(home, f"{trained} ORDER BY started_at, run_id LIMIT 1")
    with tempfile.TemporaryDirectory() as folder, browser_page(1350, 900) as page:
        root = write_report(home, [], Folder(Path(folder, "report"))).path.parent.as_uri()
        page.goto(f"{root}/index.html#/curves")
        page.get_by_label("Metric", exact=True).select_option("train/accuracy")
        page.get_by_label("Lines", exact=True).select_option("seeds")
        page.get_by_label("Machine", exact=True).select_option("process_memory_bytes")
        _settle(page)
        page.screenshot(path=IMAGES / "report.png")
        if first:
            page.goto(f"{root}/runs/{file_name(first[0]['run_id'])}.html")
            _settle(page)
            page.screenshot(path=IMAGES / "report-run.png")


def graph(page: Page, address: str) -> None:
    """Take the whole graph: every group open, both side panels closed, in the middle of the window."""
    page.goto(graph_address(address))
    page.get_by_role("button", name="Hide navigation").click()
    page.locator("[aria-label=panel_show_right]").click()
    page.get_by_text("digits", exact=True).wait_for()
    _settle(page)
    names = [page.get_by_text(name, exact=True).bounding_box() for name in ("digits", "stream", "sft_on_validation")]
    boxes = [box for box in names if box is not None]
    middle_x = (min(box["x"] for box in boxes) + max(box["x"] + box["width"] for box in boxes)) / 2
    middle_y = (min(box["y"] for box in boxes) + max(box["y"] + box["height"] for box in boxes)) / 2
    start_x, start_y = 150.0, 1000.0
    page.mouse.move(start_x, start_y)
    page.mouse.down()
    page.mouse.move(start_x + 690 - middle_x, start_y + 630 - middle_y, steps=10)
    page.mouse.up()
    page.mouse.move(1200, 60)
    _settle(page)
    page.screenshot(path=IMAGES / "graph.png")


def asset(page: Page, address: str) -> None:
    """Take the page of the supervised model: its metadata, then its training curve."""
    page.goto(f"{address}/assets/models/sft")
    page.get_by_role("button", name="Hide navigation").click()
    page.get_by_text(CURVE, exact=True).last.wait_for()
    page.get_by_text("Metadata", exact=True).first.evaluate("element => element.scrollIntoView({block: 'start'})")
    _settle(page)
    page.screenshot(path=IMAGES / "asset.png")
    page.get_by_text(CURVE, exact=True).last.click()
    page.get_by_role("button", name="Close").wait_for()
    _settle(page)
    page.screenshot(path=IMAGES / "curve.png")


def _settle(page: Page) -> None:
    # The graph glides into place; nothing on the page says when it has arrived.
    page.wait_for_timeout(2500)


if __name__ == "__main__":
    sys.exit(main())
