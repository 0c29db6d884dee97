"""A replay that diverged names what may be why, the likeliest first, and nothing that the record rules out."""

from __future__ import annotations

import sys

import pytest
from persons import QUICK

from repro_assets.errors import InvalidInput
from repro_assets.replay.causes import LINES, causes_in
from repro_assets.replay.records import asked_for


def test_lines_of_every_form_of_program_are_found_and_bounded(person, tmp_path):
    many = "import time\n" + "time.time()\n" * (LINES + 3)
    person.write("pack/__init__.py", "")
    person.write(
        "pack/__main__.py", f"from repro_assets import Experiment\nimport pack.many\nwith Experiment('m', {QUICK}): 0"
    )
    person.write("pack/many.py", many)
    person.python("-m", "pack")
    code = f"import uuid\nfrom repro_assets import Experiment\nwith Experiment('c', {QUICK}): uuid.uuid4()"
    person.python("-c", code)
    (module, code_run) = (asked_for(person.home, row["run_id"]).entry for row in person.runs())
    found = [cause["name"] for cause in causes_in(person.home, person.root, module)]
    assert (len(found), found[0], found[-1]) == (LINES + 1, "pack/many.py:2 time.time()", "and 3 more")
    (cause,) = causes_in(person.home, person.root, code_run)
    assert cause == {"kind": "call", "name": "-c:3 uuid.uuid4()", "why": "returns something else each time"}
    person.write("pack/many.py", "def")
    with pytest.raises(InvalidInput, match=r"many\.py, line 1"):
        causes_in(person.home, person.root, module)


def test_an_order_that_was_left_to_chance_is_a_possible_cause(person):
    person.write(
        "sets.py",
        "from repro_assets import Experiment\n"
        f"with Experiment('sets', {QUICK}) as run:\n"
        "    run.log_artifact(list({f'word {number}' for number in range(30)}), 'words')\n",
    )
    person.python("sets.py", PYTHONHASHSEED="random")
    report = person.replay(person.last())
    assert report.verdict == "diverged"
    (cause,) = report.possible_causes
    assert (cause["kind"], cause["name"]) == ("call", "sets.py:3 the order of a set")
    assert "PYTHONHASHSEED was not set" in cause["why"]
    person.python("sets.py", PYTHONHASHSEED="0")
    assert person.replay(person.last()).verdict == "identical"


def test_a_script_that_seeds_nothing_has_its_first_draw_named_before_its_clock(person):
    person.write(
        "draws.py",
        "import os, sys, time\n"
        "import numpy as np\n"
        "from mine import noise\n"
        "began = time.time()\n"
        "rate = float(os.environ.get('FACTOR', 1))\n"
        "extra = sys.stdin.read()\n"
        "np.save('out.npy', noise(rate))\n",
    )
    person.write("mine.py", "import numpy as np\n\ndef noise(rate):\n    return rate * np.random.normal(size=3)\n")
    person.repro("exec", "--output=out.npy", "--", sys.executable, "draws.py")
    report = person.replay(person.last())
    assert report.verdict == "diverged"
    assert [cause["name"] for cause in report.possible_causes] == [
        "mine.py:4 numpy.random.normal()",
        "draws.py:6 sys.stdin",
        "draws.py:5 os.environ.get('FACTOR')",
        "draws.py:4 time.time()",
        "PYTHONHASHSEED",
    ]


def test_what_the_record_rules_out_is_no_cause(person, monkeypatch):
    """The generators were seeded, the hash seed and the variable are on record, and the replay set the threads."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    person.write(
        "known.py",
        "import os, random, uuid, torch\n"
        "from repro_assets import Experiment\n"
        f"with Experiment('known', seed=1, {QUICK.replace('capture_environment=False, ', '')}) as run:\n"
        "    drawn = [random.random(), os.environ['OMP_PROC_BIND'], *{'a', 'b'}]\n"
        "    run.log_artifact([*drawn, uuid.uuid4().hex], 'drawn')\n",
    )
    person.python("known.py", PYTHONHASHSEED="0", OMP_PROC_BIND="false")
    report = person.replay(person.last())
    assert report.verdict == "diverged"
    assert [cause["name"] for cause in report.possible_causes] == ["known.py:5 uuid.uuid4()"]
