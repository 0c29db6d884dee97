"""Calls that return something else each time are found in source, whatever imports call them."""

from __future__ import annotations

import pytest

from repro_assets.capture.unrepeatable import unrepeatable_calls
from repro_assets.errors import InvalidInput


def found(text: str) -> list[str]:
    return [call.name for call in unrepeatable_calls(text, "theirs.py")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import time\ntime.time()", "time.time"),
        ("from time import time_ns as now\nnow()", "time.time_ns"),
        ("import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now"),
        ("from datetime import datetime\ndatetime.utcnow()", "datetime.datetime.utcnow"),
        ("from datetime import date\ndate.today()", "datetime.date.today"),
        ("import os.path\nos.urandom(4)", "os.urandom"),
        ("import uuid as u\nu.uuid4().hex", "uuid.uuid4"),
        ("import secrets\nsecrets.token_hex()", "secrets.token_hex"),
        ("from secrets import randbelow\nrandbelow(3)", "secrets.randbelow"),
        ("import random\nrandom.SystemRandom()", "random.SystemRandom"),
        ("import random\nrandom.Random()", "random.Random"),
        ("import random\nrandom.seed(None)", "random.seed"),
        ("import numpy as np\nnp.random.default_rng()", "numpy.random.default_rng"),
        ("from numpy import random as r\nr.RandomState(seed=None)", "numpy.random.RandomState"),
        ("from numpy.random import default_rng\ndef f():\n    return default_rng()", "numpy.random.default_rng"),
        ("import torch\ntorch.seed()", "torch.seed"),
        ("def f():\n    import time\n    return [time.time() for _ in range(2)]", "time.time"),
    ],
)
def test_it_is_named_as_its_library_names_it(text: str, name: str) -> None:
    assert found(text) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.perf_counter(); time.sleep(1)",
        "import random\nrandom.Random(1); random.seed(2); random.random()",
        "import numpy as np\nnp.random.default_rng(3); np.random.seed(seed=4)",
        "import torch\ntorch.manual_seed(5)",
        "time.time()",
        "from .time import time\ntime()",
        "import theirs\ntheirs.time.time()",
        "class A:\n    def time(self):\n        return self.time()",
    ],
)
def test_what_repeats_or_is_somebody_elses_is_not(text: str) -> None:
    assert found(text) == []


def test_the_line_is_the_one_of_the_call() -> None:
    calls = unrepeatable_calls("import time, uuid\n\nuuid.uuid1()\nx = (\n    time.time()\n)\n", "theirs.py")
    assert [(call.line, call.name) for call in calls] == [(3, "uuid.uuid1"), (5, "time.time")]


def test_what_is_no_python_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"theirs\.py, line 1"):
        unrepeatable_calls(b"def", "theirs.py")
