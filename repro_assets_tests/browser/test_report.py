"""A person opens a report from the disk, with the mouse, with the keyboard, and with a program that looks for faults.

The browser is offline, so a page that needed a network would be empty.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")

import axe_playwright_python
from dagster_page import ARGUMENTS, chromium
from playwright.sync_api import Browser, Page, expect, sync_playwright
from report_store import ATTACK, fill, run_id

from repro_assets.journal import run_records
from repro_assets.journal.segments import Journal
from repro_assets.report.folder import Folder
from repro_assets.report.writing import Options, write_report
from repro_assets.store.home import make_store

REQUIRED = "REPRO_REQUIRE_BROWSER"
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
VIEWS = ("runs", "curves", "compare", "explore", "lineage", "artifacts", "leaderboard", "replays")
FIRST, OTHER, ATTACKER = run_id(0.1, 0), run_id(0.2, 1), "e0" * 8

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report."""
    if chromium() is None:
        reason = "chromium is not on PATH (Debian's package is called chromium)"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)
    folder = Folder(tmp_path_factory.mktemp("pages") / "a folder & #1")
    write_report(fill(tmp_path_factory.mktemp("report") / "store"), [], folder)
    return folder.root.as_uri()


@pytest.fixture(scope="module")
def browser(report: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests, and what went wrong on it: errors, messages, requests that leave the disk."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, offline=True, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: None if request.url.startswith("file:") else wrong.append(request.url))
    yield page, wrong
    context.close()


@pytest.fixture
def at(report: str, tab: tuple[Page, list[str]]) -> Iterator[Callable[[str], Page]]:
    """Opens a view of the first page, or another page of the folder, anew; nothing may go wrong on it."""
    page, wrong = tab

    def go(place: str) -> Page:
        page.goto("about:blank")
        page.goto(f"{report}/{place}" if place.endswith(".html") else f"{report}/index.html#/{place}")
        page.locator("[data-ready=yes]").wait_for(state="attached")
        return page

    yield go
    # A browser that cannot be told what a style may do says so; nothing else may be said.
    assert [line for line in wrong if not line.startswith("data:")] == []
    assert "attacked" not in page.title()


def names(page: Page) -> list[str]:
    return page.locator("tbody th").all_inner_texts()


def test_the_table_of_runs_sorts_filters_and_shows_the_columns_that_are_chosen(at: Callable[[str], Page]) -> None:
    page = at("runs")
    assert len(names(page)) == 9
    loss = page.get_by_role("columnheader", name="loss", exact=True)
    loss.get_by_role("button").click()
    expect(loss).to_have_attribute("aria-sort", "descending")
    values = [float(text) for text in page.locator("tbody tr td:nth-last-child(1)").all_inner_texts() if text]
    page.get_by_role("columnheader", name="loss").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="loss")).to_have_attribute("aria-sort", "ascending")
    assert names(page)[0] == "sft-0.1-0" and len(values) >= 1

    box = page.get_by_label("Filter")
    box.fill("asset:sft state=COMPLETED seed<1")
    assert sorted(names(page)) == ["a replay", "sft-0.1-0", "sft-0.2-0"]
    box.fill('"replay verdict"=identical lr=0.1')
    assert names(page) == ["sft-0.1-0"]
    box.fill("nothing=1")
    expect(page.get_by_role("alert")).to_have_text("No column is called nothing.")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.fill("")

    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("group", name="config").get_by_label("lr").check()
    assert page.get_by_role("columnheader", name="lr").count() == 1
    page.get_by_role("group", name="run").get_by_label("asset").uncheck()
    assert page.get_by_role("columnheader", name="asset").count() == 0
    # What a record says is text wherever it shows.
    assert ATTACK in names(page)


def test_a_curve_is_drawn_by_step_and_by_time_smoothed_and_as_a_band(at: Callable[[str], Page]) -> None:
    page = at("curves")
    plot = page.locator(".plot[data-drawn]")
    page.get_by_label("Metric", exact=True).select_option("loss")
    expect(plot).to_have_attribute("data-drawn", "7")
    assert page.locator(".plot .scatterlayer .trace path.js-line").count() == 4 + 2 * 4  # gaps where two are not finite
    line = page.locator(".plot .scatterlayer .trace path.js-line").first
    before = line.get_attribute("d")
    page.get_by_label("Smoothing").fill("0.9")
    expect(page.locator("output")).to_have_text("0.9")
    expect(line).not_to_have_attribute("d", before or "")
    page.get_by_label("Log values").check()
    page.get_by_label("Along", exact=True).select_option("since")
    expect(page.locator(".plot .xtitle")).to_have_text("seconds since the start")
    page.get_by_label("Machine").select_option("cpu_percent")
    expect(page.locator(".plot .y2title")).to_have_text("cpu_percent")
    page.get_by_label("Lines", exact=True).select_option("seeds")
    expect(page.locator(".plot .legendtext").filter(has_text="models/sft, lr=")).to_have_count(2)
    # A mean and the two ends of its band for each group, on both axes; the replay is no sample.
    expect(plot).to_have_attribute("data-drawn", str(2 * 3 + 2 * 3))
    page.get_by_text("The figure as a table").click()
    rows = page.locator("figure tbody tr").all_inner_texts()
    assert any(row.startswith("models/sft, lr=0.1: mean over 3") for row in rows)


def test_runs_that_are_chosen_are_compared(at: Callable[[str], Page]) -> None:
    page = at("runs")
    for name in ("sft-0.1-0", "sft-0.2-1"):
        page.get_by_label(re.compile(f"^choose {re.escape(name)}")).check()
    page.get_by_role("main").get_by_role("link", name="Compare").click()
    table = page.get_by_role("table")
    expect(table).to_contain_text("What differs")
    rows = dict.fromkeys(names(page))
    assert {"lr", "seed", "accuracy", "level", "result"} - rows.keys() <= {"level"}
    assert not {"nested.layers", "commit", "torch"} & rows.keys()
    delta = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="lr")).first.get_by_role("cell").last
    assert float(delta.inner_text()) == 0.1
    page.get_by_label("Also what is equal").check()
    expect(table).to_contain_text("nested.layers")
    page.get_by_role("button", name=re.compile("^leave out sft-0.1-0")).click()
    expect(page.get_by_role("main")).to_contain_text("Choose two runs or more")


def test_lineage_leads_from_node_to_node_by_keyboard(at: Callable[[str], Page]) -> None:
    page = at(f"lineage?node={FIRST}")
    picture = page.get_by_role("group", name=re.compile("^Lineage graph of"))
    model = picture.get_by_role("link", name=f"artifact model-{FIRST}")
    expect(model).to_be_visible()
    assert picture.locator("path.edge").count() >= 2
    model.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("sha256"))
    expect(picture.locator(".root")).to_have_attribute("aria-label", f"artifact model-{FIRST}")
    page.get_by_label("Artifact or run").fill("dataset-digits-v1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_be_attached()
    row = page.get_by_role("row").filter(has_text="sft-0.1-0")
    expect(row.first).to_contain_text("traces")


def test_the_page_of_a_run_has_its_record_and_its_curves(at: Callable[[str], Page]) -> None:
    page = at(f"runs/{FIRST}.html")
    expect(page.get_by_role("heading", level=1)).to_contain_text("sft-0.1-0")
    expect(page.get_by_role("img", name=re.compile("^loss along step"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^machine: cpu_percent along step"))).to_be_visible()
    expect(page.locator("figcaption").filter(has_text="loss, 900 points")).to_be_visible()
    # NaN and the infinities are gaps: each piece is a line of its own.
    expect(page.get_by_role("img", name=re.compile("^loss")).locator(".scatterlayer path.js-line")).to_have_count(4)
    page.get_by_label("Along", exact=True).select_option("since")
    expect(page.locator(".xtitle").first).to_have_text("seconds since the start")
    expect(page.get_by_role("table", name="Replays")).to_contain_text("identical")
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")


def test_an_open_page_of_a_watched_report_follows_the_runs(browser: Browser, tmp_path: Path) -> None:
    home = make_store(tmp_path / "store")
    journal = Journal(home.journal)
    journal.append(run_records.RunStarted("aa" * 8, "asset", "training", asset="models/a"))
    points = [["loss", step, 1.0 / (step + 1), 1e9 + step] for step in range(5)]
    journal.append(run_records.Metrics.of("aa" * 8, points))
    folder, options = Folder(tmp_path / "pages"), Options(watched=True)
    write_report(home, [], folder, options)
    context = browser.new_context(offline=True)
    try:
        table, own = context.new_page(), context.new_page()
        table.goto(f"{folder.root.as_uri()}/index.html#/runs")
        own.goto(f"{folder.root.as_uri()}/runs/{'aa' * 8}.html")
        expect(own.locator("figcaption").filter(has_text="loss, 5 points")).to_be_visible(timeout=60_000)
        expect(table.locator("tbody th")).to_have_text(["training"], timeout=60_000)
        # Both have seen the first stamp by now, or take the next one for it.
        table.wait_for_timeout(2500)
        journal.append(
            run_records.Metrics.of("aa" * 8, [["loss", 5, 0.1, 1e9 + 5]]), run_records.RunEnded("aa" * 8, "COMPLETED")
        )
        journal.append(run_records.RunStarted("bb" * 8, "asset", "the next one", asset="models/a"))
        write_report(home, [], folder, options)
        expect(table.locator("tbody th")).to_have_text(["the next one", "training"], timeout=60_000)
        expect(table.locator("#notice")).to_contain_text("was written again")
        expect(own.locator("figcaption").filter(has_text="loss, 6 points")).to_be_visible(timeout=60_000)
        expect(own.get_by_role("heading", level=1)).to_contain_text("RUNNING")
        own.get_by_role("button", name="load the tables again").click()
        expect(own.get_by_role("heading", level=1)).to_contain_text("COMPLETED")
    finally:
        context.close()
        journal.close()


def test_names_that_attack_are_shown_as_they_are(at: Callable[[str], Page]) -> None:
    page = at(f"runs/{ATTACKER}.html")
    expect(page.get_by_role("heading", level=1)).to_contain_text(ATTACK)
    assert page.locator("main img[src]").count() == 0
    page = at("curves")
    page.get_by_label("Metric", exact=True).select_option(ATTACK)
    expect(page.locator(".plot .ytitle")).to_have_text(re.compile("onerror"))
    page = at(f"compare?runs={ATTACKER},{OTHER}")
    expect(page.get_by_role("table")).to_contain_text(ATTACK)
    assert page.locator("main img").count() == 0


def test_the_theme_is_the_systems_until_it_is_chosen(at: Callable[[str], Page]) -> None:
    def paper(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page = at("explore")
    light = paper(page)
    ink = page.locator(".plot .xtitle").first.evaluate("node => getComputedStyle(node).fill")
    page.emulate_media(color_scheme="dark")
    dark = paper(page)
    assert dark != light
    expect(page.locator(".plot .xtitle").first).not_to_have_css("fill", ink)
    switch = page.get_by_role("button", name="Theme: system")
    switch.click()
    assert paper(page) == light
    page.get_by_role("button", name="Theme: light").click()
    page.emulate_media(color_scheme="light")
    assert paper(page) == dark
    page.reload()
    assert paper(page) == dark
    page.get_by_role("button", name="Theme: dark").click()
    assert paper(page) == light


def test_the_keyboard_reaches_everything(at: Callable[[str], Page]) -> None:
    page = at("runs")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Filter")).to_be_focused()
    seed = page.get_by_role("columnheader", name="seed").get_by_role("button")
    for _ in range(12):
        page.keyboard.press("Tab")
        if seed.evaluate("node => node === document.activeElement"):
            break
    expect(seed).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="seed")).to_have_attribute("aria-sort", "descending")
    # The button is another one now, and the focus is still on it.
    expect(page.get_by_role("columnheader", name="seed").get_by_role("button")).to_be_focused()
    page.get_by_role("navigation").get_by_role("link", name="Curves").press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("navigation").get_by_role("link", name="Curves")).to_have_attribute("aria-current", "page")


def test_no_page_has_a_serious_fault_of_accessibility(at: Callable[[str], Page]) -> None:
    faults = {}
    script = AXE.read_text()

    def serious(page: Page, rules: str) -> list[tuple[str, object]]:
        found = page.evaluate(f"axe.run(document, {{preload: false, resultTypes: ['violations']{rules}}})")
        assert found["passes"], "axe has looked at nothing"
        return [
            (item["id"], item["nodes"][0]["target"])
            for item in found["violations"]
            if item["impact"] in ("serious", "critical")
        ]

    def look(page: Page, place: str, *, also_dark: bool) -> None:
        faults[place] = serious(page, "")
        if also_dark:
            page.emulate_media(color_scheme="dark")
            faults[f"{place} in the dark"] = serious(page, ", runOnly: ['color-contrast']")
            page.emulate_media(color_scheme="light")

    page = at("runs")
    page.evaluate(script)
    for place in (*VIEWS, f"compare?runs={FIRST},{OTHER}"):
        page.evaluate("place => { location.hash = `#/${place}`; }", place)
        page.locator(f"[data-view={place.partition('?')[0]}][data-ready]").wait_for()
        look(page, place, also_dark=place in ("runs", "lineage", "replays"))
    page = at(f"runs/{FIRST}.html")
    page.evaluate(script)
    look(page, "the page of a run", also_dark=True)
    assert not any(faults.values()), faults
