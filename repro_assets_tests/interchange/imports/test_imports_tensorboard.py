"""Log directories of TensorBoard come in whole, up to where they are whole, with what TensorBoard holds and no more."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from bundled import files_of
from exported import World

from repro_assets.artifacts import repository
from repro_assets.catalog import queries
from repro_assets.catalog.descriptions import show_run
from repro_assets.errors import InvalidInput
from repro_assets.identity.digest import Digest
from repro_assets.interchange import formats
from repro_assets.store.home import Home, make_store
from repro_assets.tracking import media

BEGAN = 1_600_000_000.25


def proto(name: str, attribute: str) -> Any:
    return getattr(import_module(f"tensorboard.compat.proto.{name}"), attribute)


def scalar(tag: str, value: float) -> Any:
    return proto("summary_pb2", "Summary").Value(tag=tag, simple_value=value)


def tensor(tag: str, plugin: str, array: Any) -> Any:
    """A value as TensorFlow 2 writes it."""
    summary = proto("summary_pb2", "Summary")
    metadata = proto("summary_pb2", "SummaryMetadata")(plugin_data={"plugin_name": plugin})
    made = import_module("tensorboard.util.tensor_util").make_tensor_proto(array)
    return summary.Value(tag=tag, metadata=metadata, tensor=made)


def write(file: Path, *events: tuple[int, list[Any]]) -> Path:
    """An event file with a version and then one event for each step and its values, a second apart."""
    file.parent.mkdir(parents=True, exist_ok=True)
    event, summary = proto("event_pb2", "Event"), proto("summary_pb2", "Summary")
    out = io.BytesIO()
    writer = import_module("tensorboard.summary.writer.record_writer").RecordWriter(out)
    writer.write(event(wall_time=BEGAN, file_version="brain.Event:2").SerializeToString())
    for number, (step, values) in enumerate(events, 1):
        made = event(wall_time=BEGAN + number, step=step, summary=summary(value=values))
        writer.write(made.SerializeToString())
    file.write_bytes(out.getvalue())
    return file


def hyperparameters(**session: Any) -> Any:
    plugin: Any = import_module("tensorboard.plugins.hparams.plugin_data_pb2")
    metadata = proto("summary_pb2", "SummaryMetadata")
    content = plugin.HParamsPluginData(**session).SerializeToString()
    said = metadata(plugin_data=metadata.PluginData(plugin_name="hparams", content=content))
    return proto("summary_pb2", "Summary").Value(tag=f"_hparams_/{next(iter(session))}", metadata=said)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log directory of two runs."""
    import numpy

    folder = tmp_path / "logs"
    picture = media.png_of_image(numpy.zeros((4, 6), "uint8"))
    image = proto("summary_pb2", "Summary").Image(width=6, height=4, colorspace=1, encoded_image_string=picture)
    started = {"hparams": {"lr": {"number_value": 0.5}, "name": {"string_value": "é"}, "on": {"bool_value": True}}}
    write(
        folder / "first" / "events.out.tfevents.1600000000.host.7.0",
        (0, [hyperparameters(session_start_info=started)]),
        (0, [scalar("loss", 0.1), scalar("odd", math.nan)]),
        (1, [scalar("loss", math.inf), tensor("exact", "scalars", numpy.float64(0.1))]),
        # Only the first event of a tag says what it is.
        (2, [tensor("exact", "", numpy.float64(1e300)), tensor("said", "text", numpy.array([b"one", b"two"]))]),
        (3, [proto("summary_pb2", "Summary").Value(tag="seen/a", image=image)]),
        (3, [tensor("seen/b", "images", numpy.array([b"6", b"4", picture, picture]))]),
        (4, [tensor("weights", "histograms", numpy.zeros((3, 3)))]),
        (5, [hyperparameters(session_end_info={"status": 2, "end_time_secs": BEGAN + 60})]),
    )
    write(folder / "second" / "deep" / "events.out.tfevents.1600000001.host.8.0", (7, [scalar("loss", 3.0)]))
    # What TensorBoard passes over is no run.
    (folder / "second" / "notes.txt").write_text("no events")
    return folder


def taken(home: Home, path: Path, **more: Any) -> Any:
    return formats.take_in(path, "tensorboard", home=home, **more)


def run_of(home: Home, name: str) -> dict[str, Any]:
    return show_run(home, name)


def points_of(home: Home, run: str) -> list[tuple[str, int, str, int]]:
    asked = "SELECT name, step, value, epoch_us(time) AS time FROM metrics WHERE run_id = $run ORDER BY name, step"
    found = queries.rows(home, asked, {"run": run})
    return [(row["name"], row["step"], repr(row["value"]), row["time"]) for row in found]


def test_runs_come_in_as_tensorboard_has_them(logs: Path, empty: Home) -> None:
    done = taken(empty, logs)
    assert len(done.runs) == 2
    assert done.notes == ["scalars, texts, pictures and hyperparameters are taken; left out are 1 of histograms"]
    first = run_of(empty, "first")
    thirty_two = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    micro = [round((BEGAN + second) * 1e6) for second in range(5)]
    assert points_of(empty, first["run_id"]) == [
        ("exact", 1, "0.1", micro[3]), ("exact", 2, "1e+300", micro[4]), ("loss", 0, repr(thirty_two), micro[2]),
        ("loss", 1, "inf", micro[3]), ("odd", 0, "nan", micro[2]),
    ]  # fmt: skip
    assert first["params"] == {"lr": 0.5, "name": "é", "on": True}
    assert (first["state"], first["seconds"], first["error"]) == ("FAILED", 60.0, None)
    assert {first[name] for name in ("environment", "source", "seed", "command", "experiment")} == {None}
    files = {
        f"{row['slot']}/{path}": data
        for row in first["outputs"]
        for path, data in repository.by_digest(empty, Digest.parse(row["digest"])).load().items()
    }
    assert files["texts/said/step_2.txt"] == b"one\ntwo"
    pictures = {path for path in files if path.startswith("pictures/")}
    assert pictures == {
        "pictures/seen/a/step_3.png", "pictures/seen/b/step_3.png", "pictures/seen/b/step_3_2.png",
    }  # fmt: skip
    assert all(files[path].startswith(b"\x89PNG") for path in pictures)
    # Whether this one ended, its events do not say.
    second = run_of(empty, "second/deep")
    assert (second["state"], second["ended_at"]) == ("UNKNOWN", None)
    assert second["imported_from"][0]["place"] == str(logs / "second" / "deep")


def test_again_changes_nothing_and_a_dry_run_writes_nothing(logs: Path, empty: Home) -> None:
    before = files_of(empty)
    told = taken(empty, logs, dry_run=True).document()
    nowhere = formats.take_in(logs, "tensorboard", home=None, dry_run=True).document()
    assert files_of(empty) == before
    assert told == nowhere == {**taken(empty, logs).document(), "dry_run": True}
    between = files_of(empty)
    # Also where the folder of one run is named, or it was moved.
    moved = logs.rename(logs.with_name("moved"))
    for folder in (moved, moved / "second"):
        again = taken(empty, folder)
        assert (again.runs, again.grown, again.records) == ([], [], 0)
    assert files_of(empty) == between


def test_what_was_taken_out_comes_back_in_32_bits(world: World, tmp_path: Path) -> None:
    runs = (*world.trains, world.failed, world.hostile)
    formats.export(*runs, to=tmp_path / "runs", format="tensorboard", home=world.home)
    home = make_store(tmp_path / "back")
    done = taken(home, tmp_path / "runs")
    assert len(done.runs) == len(runs) and done.notes == []
    by_theirs = {show_run(home, run)["imported_from"][0]["foreign_id"]: show_run(home, run) for run in done.runs}
    for run_id in runs:
        back, there = by_theirs[run_id], show_run(world.home, run_id)
        for part in ("name", "state", "experiment", "tags", "note"):
            assert back[part] == there[part], (run_id, part)
        assert back["params"] == {**there["config"], **there["params"]}
        asked = "SELECT name, value FROM metrics WHERE run_id = $run ORDER BY name, coalesce(step, 0)"
        values = [
            [(row["name"], repr(row["value"])) for row in queries.rows(store, asked, {"run": run})]
            for store, run in ((home, back["run_id"]), (world.home, run_id))
        ]
        # These values are whole in 32 bits.
        assert values[0] == values[1]
        assert back["imported_from"][0]["details"]["record"]["kind"] == there["run_kind"]


def test_values_beyond_32_bits_come_back_as_they_were(tmp_path: Path) -> None:
    from repro_assets.journal.run_records import RunStarted
    from repro_assets.recording.lifetime import begin

    home = make_store(tmp_path / "store")
    run = begin(home, RunStarted("f" * 16, "script", "large"))
    for step, value in enumerate((1e300, -1e39, math.inf, 1e-300)):
        run.log_metric("large", value, step)
    run.end()
    formats.export("f" * 16, to=tmp_path / "runs", format="tensorboard", home=home)
    back = make_store(tmp_path / "back")
    (run_id,) = taken(back, tmp_path / "runs").runs
    assert [value for _, _, value, _ in points_of(back, run_id)] == ["1e+300", "-1e+39", "inf", "0.0"]


def test_a_run_that_went_on_gets_its_new_points(tmp_path: Path, empty: Home) -> None:
    file = tmp_path / "logs" / "events.out.tfevents.1.host.7.0"
    events = [(step, [scalar("loss", float(step))]) for step in range(6)]
    write(file, *events[:3])
    first = taken(empty, tmp_path / "logs")
    write(file, *events)
    more = taken(empty, tmp_path / "logs")
    assert more.grown == first.runs and more.runs == []
    assert "1 run that was here has grown" in more.told() and ": 0 runs, " in more.told()[0]
    assert [step for _, step, _, _ in points_of(empty, first.runs[0])] == [0, 1, 2, 3, 4, 5]
    # A process that went on writes a file of its own into the same folder.
    write(file.with_name("events.out.tfevents.2.host.9.0"), (9, [scalar("loss", 9.0)]))
    assert taken(empty, tmp_path / "logs").grown == first.runs
    assert points_of(empty, first.runs[0])[-1][1:3] == (9, "9.0")


@pytest.mark.parametrize("left", [1, 5, 11, 13, 20])
def test_a_file_that_is_cut_short_is_taken_up_to_there(tmp_path: Path, empty: Home, left: int) -> None:
    file = write(
        tmp_path / "logs" / "events.out.tfevents.1.host.7.0", *((step, [scalar("loss", 1.0)]) for step in range(4))
    )
    data = file.read_bytes()
    whole = write(tmp_path / "three" / file.name, *((step, [scalar("loss", 1.0)]) for step in range(3))).stat().st_size
    file.write_bytes(data[: whole + left])
    done = taken(empty, tmp_path / "logs")
    assert done.notes == [f"the last event of {file} is cut short: it is taken up to there"]
    assert [step for _, step, _, _ in points_of(empty, done.runs[0])] == [0, 1, 2]


def _flipped(place: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        _flipped(0),
        _flipped(8),
        _flipped(20),
        _flipped(-3),
        lambda data: b"\0" * 100 + data,
        lambda data: data + b"x" * 99,
    ],
    ids=["length", "its check", "event", "its check at the end", "zeros", "rubbish"],
)
def test_a_damaged_file_refuses_the_whole(tmp_path: Path, empty: Home, spoil: Callable[[bytes], bytes]) -> None:
    write(tmp_path / "logs" / "sound" / "events.out.tfevents.1.host.7.0", (0, [scalar("loss", 1.0)]))
    file = write(tmp_path / "logs" / "spoilt" / "events.out.tfevents.2.host.7.0", (0, [scalar("loss", 1.0)]))
    file.write_bytes(spoil(file.read_bytes()))
    before = files_of(empty)
    with pytest.raises(InvalidInput, match=r"the event file .*spoilt.* is damaged at byte"):
        taken(empty, tmp_path / "logs")
    assert files_of(empty) == before


def test_tags_lead_nowhere_else(tmp_path: Path, empty: Home) -> None:
    import numpy

    tags = ["../../out", "/etc/passwd", "a//b", "", ".", "a\0b", "x" * 300, "é" * 240]
    values = [tensor(tag, "text", numpy.array(b"said")) for tag in tags]
    write(tmp_path / "logs" / "events.out.tfevents.1.host.7.0", (0, values))
    done = taken(empty, tmp_path / "logs")
    (output,) = show_run(empty, done.runs[0])["outputs"]
    artifact = repository.by_digest(empty, Digest.parse(output["digest"]))
    artifact.lay_out(tmp_path / "laid")
    assert len(list((tmp_path / "laid").rglob("*.txt"))) == len(tags)


def test_a_link_or_no_events_is_refused(tmp_path: Path, empty: Home) -> None:
    file = write(tmp_path / "real", (0, [scalar("loss", 1.0)]))
    (tmp_path / "logs").mkdir()
    with pytest.raises(InvalidInput, match="no event file of TensorBoard"):
        taken(empty, tmp_path / "logs")
    (tmp_path / "logs" / "events.out.tfevents.1").symlink_to(file)
    with pytest.raises(InvalidInput, match="is a link"):
        taken(empty, tmp_path / "logs")
    with pytest.raises(InvalidInput, match="there is no folder"):
        taken(empty, tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="is a file and no folder"):
        taken(empty, file)


def test_a_value_that_is_not_what_it_says_refuses_the_whole(tmp_path: Path, empty: Home) -> None:
    import numpy

    write(tmp_path / "logs" / "events.out.tfevents.1.host.7.0", (0, [tensor("two", "scalars", numpy.zeros(2))]))
    with pytest.raises(InvalidInput, match=r"'two' at step 0 of .* is no scalars"):
        taken(empty, tmp_path / "logs")
