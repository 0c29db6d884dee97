"""A product with other bits is measured by what it holds; a stated tolerance decides what is equivalent."""

from __future__ import annotations

import json

import pytest
from persons import QUICK, verdicts

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.replay.deviation import Tolerance
from repro_assets.replay.file_values import value_of
from repro_assets.replay.measured import MOST, measure

# What is in NUDGE is on no record, so a replay has another one.
FIT = f"""
import os
import numpy, pandas
from repro_assets import Experiment
nudge = float(os.environ["NUDGE"])
with Experiment("fit", {QUICK}) as run:
    run.log_metric("loss", 0.5 + nudge, 0)
    run.log_artifact({{"layer": {{"weight": numpy.array([1.0, 2.0 + nudge]), "bias": numpy.ones(2)}}}}, "weights")
    run.log_artifact(pandas.DataFrame({{"id": [1, 2], "price": [0.5, 1.5 + nudge]}}), "prices")
    run.log_artifact({{"accuracy": 0.75 + nudge, "n": 3}}, "scores")
    run.log_artifact([1, 2], "same")
"""


@pytest.fixture
def fitted(person):
    person.write("fit.py", FIT)
    person.python("fit.py", NUDGE="0")
    return person


def test_each_tensor_column_and_member_that_differs_is_measured(fitted, monkeypatch):
    monkeypatch.setenv("NUDGE", "0.25")
    report = fitted.replay(fitted.last())
    assert report.verdict == "diverged"
    assert verdicts(report) == {
        "weights": "diverged", "prices": "diverged", "scores": "diverged", "same": "identical"
    }  # fmt: skip
    products = {product["slot"]: product for product in report.document()["products"]}
    (weight,) = products["weights"]["deviations"]
    assert (weight["path"], weight["element"], weight["values"]) == ("layer.weight", [1], ["2.0", "2.25"])
    assert (weight["max_absolute"], weight["max_relative"], weight["differing"], weight["elements"]) == (
        0.25, 0.125, 1, 2,
    )  # fmt: skip
    assert weight["max_ulp"] == 2**49
    (price,) = products["prices"]["deviations"]
    assert (price["path"], price["element"], price["values"]) == ("['price']", [1], ["1.5", "1.75"])
    (accuracy,) = products["scores"]["deviations"]
    assert (accuracy["path"], accuracy["values"]) == ("accuracy", ["0.75", "1.0"])
    assert "deviations" not in products["same"]
    (row,) = queries.rows(fitted.home, "SELECT products, tolerance FROM replays")
    assert (json.loads(row["products"]), row["tolerance"]) == (report.document()["products"], None)
    assert report.document()["metrics"] == [{"name": "loss", "original": 0.5, "replayed": 0.75}]


def test_within_a_stated_tolerance_it_is_equivalent_and_beyond_it_is_not(fitted, monkeypatch):
    monkeypatch.setenv("NUDGE", "1e-9")
    report = fitted.replay(fitted.last(), tolerance=Tolerance.parse("1e-6"))
    assert (report.verdict, set(verdicts(report).values())) == ("equivalent", {"equivalent", "identical"})
    assert report.document()["tolerance"] == {"absolute": 1e-6, "relative": 1e-6, "ulp": 0}
    assert fitted.replay(fitted.last(), tolerance=Tolerance.parse("1e-12")).verdict == "diverged"
    asked = "SELECT verdict, (tolerance->>'absolute')::DOUBLE AS absolute FROM replays ORDER BY time"
    rows = queries.rows(fitted.home, asked)
    assert [tuple(row.values()) for row in rows] == [("equivalent", 1e-6), ("diverged", 1e-12)]


def test_wrong_code_is_not_comparable_however_near(fitted, monkeypatch):
    fitted.write(
        "fit.py", "import helper\n" + FIT.replace('"same")', '"same")\n    open(helper.__file__, "a").write("#")')
    )
    fitted.write("helper.py", "")
    fitted.python("fit.py", NUDGE="0")
    monkeypatch.setenv("NUDGE", "1e-9")
    report = fitted.replay(fitted.last(), tolerance=Tolerance.parse("1"))
    assert (report.verdict, "wrong code" in str(report.document()["reason"])) == ("not_comparable", True)


def test_files_of_a_command_are_compared_by_what_they_hold(person, monkeypatch):
    person.write(
        "make.py",
        "import json, os, pathlib, numpy\n"
        "nudge = float(os.environ['NUDGE'])\n"
        "pathlib.Path('out').mkdir()\n"
        "json.dump({'loss': 0.5 + nudge}, open('out/loss.json', 'w'))\n"
        "open('out/table.csv', 'w').write(f'id,x\\n1,{1 + nudge!r}\\n')\n"
        "numpy.savez('out/arrays.npz', w=numpy.array([nudge]))\n"
        "open('out/same.txt', 'w').write('same')\n",
    )
    words = ("-m", "repro_assets.cli.app", "exec", "--output", "out", "--", "python", "make.py")
    person.python(*words, NUDGE="0")
    monkeypatch.setenv("NUDGE", "1e-9")
    report = person.replay(person.last(), tolerance=Tolerance.parse("1e-6"))
    (product,) = report.document()["products"]
    assert (product["name"], product["verdict"]) == (product["name"], "equivalent"), product
    assert sorted(each["path"] for each in product["deviations"]) == [
        "arrays.npz: w", "loss.json: loss", "table.csv: ['x']"
    ]  # fmt: skip


def test_the_command_shows_what_differs(fitted, monkeypatch):
    monkeypatch.setenv("NUDGE", "1e-9")
    shown = fitted.repro("replay", fitted.last(), code=1)
    assert "layer.weight" in shown and "diverged" in shown
    assert json.loads(fitted.repro("replay", fitted.last(), "--tolerance", "1e-6", "--json"))["verdict"] == "equivalent"
    fitted.repro("replay", fitted.last(), "--tolerance", "near", code=2)


def test_a_chain_is_replayed_from_its_beginning(person):
    person.write(
        "data.py",
        f"from repro_assets import Experiment\nwith Experiment('data', {QUICK}) as run:\n"
        "    run.log_artifact([1, 2, 3], 'rows')\n",
    )
    person.write(
        "model.py",
        f"from repro_assets import Experiment\nwith Experiment('model', {QUICK}) as run:\n"
        "    run.log_artifact(sum(run.use_artifact('rows').load()), 'sum')\n",
    )
    for script in ("data.py", "data.py", "model.py"):
        person.python(script)
    first = [row["run_id"] for row in person.runs()]
    alone = person.replay(person.last("model"))
    assert [record.original_run for record in alone.records] == [first[2]]
    chain = person.replay(person.last("model"), upstream=True)
    assert [record.original_run for record in chain.records] == [first[0], first[2]]
    assert (chain.verdict, chain.original_run) == ("identical", first[2])
    assert chain.replay_run in [row["run_id"] for row in person.runs() if row["replay_of"] == first[2]]


def test_of_a_chain_that_one_process_made_every_run_is_compared(person):
    person.write(
        "both.py",
        f"""
import os
from repro_assets import Experiment
with Experiment('beside', {QUICK}) as run:
    run.log_artifact(list(os.urandom(8)), 'other')
with Experiment('data', {QUICK}) as run:
    run.log_artifact(list(os.urandom(8)), 'rows')
with Experiment('model', {QUICK}) as run:
    run.log_artifact(len(run.use_artifact('rows').load()), 'count')
""",
    )
    person.python("both.py")
    alone = person.replay(person.last("model"))
    assert (alone.verdict, verdicts(alone)) == ("identical", {"count": "identical"})
    chain = person.replay(person.last("model"), upstream=True)
    assert (chain.verdict, verdicts(chain)) == ("diverged", {"rows": "diverged", "count": "identical"})
    assert chain.original_run == person.last("model")


def test_what_cannot_be_read_is_said_and_never_near(fitted):
    home = fitted.home
    one, two = (repository.put(home, {"w": value}) for value in (1.0, 2.0))
    for digest in two.manifest.objects():
        for path in home.root.rglob(f"*{digest.hex[2:]}*"):
            path.unlink()
    found = measure(home, "w", str(one.digest), str(two.digest), Tolerance(1.0))
    if found.unmeasured is None:
        pytest.fail("the object was still there")
    assert not found.within
    kinds = measure(home, "w", str(one.digest), str(repository.put(home, b"bytes").digest), Tolerance(1.0))
    assert (kinds.found[0].what, kinds.within) == ("type", False)
    many = [{str(at): value for at in range(MOST + 5)} for value in (1.5, 2.5)]
    many[1][str(MOST + 1)] = 9.5
    document = measure(home, "m", *(str(repository.put(home, each).digest) for each in many)).document()
    assert (len(document["deviations"]), document["deviating"]) == (MOST, MOST + 5)
    assert (document["max_absolute"], document["max_relative"]) == (8.0, 8.0 / 1.5), "of all, also of those not told"
    assert measure(home, "m", str(one.digest), str(two.digest)).document()["max_ulp"] is None


def test_a_file_that_does_not_read_is_its_bytes():
    assert value_of("a.json", b'{"a": 1}') == {"a": 1}
    assert value_of("a.jsonl", b"1\n2\n") == [1, 2]
    assert value_of("a.json", b"{") == b"{"
    assert value_of("a.npy", b"\x80\x04") == b"\x80\x04"
    assert value_of("a.unknown", b"x") == b"x"
