"""What each tool's own reader gives back of a mirrored run."""

from __future__ import annotations

import json
import math
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from repro_assets.mirrors.holding import as_text, flat
from repro_assets.mirrors.mirror import Mirror
from repro_assets.mirrors.mlflow_mirror import MLflow
from repro_assets.mirrors.tensorboard_mirror import TensorBoard
from repro_assets.mirrors.wandb_mirror import WandB

MOST = 1.7976931348623157e308


@dataclass
class Held:
    """A run as a tool holds it: points as (step, value, seconds) by name, and the rest as texts."""

    points: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    state: str = ""


class TensorBoardTool:
    name = "tensorboard"
    within = 1e-6
    states: ClassVar = {"COMPLETED": "COMPLETED 1", "FAILED": "FAILED 2", "INTERRUPTED": "INTERRUPTED 2"}

    def mirror(self, folder: Path) -> Mirror:
        return TensorBoard(folder / "runs")

    def holds(self, value: float) -> float:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])

    def read(self, folder: Path) -> Held:
        events: Any = import_module("tensorboard.backend.event_processing.event_accumulator")
        hparams: Any = import_module("tensorboard.plugins.hparams.plugin_data_pb2")
        (place,) = (folder / "runs").iterdir()
        found = events.EventAccumulator(str(place), size_guidance=dict.fromkeys(events.DEFAULT_SIZE_GUIDANCE, 0))
        found.Reload()
        held = Held()
        for tag in found.Tags()["scalars"]:
            held.points[tag] = [(each.step, each.value, each.wall_time) for each in found.Scalars(tag)]
        texts = {tag: [_text(each) for each in found.Tensors(tag)] for tag in found.Tags()["tensors"]}
        contents = found.PluginTagToContent("hparams")
        sessions = {tag: hparams.HParamsPluginData.FromString(data) for tag, data in contents.items()}
        first = sessions["_hparams_/session_start_info"].session_start_info
        typed = {name: getattr(value, value.WhichOneof("kind")) for name, value in first.hparams.items()}
        held.params = {name: as_text(value) for name, value in typed.items()}
        for text in texts.get("repro/params", []):
            held.params.update({name: as_text(value) for name, value in flat(json.loads(text))})
        for text in texts.get("repro/names", []):
            held.names.update(json.loads(text))
        held.about = {"beyond": texts.get("repro/beyond_32_bits"), **json.loads(texts["repro/run"][0])}
        ended = sessions["_hparams_/session_end_info"].session_end_info
        held.state = f"{texts['repro/state'][-1]} {ended.status}"
        for tag, values in texts.items():
            if tag.startswith("artifacts/"):
                held.files[tag.removeprefix("artifacts/").removesuffix("/content")] = values[-1].encode()
        for tag in found.Tags()["images"]:
            (image,) = found.Images(tag)
            held.about[tag] = (image.width, image.height)
            held.files[tag.removeprefix("artifacts/").removesuffix("/content")] = image.encoded_image_string
        return held


def _text(event: Any) -> str:
    (value,) = event.tensor_proto.string_val
    return "\n".join(line.removeprefix("    ") for line in value.decode().split("\n"))


class MLflowTool:
    name = "mlflow"
    within = 1e-3
    states: ClassVar = {
        "COMPLETED": "COMPLETED FINISHED",
        "FAILED": "FAILED FAILED",
        "INTERRUPTED": "INTERRUPTED KILLED",
    }

    empty: bytes | None = None

    def mirror(self, folder: Path) -> Mirror:
        # Its tables take seconds to make, and are the same in each new database.
        if self.empty is None:
            client: Any = import_module("mlflow.tracking").MlflowClient(tracking_uri=self.uri(folder))
            client.search_experiments()
            self.empty = (folder / "mlflow.db").read_bytes()
        (folder / "mlflow.db").write_bytes(self.empty)
        return MLflow(self.uri(folder))

    def uri(self, folder: Path) -> str:
        return f"sqlite:///{folder}/mlflow.db"

    def holds(self, value: float) -> float:
        # Its databases have no infinity, and SQLite has one zero.
        return math.copysign(MOST, value) if math.isinf(value) else value or 0.0

    def read(self, folder: Path, uri: str | None = None) -> Held:
        client: Any = import_module("mlflow.tracking").MlflowClient(tracking_uri=uri or self.uri(folder))
        experiments = [each.experiment_id for each in client.search_experiments()]
        (run,) = client.search_runs(experiments)
        held = Held(params=dict(run.data.params), state=f"{run.data.tags['repro.state']} {run.info.status}")
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            held.points[name] = [(each.step, each.value, each.timestamp / 1e3) for each in history]
        for tag, value in run.data.tags.items():
            if tag.startswith("name."):
                held.names[tag.removeprefix("name.")] = value
            if tag.startswith("param."):
                held.params[tag.removeprefix("param.")] = value
        project = client.get_experiment(run.info.experiment_id).name
        held.about = {**run.data.tags, "name": run.info.run_name, "project": project, "start": run.info.start_time}
        if uri is None:
            root = Path(run.info.artifact_uri.removeprefix("file://"))
            held.files = {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for name, value in held.params.items():
            if "(whole in " in value:
                held.params[name] = held.files[value.partition("(whole in ")[2].removesuffix(")")].decode()
        return held


class WandBTool:
    name = "wandb"
    within = 1e-6
    states: ClassVar = {"COMPLETED": "COMPLETED 0", "FAILED": "FAILED 1", "INTERRUPTED": "INTERRUPTED 130"}

    def mirror(self, folder: Path) -> Mirror:
        return WandB(folder=folder)

    def holds(self, value: float) -> float:
        return value

    def read(self, folder: Path) -> Held:
        records: Any = import_module("wandb.proto.wandb_internal_pb2")
        (file,) = (folder / "wandb").glob("offline-run-*/*.wandb")
        held = Held()
        config: dict[str, Any] = {}
        found: list[Any] = []
        limit = time.monotonic() + 30
        # W&B's own process writes the last records after the run was told to finish.
        while not any(each.WhichOneof("record_type") == "exit" for each in found):
            assert time.monotonic() < limit, "W&B did not finish its file"
            time.sleep(0.05)
            found = [records.Record.FromString(data) for data in _leveldb_records(file.read_bytes())]
        for record in found:
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
                held.about = {"id": run.run_id, "project": run.project, "name": run.display_name, "notes": run.notes}
                held.about["tags"] = list(run.tags)
            if kind in ("run", "config"):
                updates = record.run.config.update if kind == "run" else record.config.update
                for item in updates:
                    config[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
            if kind == "history":
                row = {
                    item.key or ".".join(item.nested_key): json.loads(item.value_json, parse_int=_number)
                    for item in record.history.item
                }
                assert row["_step"] == record.history.step.num
                held.about.setdefault("steps", []).append((row["_step"], row["step"]))
                for name in row.keys() - {"_step", "_timestamp", "_runtime", "step"}:
                    held.points.setdefault(name, []).append((row["step"], float(row[name]), row["_timestamp"]))
            if kind == "artifact":
                made = record.artifact
                for entry in made.manifest.contents:
                    path = entry.path if entry.path == made.name else f"{made.name}/{entry.path}"
                    held.files[path] = Path(entry.local_path).read_bytes()
                held.about[f"artifact {made.name}"] = json.loads(made.metadata)
            if kind == "exit":
                held.state = f"{config['repro/state']} {record.exit.exit_code}"
        for key in list(config):
            if key.startswith("repro/name/"):
                held.names[key.removeprefix("repro/name/")] = config[key]
            if key.startswith("repro") or key == "_wandb":
                held.about[key] = config.pop(key)
        held.params = {name: as_text(value) for name, value in flat(config)}
        return held


def _number(digits: str) -> float:
    # What JSON writes as "-0" was a float.
    return -0.0 if digits == "-0" else int(digits)


def _leveldb_records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log of LevelDB: blocks of 32 KiB; W&B's own header is the first 7 bytes."""
    place, kept = 7, b""
    while place + 7 <= len(data):
        room = 32768 - place % 32768
        if room < 7:
            place += room
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part = data[place + 7 : place + 7 + length]
        place += 7 + length
        if len(part) < length or not kind:
            return
        kept = kept + part if kind in (3, 4) else part
        if kind in (1, 4):
            yield kept


TOOLS: dict[str, Any] = {"tensorboard": TensorBoardTool(), "mlflow": MLflowTool(), "wandb": WandBTool()}
