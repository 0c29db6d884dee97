"""Places that may give something else the next time are found in source, whatever imports call them."""

from __future__ import annotations

import pytest

from repro_assets.capture.generators import LIBRARIES, seeded_by_all
from repro_assets.capture.unrepeatable import Why, leads_in
from repro_assets.errors import InvalidInput


def found(text: str) -> list[tuple[str, Why]]:
    return [(lead.name, lead.why) for lead in leads_in(text, "theirs.py").found]


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("import time\ntime.time()", "time.time()", Why.CLOCK),
        ("from time import time_ns as now\nnow()", "time.time_ns()", Why.CLOCK),
        ("import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now()", Why.CLOCK),
        ("from datetime import datetime\ndatetime.utcnow()", "datetime.datetime.utcnow()", Why.CLOCK),
        ("from datetime import date\ndate.today()", "datetime.date.today()", Why.CLOCK),
        ("def f():\n    import time\n    return [time.time() for _ in range(2)]", "time.time()", Why.CLOCK),
        ("import os.path\nos.urandom(4)", "os.urandom()", Why.ENTROPY),
        ("import uuid as u\nu.uuid4().hex", "uuid.uuid4()", Why.ENTROPY),
        ("import secrets\nsecrets.token_hex()", "secrets.token_hex()", Why.ENTROPY),
        ("from secrets import randbelow\nrandbelow(3)", "secrets.randbelow()", Why.ENTROPY),
        ("import random\nrandom.SystemRandom()", "random.SystemRandom()", Why.ENTROPY),
        ("import random\nrandom.Random()", "random.Random()", Why.ENTROPY),
        ("import random\nrandom.seed(None)", "random.seed()", Why.RESEEDED),
        ("import numpy as np\nnp.random.default_rng()", "numpy.random.default_rng()", Why.ENTROPY),
        ("from numpy import random as r\nr.RandomState(seed=None)", "numpy.random.RandomState()", Why.ENTROPY),
        (
            "from numpy.random import default_rng as r\ndef f():\n    r()",
            "numpy.random.default_rng()",
            Why.ENTROPY,
        ),
        ("import torch\ntorch.seed()", "torch.seed()", Why.RESEEDED),
        ("x = input()", "input()", Why.GIVEN),
        ("from sys import stdin\nx = stdin.read()", "sys.stdin", Why.GIVEN),
        ("import os\nos.environ['RATE']", "os.environ['RATE']", Why.VARIABLE),
        ("from os import environ\nenviron.get('RATE', 1)", "os.environ.get('RATE')", Why.VARIABLE),
        ("from os import getenv as g\ng('RATE')", "os.getenv('RATE')", Why.VARIABLE),
        ("x = hash('a')", "hash()", Why.HASH),
        ("import os\nos.getpid()", "os.getpid()", Why.PLACE),
        ("x = id(object())", "id()", Why.PLACE),
        ("import random\nrandom.shuffle([])", "random.shuffle()", Why.UNSEEDED),
        ("import numpy as np\nnp.random.normal()", "numpy.random.normal()", Why.UNSEEDED),
        ("import torch\ntorch.randn(3)", "torch.randn()", Why.UNSEEDED),
        ("from torch import nn\nnn.Conv2d(1, 2, 3)", "torch.nn.Conv2d()", Why.UNSEEDED),
        ("import torch.nn.init as i\ni.normal_(w)", "torch.nn.init.normal_()", Why.UNSEEDED),
        (
            "from torch.utils.data import DataLoader\nDataLoader(d, shuffle=True)",
            "torch.utils.data.DataLoader()",
            Why.UNSEEDED,
        ),
        ("frame.sample(n=3)", "sample()", Why.UNSEEDED),
        ("from scipy import stats\nstats.norm.rvs(size=3)", "scipy.stats.norm.rvs()", Why.UNSEEDED),
        ("tensor.uniform_(-1, 1)", "uniform_()", Why.UNSEEDED),
        (
            "from sklearn.model_selection import KFold\nKFold(shuffle=True)",
            "sklearn.model_selection.KFold()",
            Why.UNSEEDED,
        ),
        ("from numpy.random import default_rng\ndefault_rng(c['seed'])", "numpy.random.default_rng()", Why.OTHER_SEED),
        ("import time\nbegan = time.time()\nwork()\nx = now() - began", "time.time()", Why.ASIDE),
        ("import time\nprint(f'at {time.time()}')", "time.time()", Why.ASIDE),
        ("import time\nwhile time.time() - began < 5: step()", "time.time()", Why.ASIDE),
        ("import time\nx = time.time()\ny = x - 1\nsave(x)", "time.time()", Why.CLOCK),
        (
            "from sklearn.model_selection import train_test_split as s\ns(x)",
            "sklearn.model_selection.train_test_split()",
            Why.UNSEEDED,
        ),
    ],
)
def test_it_is_named_as_its_library_names_it(text: str, name: str, why: Why) -> None:
    assert found(text) == [(name, why)]


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.perf_counter(); time.sleep(1)",
        "import random\nrandom.Random(1); random.seed(2); random.getstate()",
        "import numpy as np\nnp.random.default_rng(3); np.random.seed(seed=4)",
        "import torch\ntorch.manual_seed(5); torch.zeros(3); torch.nn.ReLU()",
        "import torch\ntorch.randn(3, generator=g); x.normal_(generator=g)",
        "frame.sample(n=3, random_state=1); generator.sample(range(3), 2)",
        "from sklearn.model_selection import KFold\nKFold(5); KFold(shuffle=True, random_state=1)",
        "from torch.utils.data import DataLoader\nDataLoader(d); DataLoader(d, shuffle=False)",
        "from sklearn.model_selection import train_test_split as s\ns(x, random_state=1)",
        "time.time()",
        "from .time import time\ntime()",
        "import theirs\ntheirs.time.time()",
        "class A:\n    def time(self):\n        return self.time()",
        "def input(): pass\ninput()",
        "def f(hash): return hash()",
        "import os\nos.environ['RATE'] = '1'\nos.environ[name]",
    ],
)
def test_what_repeats_or_is_somebody_elses_is_not(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("expression", "before"),
    [
        ("seed if seed else None", ""),
        ("None if fast else 3", ""),
        ("given or None", ""),
        ("first and None", ""),
        ("seed", "seed = None"),
        ("seed", "seed: int | None = None"),
        ("self.seed", "class A:\n    seed: int | None = None"),
        ("config.seed", "self.seed = None"),
        ("args.seed", "parser.add_argument('--seed', type=int)"),
        ("args.the_seed", "parser.add_argument('-s', '--the-seed', type=int, default=None)"),
        ("config.get('seed')", ""),
        ("os.environ.get('SEED')", ""),
        ("getattr(config, 'seed', None)", ""),
        ("(found := None)", ""),
    ],
)
def test_a_seed_that_may_be_none_is_found_in_an_expression(expression: str, before: str) -> None:
    text = f"import numpy as np\n{before}\nnp.random.default_rng({expression})"
    assert ("numpy.random.default_rng()", Why.NO_SEED) in found(text)


@pytest.mark.parametrize("parameters", ["seed=None", "*, seed=None", "a, /, b, seed: int | None = None, *c"])
def test_a_parameter_without_a_value_is_one(parameters: str) -> None:
    text = f"import numpy as np\ndef make({parameters}):\n    return lambda: np.random.default_rng(seed=seed)"
    assert found(text) == [("numpy.random.default_rng()", Why.NO_SEED)]


@pytest.mark.parametrize(
    "text",
    [
        "def make(seed):\n    return np.random.default_rng(seed)",
        "seed = None\ndef make(seed=3):\n    return np.random.default_rng(seed)",
        "def make(seed=None):\n    if seed is None:\n        seed = 0\n    return np.random.default_rng(seed)",
        "parser.add_argument('--seed', default=0)\nnp.random.default_rng(args.seed)",
        "parser.add_argument('--seed', type=int, required=True)\nnp.random.default_rng(args.seed)",
        "np.random.default_rng(config.get('seed', 0))",
        "np.random.default_rng(seed or 3)",
        "np.random.default_rng(2 if a else 1)",
    ],
)
def test_a_seed_that_is_dealt_with_is_not(text: str) -> None:
    assert found(f"import numpy as np\n{text}") == []


@pytest.mark.parametrize(
    ("texts", "seeded"),
    [
        (["import random\nrandom.seed(1)"], {"random"}),
        (["import torch\nif __name__ == '__main__':\n    torch.manual_seed(1)"], {"torch"}),
        (["from lightning import seed_everything\nseed_everything(1)"], LIBRARIES),
        (["with Experiment('x') as run:\n    run.set_seed(4)"], LIBRARIES),
        (["import numpy as np\ndef f():\n    np.random.seed(1)\nf()"], {"numpy"}),
        (["import numpy as np\ndef f():\n    np.random.seed(1)", "import one\none.f()"], {"numpy"}),
        (["import numpy as np\ndef f(worker):\n    np.random.seed(1)\nDataLoader(d, worker_init_fn=f)"], {"numpy"}),
        (["import numpy as np\n@main\ndef f():\n    np.random.seed(1)"], {"numpy"}),
        (["import numpy as np\ndef f():\n    np.random.seed(1)", "from one import f"], set()),
        (["import numpy as np\ndef f(s=None):\n    if s is None:\n        return\n    np.random.seed(s)\nf()"], set()),
        (["import numpy as np\ndef f():\n    np.random.seed(1)\nif asked: f()"], set()),
        (["import random\nif seed is not None:\n    random.seed(seed)"], set()),
        (["import random\nrandom.seed()"], set()),
        (["import numpy as np\nnp.random.default_rng(1)"], set()),
    ],
)
def test_what_files_seed_in_every_case(texts: list[str], seeded: set[str]) -> None:
    assert seeded_by_all([leads_in(text, "theirs.py").seeded for text in texts]) == seeded


def test_a_draw_above_the_seeding_comes_before_it() -> None:
    text = "import random\nfirst = random.random()\nrandom.seed(1)\nthen = random.random()\ndef f(): random.choice(x)"
    leads = leads_in(text, "theirs.py").found
    assert [(lead.line, lead.of) for lead in leads] == [(2, ""), (4, "random"), (5, "random")]


@pytest.mark.parametrize(
    "text",
    [
        "for word in {'a', 'b'}: print(word)",
        "words = set(text.split())\nfor word in words: print(word)",
        "words = set()\nwords.add('a')\nindex = {word: n for n, word in enumerate(words)}",
        "x = list({w for w in text})",
        "one = {'a'}\ntwo = one | other\n[*two]",
        "x = ','.join(frozenset(words))",
        "words = {'a', 'b'}\nfirst = words.pop()",
        "x = [w for w in set(a).union(b)]",
        "x = dict.fromkeys(set(words))",
        "class A:\n    def __init__(self):\n        self.words = set(text)\nx = list(A().words)",
        "def unique(rows):\n    return set(rows)\nx = list(unique(rows))",
        "x = sorted(set(words), key=len)",
        "x = max(set(words), key=words.count)",
    ],
)
def test_the_order_of_a_set_is_found_where_it_matters(text: str) -> None:
    assert ("the order of a set", Why.HASH) in found(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import os\nfor file in os.listdir('.'): read(file)", "os.listdir()"),
        ("import glob\nfiles = glob.glob('*')", "glob.glob()"),
        ("x = [p for p in folder.iterdir()]", "iterdir()"),
        ("x = [load(p) for p in sorted(folder.glob('a')) for q in p.rglob('*')]", "rglob()"),
        (
            "from concurrent.futures import as_completed\nfor done in as_completed(all): 0",
            "concurrent.futures.as_completed()",
        ),
        ("for x in pool.imap_unordered(f, y): 0", "imap_unordered()"),
    ],
)
def test_other_orders_are_found_too(text: str, name: str) -> None:
    assert found(text) == [(name, Why.ORDER)]


@pytest.mark.parametrize(
    "text",
    [
        "for word in sorted({'a', 'b'}): print(word)",
        "x = sorted(w.lower() for w in set(words))",
        "words = list(set(text))\nwords.sort()",
        "x = {w.lower() for w in set(words)}",
        "x = 'a' in {'a', 'b'}, len(set(words)), max(set(words))",
        "for number in {1, 2, 3}: print(number)",
        "words = {'a'}\nwords = ['a']\nfor word in words: 0",
        "import os\nfor file in sorted(os.listdir('.')): 0",
        "files = list(folder.glob('*'))\nfor file in sorted(files): 0",
        "stack = [1]\nstack.pop()",
        "x = sorted(folder.iterdir(), key=number)",
    ],
)
def test_an_order_that_changes_nothing_is_not_found(text: str) -> None:
    assert found(text) == []


def test_the_line_is_the_one_of_the_call_and_of_draws_the_first_is_told() -> None:
    text = "import time, uuid, random\n\nuuid.uuid1()\nx = (\n    time.time()\n)\nrandom.random()\nrandom.random()\n"
    leads = leads_in(text, "theirs.py").found
    assert [(lead.line, lead.name) for lead in leads] == [
        (3, "uuid.uuid1()"),
        (5, "time.time()"),
        (7, "random.random()"),
    ]


def test_what_is_no_python_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"theirs\.py, line 1"):
        leads_in(b"def", "theirs.py")
