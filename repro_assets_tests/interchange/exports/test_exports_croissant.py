"""``croissant``: what Croissant's own library reads of an exported data set is the data set."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pandas
import pyarrow
import pytest
from exported import ACCOUNT, FILES, World

from repro_assets.artifacts import repository
from repro_assets.errors import CheckFailed, IntegrityError, InvalidInput, InvalidValue, ReusedElsewhere
from repro_assets.interchange.exports import croissant
from repro_assets.interchange.formats import Exported, export
from repro_assets.journal.run_records import RunStarted
from repro_assets.recording.lifetime import begin
from repro_assets.store.home import Home

# Of the reader: it asks rdflib and pandas in ways that these will not answer for ever.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
Document = dict[str, Any]
Given = Callable[[str], Path]


@pytest.fixture(scope="module")
def exported(world: World, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Exports a data set of the world, once."""
    folder = tmp_path_factory.mktemp("croissant")

    def folder_of(name: str) -> Path:
        path = folder / name.replace("/", "-")
        if not path.exists():
            done = export(name, to=path, format="croissant", home=world.home)
            assert done.verified and done.path == path
        return path

    return folder_of


def document(folder: Path) -> Document:
    found: Document = json.loads((folder / "croissant.json").read_text("utf-8"))
    return found


def records(folder: Path, name: str = "records") -> list[dict[str, Any]]:
    """What the library reads, under the columns' own names."""
    dataset = mlcroissant.Dataset(folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    called = {field.id: field.name for each in dataset.metadata.record_sets for field in each.fields}
    return [{called[id]: value for id, value in record.items()} for record in dataset.records(name)]


def test_a_table_is_read_back_row_by_row(world: World, exported: Given) -> None:
    value: pandas.DataFrame = world.made["dataset-flowers"].load()
    found = records(exported("dataset-flowers"))
    assert len(found) == len(value) == 40 and list(found[0]) == list(value.columns)
    for row, record in zip(value.to_dict("records"), found, strict=True):
        assert record["id"] == row["id"] and record["petal width (cm)"] == np.float32(row["petal width (cm)"])
        # The library's reader says None for NaN.
        assert record["length"] == (None if math.isnan(row["length"]) else row["length"])
        assert record["kind"] == (None if pandas.isna(row["kind"]) else row["kind"].encode())
        assert (record["opened"], record["seen"], record["index"]) == (row["opened"], row["seen"], row["index"])
        assert list(record["votes"]) == list(row["votes"])
    pandas.testing.assert_frame_equal(pandas.read_parquet(exported("dataset-flowers") / "data.parquet"), value)


def test_the_types_are_those_of_the_columns(exported: Given) -> None:
    (one,) = document(exported("dataset-flowers"))["recordSet"]
    kinds = {field["name"]: field["dataType"] for field in one["field"]}
    assert kinds == {
        "id": "cr:Int64", "petal width (cm)": "cr:Float32", "length": "cr:Float64", "kind": "sc:Text",
        "opened": "sc:Boolean", "seen": "sc:DateTime", "votes": "cr:Int64", "index": "cr:UInt8",
    }  # fmt: skip
    votes = next(field for field in one["field"] if field["name"] == "votes")
    assert votes["isArray"] is True and votes["arrayShape"] == "-1"


def test_a_tree_is_read_back_file_by_file(exported: Given) -> None:
    found = {record["path"].decode(): record["content"] for record in records(exported("dataset-files"), "files")}
    assert found == {f"data/{path}": data for path, data in FILES.items()}


@pytest.mark.parametrize(
    "name",
    ["dataset-flowers", "dataset-split", "dataset-uneven", "dataset-files", "raw-flowers.csv", "dataset-settings"],
)
def test_every_file_is_listed_with_its_size_and_digest(exported: Given, name: str) -> None:
    folder = exported(name)
    listed = {each["contentUrl"]: each for each in document(folder)["distribution"] if each["@type"] == "cr:FileObject"}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(listed) == there - {"croissant.json"} != set()
    for path, each in listed.items():
        data = (folder / path).read_bytes()
        assert (each["contentSize"], each["sha256"]) == (f"{len(data)} B", hashlib.sha256(data).hexdigest())


def test_arrays_are_records_with_their_shapes(world: World, exported: Given) -> None:
    value = world.made["dataset-images"].load()
    found = records(exported("dataset-images"))
    for name, array in value.items():
        assert np.array_equal(np.array([record[name] for record in found]), array), name
    (one,) = document(exported("dataset-images"))["recordSet"]
    images = next(field for field in one["field"] if field["name"] == "images")
    assert (images["arrayShape"], images["dataType"]) == ("2,2", "cr:Float32")


def test_splits_are_named_and_read_apart(world: World, exported: Given) -> None:
    value = world.made["dataset-split"].load()
    folder = exported("dataset-split")
    for split in ("train", "test"):
        found = records(folder, split)
        assert {record["split"] for record in found} == {split.encode()}
        assert np.array_equal(np.array([record["images"] for record in found]), value[split]["images"])
    splits = next(each for each in document(folder)["recordSet"] if each["@id"] == "splits")
    assert splits["dataType"] == "cr:Split" and [row["splits/name"] for row in splits["data"]] == ["train", "test"]


def test_the_records_of_a_buffer_are_records(exported: Given) -> None:
    found = records(exported("dataset-experience"))
    assert [list(record["state"]) for record in found] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [record["reward"] for record in found] == [0, 1, 2, 3]


def test_what_is_no_records_is_there_as_files_and_why_is_said(world: World, tmp_path: Path) -> None:
    for name, said in (("dataset-uneven", "it holds more than arrays"), ("dataset-settings", "json has no columns")):
        done = export(name, to=tmp_path / name, format="croissant", home=world.home)
        assert said in done.notes[0] and "recordSet" not in document(tmp_path / name)
    loaded = np.load(tmp_path / "dataset-uneven" / "data" / "00001.npy")
    assert np.array_equal(loaded, np.arange(4))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"x": np.arange(3), "y": np.arange(4)}, "differ in length"),
        ({"x": np.arange(3), "y": np.array(1.0)}, "single number"),
        ({"x": np.arange(3) * 1j}, "a type that Parquet has not"),
        ({"x": np.zeros((3, 0))}, "values without numbers"),
        ([np.arange(3)], "no mapping"),
        ({"x": np.arange(3), "train": {"x": np.arange(3)}, "y": None}, "more than arrays"),
    ],
)
def test_arrays_that_are_no_columns_lose_nothing(empty: Home, tmp_path: Path, value: Any, why: str) -> None:
    repository.claim(repository.put(empty, value, "tensors"), "dataset-odd")
    done = export("dataset-odd", to=tmp_path / "out", format="croissant", home=empty)
    assert why in done.notes[0]
    assert (tmp_path / "out" / "data" / "nesting.json").is_file() and len(
        document(tmp_path / "out")["distribution"]
    ) > 1


def test_a_column_that_croissant_has_no_word_for_stays_in_the_file_and_is_named(empty: Home, tmp_path: Path) -> None:
    struct = pyarrow.array([{"a": 1}, {"a": 2}])
    duration = pyarrow.array([1, 2], pyarrow.duration("us"))
    table = pyarrow.table(
        {"x": [1, 2], "point": struct, "took": duration, "day": pyarrow.array([1, 2], pyarrow.date32())}
    )
    repository.claim(repository.put(empty, table), "dataset-odd")
    done = export("dataset-odd", to=tmp_path / "out", format="croissant", home=empty)
    assert done.facts["left_out"] == ["point", "took"] and "column point is not in the records" in done.notes[0]
    assert [sorted(record) for record in records(tmp_path / "out")] == [["day", "x"], ["day", "x"]]
    assert pyarrow.parquet.read_table(tmp_path / "out" / "data.parquet")["took"].to_pylist() == duration.to_pylist()


def test_license_citation_and_address_are_what_a_person_wrote(
    world: World, exported: Given, empty: Home, tmp_path: Path
) -> None:
    said = document(exported("dataset-flowers"))
    assert (said["license"], said["citeAs"]) == ("CC-BY-4.0", "@misc{flowers}")
    assert (said["url"], said["version"], said["name"]) == ("https://flowers.example/", "1", "dataset-flowers:v1")
    assert said["description"] == "Learns to tell flowers apart."
    assert said["repro:digest"] == str(world.made["dataset-flowers"].digest)
    assert said["prov:wasGeneratedBy"] == {"@id": f"urn:repro-assets:run:{world.data}"}
    repository.claim(repository.put(empty, pandas.DataFrame({"x": [1]})), "dataset-bare")
    export("dataset-bare", to=tmp_path / "bare", format="croissant", home=empty)
    assert not {"license", "citeAs", "url", "description", "creator", "datePublished"} & set(
        document(tmp_path / "bare")
    )


def test_what_it_came_from_is_named(empty: Home, tmp_path: Path) -> None:
    raw = repository.claim(repository.put(empty, b"1,2\n", "bytes"), "raw-numbers.csv")
    run = begin(empty, RunStarted("ab" * 8, "script", "one"))
    run.use("file", raw)
    run.log_output("result", pandas.DataFrame({"x": [1]}), name="dataset-one", collection="dataset-one")
    run.end()
    export(run.run_id, to=tmp_path / "a", format="croissant", home=empty)
    assert document(tmp_path / "a")["prov:wasDerivedFrom"] == [{"@id": f"urn:repro-assets:{raw.digest}"}]


def test_the_metadata_alone_name_the_files_that_a_folder_has(world: World, exported: Given, tmp_path: Path) -> None:
    done = export("dataset-split", to=tmp_path / "split.json", format="croissant", home=world.home)
    assert (tmp_path / "split.json").read_bytes() == (exported("dataset-split") / "croissant.json").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "split.json"]
    assert "repro export dataset-split:v1 --to FOLDER --format croissant" in done.notes[-1]


def test_the_same_data_set_gives_the_same_bytes(world: World, exported: Given, tmp_path: Path) -> None:
    for name in ("dataset-flowers", "dataset-split", "dataset-files", "dataset-uneven"):
        export(name, to=tmp_path / name, format="croissant", home=world.home)
        one, two = exported(name), tmp_path / name
        assert {p.relative_to(one): p.read_bytes() for p in one.rglob("*") if p.is_file()} == {
            p.relative_to(two): p.read_bytes() for p in two.rglob("*") if p.is_file()
        }


def test_a_file_that_was_changed_is_noticed_by_the_reader(world: World, tmp_path: Path) -> None:
    export("dataset-images", to=tmp_path / "a", format="croissant", home=world.home)
    path = tmp_path / "a" / "data.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(mlcroissant.GenerationError):
        records(tmp_path / "a")


def test_columns_of_any_name_are_read_back(world: World, exported: Given) -> None:
    value: pandas.DataFrame = world.made["hostile"].load()
    found = records(exported("dataset-hostile"))
    assert [set(record) for record in found] == [set(value.columns)] * 2
    assert [set(record.values()) for record in found] == [{1}, {2}]


def test_nobody_is_named_where_that_is_asked(empty: Home, tmp_path: Path) -> None:
    config = {"license": f"ask {ACCOUNT}", "citation": f"/home/{ACCOUNT}/paper.pdf"}
    started = RunStarted("ab" * 8, "script", "one", config=config, host_facts={"name": ACCOUNT})
    run = begin(empty, started)
    run.log_output("result", pandas.DataFrame({"x": [1]}), name="dataset-one", collection="dataset-one")
    run.end()
    export("dataset-one", to=tmp_path / "a", format="croissant", home=empty, anonymize=True)
    assert (
        document(tmp_path / "a")["license"] == "ask anonymous" and document(tmp_path / "a")["citeAs"] == "~/paper.pdf"
    )
    assert ACCOUNT not in (tmp_path / "a" / "croissant.json").read_text()


def test_what_is_gone_or_damaged_or_no_data_set_leaves_nothing(world: World, tmp_path: Path) -> None:
    changed = world.copied(tmp_path / "store")
    (gone,) = changed.made["dataset-flowers"].manifest.objects()
    (damaged,) = changed.made["raw-flowers.csv"].manifest.objects()
    for digest, mend in ((gone, None), (damaged, b"a,b\n1,3\n")):
        (path,) = changed.home.root.glob(f"objects/*/{digest.hex[2:]}")
        path.unlink()
        if mend is not None:
            path.write_bytes(mend)
    to = tmp_path / "out"
    for name, error, said in (
        ("dataset-flowers", IntegrityError, "dataset-flowers"),
        ("raw-flowers.csv", IntegrityError, "raw-flowers.csv"),
        ("model-flowers", InvalidValue, "is a model and not a data set"),
        (world.failed, InvalidValue, "made no data set"),
    ):
        for place in (to, tmp_path / "out.json"):
            with pytest.raises(error, match=said):
                export(name, to=place, format="croissant", home=changed.home)
            assert sorted(item.name for item in tmp_path.iterdir()) == ["store"]


def test_a_folder_that_holds_something_stays_as_it_is(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    with pytest.raises(ReusedElsewhere, match="not an empty folder"):
        export("dataset-flowers", to=tmp_path / "mine", format="croissant", home=world.home)
    with pytest.raises(InvalidInput, match="its folder is not there"):
        export("dataset-flowers", to=tmp_path / "no" / "folder", format="croissant", home=world.home)
    assert [item.name for item in (tmp_path / "mine").iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    done: Exported = export("dataset-flowers", to=tmp_path / "empty", format="croissant", home=world.home)
    assert done.verified and (tmp_path / "empty" / "croissant.json").is_file()


def test_a_document_that_is_not_valid_is_not_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(croissant, "_created", lambda subject: "yesterday")
    with pytest.raises(CheckFailed, match="not valid Croissant"):
        export("dataset-flowers", to=tmp_path / "a", format="croissant", home=world.home)
    assert not list(tmp_path.iterdir())
