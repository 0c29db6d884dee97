"""A card says what the records say, and where they say nothing that too."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import yaml
from evaluated import ITEMS, document, record_model
from markdown_it import MarkdownIt
from recorded_world import RECIPE, World, make_world

import repro_assets
from repro_assets.artifacts import repository
from repro_assets.cards.markdown import code
from repro_assets.errors import AmbiguousName, InvalidValue, UnknownName
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.recording.run import new_run_id

GOLDEN = """\
# model-rft:v2

Learns small things.

## Model details

|  |  |
| --- | --- |
| version | `model-rft:v2` |
| aliases | `model-rft@production` |
| digest | `{second}` |
| kind | `tensors` |
| size | 48 bytes |
| bytes | stored |
| made by run | `bbbbbbbbbbbbbbbb` (rft-seed1) |
| recipe | `small.learning:learn` |
| which does | Learn from the data. |
| asset | `models/rft` |
| date | DATE |
| state of the run | `COMPLETED` |
| trial | no |
| license | not recorded |
| citation | not recorded |
| address | not recorded |

### Parameters

| type | tensors | numbers |
| --- | --- | --- |
| `float64` | 1 | 6 |

## How to get started

```console
$ repro artifacts get model-rft:v2 --to model-rft-v2
```

```python
import repro_assets

home = repro_assets.find_store()
value = repro_assets.resolve_artifact(home, "{second}").load()
```

### What it holds

```text
dict
    ``weights``: a list.
```

## Uses, limits and method

As the recipe `small.learning:learn` said it when the run began:

````text
Learns small things. It is no good for large ones.

Limits: nothing was tried above 8 x 8; ``` and <b> stay as they are.
````

## Training data

| read as | version | digest | size | made by run | card |
| --- | --- | --- | --- | --- | --- |
| `data` | `dataset-train:v1` | `{train}` | 63.4 kB (63,360 bytes) | `5555555555555555` | \
[data card](dataset-train-v1.md) |
| `start` | `model-rft:v1` | `{first}` | 15 bytes | `aaaaaaaaaaaaaaaa` | [model card](model-rft-v1.md) |

`repro export NAME --to FOLDER --format card` writes the cards that this one links to.

## Training procedure

### Hyperparameters

| setting | value |
| --- | --- |
| `rate` | `0.5` |
| `steps` | `3` |
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("cards"))


def sections(card: str) -> dict[str, str]:
    """Body by heading, of what is not fenced."""
    found: dict[str, str] = {}
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(card.split("\n---\n", 1)[1])
    lines = card.split("\n---\n", 1)[1].split("\n")
    heads = [
        (token.map[0], tokens[at + 1].content)
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.map
    ]
    for (start, title), (end, _) in zip(heads, [*heads[1:], (len(lines), "")], strict=True):
        found[title] = "\n".join(lines[start + 1 : end]).strip()
    return found


def head(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    found: dict[str, Any] = yaml.safe_load(card[4:].split("\n---\n", 1)[0])
    return found


def test_a_model_card_is_what_its_records_say(world: World) -> None:
    card = world.card("model-rft")
    body = card.split("\n---\n", 1)[1].lstrip()
    dated = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "DATE", body)
    assert dated.startswith(
        GOLDEN.format(second=world.second.digest, train=world.train.digest, first=world.first.digest)
    )
    found = sections(card)
    assert list(found) == [
        "model-rft:v2", "Model details", "Parameters", "How to get started", "What it holds", "Uses, limits and method",
        "Training data", "Training procedure", "Hyperparameters", "Seeds", "Mode and settings", "Environment",
        "Training curves", "Cost", "Evaluation", "On `dataset-test:v1`", "Earlier versions", "Reproducibility",
        "Checks", "How to reproduce", "Lineage",
    ]  # fmt: skip
    assert "| `root` | 1 |" in found["Seeds"]
    assert "| uncommitted changes | yes |" in found["Environment"] and "c" * 40 in found["Environment"]
    assert "| device | <code>a &#124; b</code> |" in found["Environment"]
    assert "| `train/loss` | 2 (step 1) | 1 (step 3) | 0.5 (step 2) | 3 |" in found["Training curves"]
    assert "| `validation/accuracy` | 0.5 (step 1) | 0.7 (step 3) | 0.75 (step 2) | 3 |" in found["Training curves"]
    assert "| `train/rate` | 0.1 (step 1) | 0.3 (step 3) |  | 3 |" in found["Training curves"]
    assert "peak memory of the process | not measured |" in found["Cost"]
    assert found["Reproducibility"].startswith("Proved bit for bit: 1 of 1 replays gave the same digest.")
    assert (
        "| `models/candidate` | `good_enough` | **failed** |" in found["Checks"] and "0.5 &#124; 0.9" in found["Checks"]
    )
    assert "The record is not enough for a replay" in found["How to reproduce"]
    assert "repro run --select models/rft --seed 1" in found["How to reproduce"]
    assert found["Lineage"].startswith("```mermaid\nflowchart LR\n")


def test_its_evaluations_have_intervals_classes_and_a_paired_comparison(world: World) -> None:
    found = sections(world.card("model-rft"))
    on_test = found["On `dataset-test:v1`"]
    (row,) = re.findall(r"\| `accuracy_greedy` \| 0.9 \| ([\d.]+) to ([\d.]+) \|", on_test)
    value = world.evaluation.load()
    assert [float(end) for end in row] == pytest.approx(value["intervals"]["accuracy_greedy"], rel=1e-5)
    assert "| figure | value | 95 % interval |" in on_test
    assert "| digit | support | answered | precision | recall | f1 |" in on_test
    assert "| 0 | 12 | 0 | 0 | 0 | 0 |" in on_test
    earlier = found["Earlier versions"]
    (row,) = re.findall(
        r"\| `model-rft:v1` \| `dataset-test:v1` \| `accuracy_greedy` \| 0.9 \| 0.8 \| 0.1 \| ([\d.]+) to ([\d.]+) \|",
        earlier,
    )
    assert 0 < float(row[0]) < 0.1 < float(row[1])
    assert sections(world.card("model-rft:v1"))["Earlier versions"] == "There is none."


def test_the_front_matter_is_that_of_the_hub_and_true(world: World) -> None:
    found = head(world.card("model-rft"))
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert model["name"] == "model-rft:v2"
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {
        "type": "dataset-test", "name": "dataset-test:v1", "revision": str(world.test.digest),
    }  # fmt: skip
    metrics = {row["name"]: row for row in result["metrics"]}
    assert metrics["accuracy_greedy"] == {"type": "accuracy", "name": "accuracy_greedy", "value": 0.9}
    assert {row["type"] for row in result["metrics"]} == set(found["metrics"])
    assert "n" not in metrics and not any("/" in name for name in metrics)
    data = head(world.card("dataset-test"))
    assert data["task_categories"] == ["image-classification"]
    assert data["size_categories"] == ["n<1K"]
    assert data["dataset_info"]["splits"] == [
        {"name": "test", "num_bytes": world.test.manifest.size, "num_examples": ITEMS}
    ]
    features = {row["name"]: row["dtype"] for row in data["dataset_info"]["features"]}
    assert features["images"] == {"array2_d": {"dtype": "float64", "shape": [8, 8]}}
    assert features["labels"] == "int64"


def test_a_data_card_counts_classes_shared_items_and_uses(world: World) -> None:
    card = world.card("dataset-train")
    found = sections(card)
    assert f"{ITEMS} rows, all of them measured." in found["Dataset structure"]
    assert "| `images` | `float64` | 120 x 8 x 8 | 0 | 0 | 0 |  |" in found["Dataset structure"]
    assert "| `7` | 12 | 10.0 % |" in found["Classes"]
    rows = [line for line in found["Splits"].splitlines() if "dataset-train:v1" in line]
    assert rows == [
        "| `dataset-train:v1` | `dataset-leaky:v1` | 120 | 120 | **20** |",
        "| `dataset-train:v1` | `dataset-test:v1` | 120 | 120 | 0: disjoint |",
    ]
    assert "`raw-numbers.csv:v1`" in found["Source files"]
    assert "[raw-numbers.csv:v1](raw-numbers.csv-v1.md)" in found["Made from"]
    assert "| `bbbbbbbbbbbbbbbb` | rft-seed1 | `small.learning:learn` | `data` |" in found["Uses"]
    assert found["Dataset creation"] == ("not recorded: the source tree on record does not hold the recipe's module")
    assert found["Reproducibility"] == "unknown: no replay of its run is on record."
    # What is hostile in the records is shown and means nothing.
    assert "(x&#124;y\\`z&lt;b&gt; \\# head)" in found["Dataset details"]
    assert "| `note` | <code>x&#124;y&#96;z&#60;b&#62; &#35; head</code> |" in found["Settings"].replace("&#92;n", " ")
    assert "<b>" not in re.sub(r"```.*?```", "", card, flags=re.DOTALL)
    evaluations = sections(world.card("dataset-test"))["Evaluations on it"]
    assert "| `model-rft:v2` | 0.9 |" in evaluations and "| `model-rft:v1` | 0.8 |" in evaluations


def test_what_has_no_records_says_so_in_each_section(world: World) -> None:
    bare = repository.claim(repository.put(world.home, {"weights": [9]}), "model-bare")
    found = sections(world.card("model-bare"))
    empty = {
        "Hyperparameters", "Seeds", "Mode and settings", "Environment", "Training curves", "Cost", "Evaluation",
        "Training data", "Parameters", "What it holds", "Checks", "How to reproduce", "Earlier versions",
    }  # fmt: skip
    assert {name for name, body in found.items() if body == "not recorded"} == empty
    assert "What it is: not recorded." in found["model-bare:v1"]
    assert found["Uses, limits and method"] == "not recorded: no run on record made it"
    assert found["Reproducibility"] == "unknown: no run on record made it."
    assert head(repro_assets.card(str(bare.digest), world.home)) == {"tags": ["repro-assets"]}
    file = sections(world.card("raw-numbers.csv"))
    assert file["Dataset structure"].startswith("Not measured: what is of the kind bytes has no columns.")


def test_a_diverged_replay_is_not_called_proved(world: World) -> None:
    from repro_assets.journal.run_records import ReplayMade
    from repro_assets.journal.segments import journal_at

    model = record_model(world.home, "9" * 16, [3.0], name="model-other")
    journal_at(world.home.journal).append(
        ReplayMade("9" * 16, "8" * 16, "diverged", reason="wrong | bits", products=[
            {"name": "model", "verdict": "diverged", "original": str(model.digest), "replayed": "sha256:0"}
        ])
    )  # fmt: skip
    found = sections(world.card("model-other"))["Reproducibility"]
    assert found.startswith("0 of 1 replays gave the same digest, bit for bit.")
    assert "diverged" in found and "wrong &#124; bits" in found and "Proved" not in found


def test_the_library_of_a_model_is_one_that_its_run_imported(world: World) -> None:
    from repro_assets.journal.run_records import PackagesUsed
    from repro_assets.journal.segments import journal_at

    for run_id, used, known in (
        ("1" * 16, {"numpy": "2.1.0"}, None),
        ("2" * 16, {"numpy": "2.1.0", "torch": "2.13.0"}, "pytorch"),
        ("3" * 16, {}, None),
    ):
        # The environment has torch in each case; of a command this process, which may have it, records nothing.
        run = begin(world.home, RunStarted(run_id, "command", "a command", environment=document(world.home)))
        run.log_output("model", {"w": np.full(2, int(run_id[0]))}, name=f"model-{run_id}")
        run.end()
        journal_at(world.home.journal).append(PackagesUsed(run_id, used))
        assert head(repro_assets.card(f"model-{run_id}", world.home)).get("library_name") == known


@pytest.mark.parametrize(
    ("license", "fields"),
    [
        ("CC0-1.0", {"license": "cc0-1.0"}),
        ("Ours: ask | first", {"license": "other", "license_name": "Ours: ask | first"}),
    ],
)
@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_license_is_what_the_run_says(world: World, kind: str, license: str, fields: dict[str, str]) -> None:
    run = begin(world.home, RunStarted(new_run_id(), "script", "licensed", config={"url": "https://a.example/"}))
    run.log_params({"license": license, "cite_as": "@misc{a}"})
    run.log_output("made", {"w": np.arange(2), "of": f"{kind} {license}"}, name=f"{kind}-{run.run_id}")
    run.end()
    card = repro_assets.card(f"{kind}-{run.run_id}", world.home)
    assert head(card).items() >= fields.items()
    details = sections(card)[f"{'Model' if kind == 'model' else 'Dataset'} details"]
    assert f"| license | {code(license)} |" in details
    assert "| citation | `@misc{a}` |" in details and "| address | `https://a.example/` |" in details


def test_a_figure_that_is_no_finite_number_is_said_and_no_result_of_the_head(world: World) -> None:
    model = record_model(world.home, "7" * 16, [4.0], name="model-broken")
    run = begin(world.home, RunStarted("6" * 16, "asset", "evaluation"))
    made = run.log_output("result", {"n": 1}, name="eval-broken")
    figures = {"accuracy_greedy": math.nan, "looks_greedy": math.inf, "f1_macro": 0.5}
    run.log_evaluation("eval-broken", model, world.test, made, figures)
    run.end()
    card = world.card("model-broken")
    assert "| `accuracy_greedy` | nan |" in card and "| `looks_greedy` | inf |" in card
    (result,) = head(card)["model-index"][0]["results"]
    assert [metric["type"] for metric in result["metrics"]] == ["f1"]


def test_a_run_stands_for_the_one_thing_that_it_made(world: World) -> None:
    assert repro_assets.card("b" * 16, world.home) == world.card("model-rft:v2")
    with pytest.raises(AmbiguousName, match=r"made 3 things .* dataset-leaky:v1, dataset-test:v1, dataset-train:v1"):
        repro_assets.card("5" * 16, world.home)
    with pytest.raises(InvalidValue, match=r"made neither a model nor a data set \(a card can be made of models"):
        repro_assets.card("e" * 16, world.home)
    with pytest.raises(InvalidValue, match="is neither a model nor a data set"):
        world.card("eval-rft-on-test")
    with pytest.raises(UnknownName, match="there is no artifact or run 'model-rfd'"):
        world.card("model-rfd")


def test_the_docstring_is_the_recorded_one_word_for_word(world: World) -> None:
    import ast

    said = ast.get_docstring(ast.parse(RECIPE))
    assert said is not None and said in world.card("model-rft")
