"""The pictures of the documentation, taken from a store in which the default job has run: ``make screenshots``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from dagster_page import browser_page, graph_address, served
from playwright.sync_api import Page

PROJECT = Path(__file__).parents[2]
IMAGES = PROJECT / "docs" / "images"
CURVE = "[Show Markdown]"


def main() -> int:
    """Write ``graph.png``, ``asset.png`` and ``curve.png``."""
    home = Path(os.environ.get("REPRO_HOME", PROJECT / "data")).absolute()
    if not (home / "repro-store.json").is_file():
        print(f"there is no store in {home}: make one with `make run`, or name one with REPRO_HOME", file=sys.stderr)
        return 2
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, served(PROJECT, home, Path(folder, "server.log")) as address:
        with browser_page(1350, 1150) as page:
            graph(page, address)
        with browser_page() as page:
            asset(page, address)
    return 0


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
