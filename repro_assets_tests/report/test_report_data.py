"""What reaches the pages is what the catalog holds, bit for bit, and nothing of it can become markup or an address."""

from __future__ import annotations

import base64
import html.parser
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
from report_store import ATTACK, LARGE_SEED, STEPS, run_id, value_at

from repro_assets.report.points import Curve, thin
from repro_assets.report.script import file_name, numbers, script

OURS = ("*.html", "runs/*.html", "assets/*.css", "assets/[!p]*.js")


def received(path: Path) -> Any:
    """Return the value that a data file hands over; JSON reads what Python writes, NaN and infinities included."""
    text = path.read_text("ascii")
    assert text.startswith("Report.receive(") and text.endswith(");\n")
    name, value = json.loads(f"[{text[len('Report.receive(') : -3]}]")
    assert path.as_posix().endswith(f"data/{name}.js")
    return value


def decoded(column: dict[str, str]) -> Any:
    return numpy.frombuffer(base64.b64decode(column["data"]), f"<{column['type']}").astype("<f8")


def run_columns(report: Path) -> dict[str, dict[str, Any]]:
    document = received(report / "data" / "runs.js")
    return {column["key"]: dict(zip(document["ids"], column["values"], strict=True)) for column in document["columns"]}


def test_the_page_of_a_run_has_every_point_bit_for_bit(report: Path) -> None:
    details = received(report / "data" / "runs" / f"{run_id(0.1, 0)}.js")
    (loss,) = [curve for curve in details["curves"] if curve["name"] == "loss"]
    assert decoded(loss["step"]).tolist() == list(range(STEPS))
    expected = numpy.array([value_at(0.1, 0, step) for step in range(STEPS)])
    assert decoded(loss["value"]).tobytes() == expected.tobytes()
    assert loss["total"] == STEPS


def test_a_thinned_curve_keeps_its_ends_its_extremes_and_its_gaps() -> None:
    values = numpy.sin(numpy.arange(10_000) / 50)
    values[1234], values[4321], values[7000], values[7001] = 99.0, -99.0, math.nan, math.inf
    steps = numpy.arange(10_000, dtype=float)
    small = thin(Curve("run", "loss", steps, values, steps, 10_000), 200)
    assert len(small.value) <= 202
    assert {0.0, 9999.0, 1234.0, 4321.0} <= set(small.step.tolist())
    assert not numpy.isfinite(small.value).all()
    assert numpy.array_equal(values[small.step.astype(int)], small.value, equal_nan=True)
    assert (numpy.diff(small.step) > 0).all()


@pytest.mark.parametrize("values", [[math.nan] * 50, [math.inf, 1.0] * 25, list(range(47)), [5.0]])
def test_curves_of_any_values_are_thinned(values: list[float]) -> None:
    column = numpy.array(values, dtype=float)
    places = numpy.arange(len(values), dtype=float)
    small = thin(Curve("run", "loss", places, column, places, len(values)), 10)
    assert small.step[0] == 0 and small.step[-1] == len(values) - 1
    assert numpy.array_equal(column[small.step.astype(int)], small.value, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.0, 2.0, -7.0], "i4"),
        ([0.5, 1.5], "f4"),
        ([0.1], "f8"),
        ([1.0, math.nan], "f4"),
        ([-0.0], "f4"),
        ([2.0**31], "f4"),
        ([1e300, -math.inf], "f8"),
    ],
)
def test_numbers_arrive_as_they_are_in_as_few_bytes(values: list[float], kind: str) -> None:
    column = numpy.array(values)
    packed = numbers(column)
    assert packed["type"] == kind
    assert decoded(packed).tobytes() == column.tobytes()


def test_the_table_of_runs_has_what_the_records_say(report: Path) -> None:
    columns = run_columns(report)
    first, other = run_id(0.1, 0), run_id(0.2, 1)
    assert columns["config/lr"][first] == 0.1
    assert columns["config/nested.layers"][other] == 2
    assert columns["metric/accuracy"][other] == 0.9 - 0.2 + 0.01
    assert columns["run/replay verdict"][first] == "identical" and columns["run/replay verdict"][other] is None
    assert columns["run/tags"][first] == "study=s1" and columns["run/tags"][other] == "kept"
    assert columns["run/note"][other] == f"looks right {ATTACK}" and columns["run/note"][first] is None
    assert columns["run/failed checks"][run_id(0.1, 2)] == 1
    assert columns["run/seed"]["e0" * 8] == str(LARGE_SEED)
    assert columns["run/group"][first] == "models/sft, lr=0.1"
    assert columns["run/group"]["f0" * 8] is None
    assert len({columns["run/group"][run_id(0.1, seed)] for seed in range(3)}) == 1


def test_a_replay_says_its_tolerance_and_how_far_each_product_was_off(report: Path) -> None:
    page = (report / "runs" / f"{'e0' * 8}.html").read_text()
    assert "absolute 1e-06, relative 0.5, 4 ULP" in page
    (table,) = re.findall(r"<h2>Replayed products</h2>.*?</table>", page, re.DOTALL)
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
    assert rows == [
        [
            "product", "verdict", "places that differ", "greatest absolute error", "greatest relative error",
            "greatest distance in ULP", "not measured because",
        ],
        ["measured", "equivalent", "1234", "2.5e-07", "Infinity", "3", ""],
        ["older", "equivalent", "3", "2.5e-07", "1e-06", "7", ""],
        ["unread", "not_comparable", "0", "", "", "", "it has no form"],
    ]  # fmt: skip
    (listed,) = [row for row in received(report / "data" / "results.js")["replays"] if row["replay_run"] is None]
    assert listed["tolerance"] == "absolute 1e-06, relative 0.5, 4 ULP"
    assert [product["greatest_distance_in_ULP"] for product in listed["products"]] == [3.0, 7.0, None]
    plain = (report / "runs" / f"{run_id(0.1, 0)}.html").read_text()
    assert "<h2>Replayed products</h2>" in plain and "greatest absolute error" not in plain


def test_thinned_curves_say_how_many_points_they_were(report: Path) -> None:
    (listed,) = [item for item in received(report / "data" / "runs.js")["curves"] if item["name"] == "loss"]
    curves = received(report / "data" / f"{listed['file']}.js")
    trained = [curve for curve in curves if curve["run"] != "f0" * 8]
    assert len(curves) == listed["runs"] == 7
    assert all(curve["total"] == STEPS for curve in trained)
    assert all(len(decoded(curve["value"])) < STEPS for curve in trained)


class Tags(html.parser.HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_no_text_of_a_record_becomes_markup(report: Path) -> None:
    pages = [report / "index.html", *(report / "runs").glob("*.html")]
    assert len(pages) == 10
    for page in pages:
        tags = Tags()
        tags.feed(page.read_text())
        assert not any(tag in ("img", "iframe", "base", "form") for tag, _ in tags.found), page
        assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes), page
        scripts = [attributes for tag, attributes in tags.found if tag == "script"]
        assert scripts and all(re.fullmatch(r"(\.\./)?assets/[\w.]+", item["src"] or "") for item in scripts), page
    assert "&lt;/script&gt;&lt;img" in (report / "runs" / f"{'e0' * 8}.html").read_text()


def test_no_script_of_data_has_a_tag_in_it(report: Path) -> None:
    files = list((report / "data").rglob("*.js"))
    assert any("\\u003c/script" in path.read_text() for path in files)
    assert not any(b"<" in path.read_bytes() for path in files)


def test_nothing_leads_to_a_network(report: Path) -> None:
    files = [path for pattern in OURS for path in report.glob(pattern)]
    assert len(files) > 20
    for path in files:
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s'\"]*", path.read_text())
        assert addresses in ([], ["http://www.w3.org/2000/svg"]), path
    for page in report.glob("**/*.html"):
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.read_text())
        assert policy is not None and "default-src 'none'" in policy[1] and "http" not in policy[1]


def test_every_page_that_is_linked_is_there(report: Path) -> None:
    for page in report.glob("**/*.html"):
        tags = Tags()
        tags.feed(page.read_text())
        for _, attributes in tags.found:
            for name in ("href", "src"):
                target = (attributes.get(name) or "").partition("#")[0]
                assert (page.parent / target).exists(), (page, target)


@pytest.mark.parametrize("name", ["../../etc/passwd", "A", "aux/nul", "", ".", "x" * 300, "\ud800", ATTACK])
def test_a_name_never_leads_out_of_the_folder(name: str) -> None:
    assert re.fullmatch(r"x-[0-9a-f]{40}", file_name(name))


def test_a_script_takes_any_value() -> None:
    value = {"__proto__": ["\u2028", "\ud800", 1 << 60, -(1 << 60), math.nan, None, True, {"</script>"}]}
    written = script("any", value)
    assert b"<" not in written
    assert json.loads(written[len('Report.receive("any",') : -3])["__proto__"][:4] == [
        "\u2028",
        "\ud800",
        str(1 << 60),
        str(-(1 << 60)),
    ]
