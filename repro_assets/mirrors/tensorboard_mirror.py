"""TensorBoard: an event file in a folder of the run's own, written with TensorBoard's own record writer.

Laws: what one call writes lies in the file whole or not at all: after a failed write the file is cut back, because a
reader stops at a torn record. Scalars are in the form that every reader of event files knows, which holds a value in 32
bits; finite values beyond that become infinities, and are written as text under `repro/beyond_32_bits`. Steps and times
are exact. The parameters known before the first point are the session's hyperparameters; all of them are text under
`repro/params`, the newest last.
"""

from __future__ import annotations

import io
import math
import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from repro_assets.artifacts.handle import Artifact
from repro_assets.mirrors.holding import Names, Steps, as_json, as_text, fits_64_bits, flat, holdable
from repro_assets.mirrors.mirror import MirroredRun, Refused
from repro_assets.mirrors.showing import Picture, shown_parts
from repro_assets.recording.readings import Point

FOLDER = Path("runs")
ENDED = ("COMPLETED", "FAILED", "INTERRUPTED")
# Half a unit above the greatest number of 32 bits: what is not below it rounds to infinity.
_BEYOND = 2.0**128 - 2.0**103
_MOST_INTEGER = 2**53


class TensorBoard:
    """A run as event file.

    Parameters
    ----------
    folder : Path
        The log folder that TensorBoard is given; the run gets a folder in it.
    clock : callable
        Seconds since 1970, for what has no time of its own.
    writer : str, optional
        How the name of the event file ends, which no other one of the run's does; host, process and time if left out.
    """

    name = "tensorboard"

    def __init__(
        self, folder: Path = FOLDER, *, clock: Callable[[], float] = time.time, writer: str | None = None
    ) -> None:
        # The process may go to another folder while it works.
        self._folder = folder.absolute()
        self._clock = clock
        self._writer = writer
        self._file: IO[bytes] | None = None
        self._size = 0
        self._steps = Steps()
        self._names = Names(r"(?!)", 1000, r"_hparams_/.*|repro/.*|artifacts/.*")
        self._params: dict[str, Any] = {}
        self._session: Any = None
        self._texts: dict[str, int] = {}

    def start(self, run: MirroredRun) -> None:
        """Make the folder and the file."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

        readable = re.sub(r"[^\w.-]", "_", run.name)[:100]
        folder = self._folder / f"{readable}-{run.run_id}"
        folder.mkdir(parents=True, exist_ok=True)
        if self._file is None:
            unique = self._writer or f"{socket.gethostname()}.{os.getpid()}.{time.time_ns()}"
            file = folder / f"events.out.tfevents.{run.started_ns // 10**9:010d}.{unique}"
            self._file = file.open("xb", buffering=0)
        self._params = dict(run.config)
        self._session = SessionStartInfo(group_name=run.run_id, start_time_secs=run.started_ns / 1e9)
        about = {
            "run_id": run.run_id,
            "name": run.name,
            "project": run.project,
            "tags": run.tags,
            "notes": run.notes,
        }
        when = run.started_ns / 1e9
        events = [Event(wall_time=when, file_version="brain.Event:2"), self._text("repro/run", as_json(about), when)]
        if run.config:
            events.append(self._text("repro/params", as_json(self._params), when))
        self._write(events)

    def params(self, params: Mapping[str, Any]) -> None:
        """Write all parameters anew, as text."""
        known = {**self._params, **params}
        self._write([self._text("repro/params", as_json(known))])
        self._params = known

    def metrics(self, points: Sequence[Point]) -> None:
        """Write scalars."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        placed = self._steps.placed(points)
        events, beyond = self._begun(), []
        for name, step, value, taken in placed:
            if not fits_64_bits(step):
                raise Refused(f"TensorBoard holds no step {step}", "steps are integers of 64 bits")
            tag = self._names.held(name)
            if math.isfinite(value) and abs(value) >= _BEYOND:
                beyond.append({"name": name, "step": step, "value": value})
            # Protobuf makes an infinity of what is beyond 32 bits.
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            events.append(Event(wall_time=taken / 1e9, step=step, summary=summary))
        if beyond:
            events.append(self._text("repro/beyond_32_bits", as_json(beyond)))
        renamed = self._names.changed()
        if renamed:
            events.append(self._text("repro/names", as_json(renamed)))
        self._write(events)
        self._steps.taken(placed)
        self._names.told(renamed)
        self._session = None

    def artifact(self, name: str, artifact: Artifact) -> None:
        """Write what it is, and its pictures and short texts."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        tag = holdable(f"artifacts/{name}")
        about = {"kind": artifact.kind, "digest": str(artifact.digest), "version": str(artifact)}
        events = [*self._begun(), self._text(tag, as_json(about))]
        for path, part in shown_parts(artifact):
            place = holdable(f"{tag}/{path}" if path else f"{tag}/content")
            if isinstance(part, Picture):
                picture = Summary.Image(
                    width=part.width, height=part.height, colorspace=4, encoded_image_string=part.data
                )
                summary = Summary(value=[Summary.Value(tag=place, image=picture)])
                events.append(Event(wall_time=self._clock(), step=self._next_text(place), summary=summary))
            else:
                events.append(self._text(place, part))
        self._write(events)
        self._session = None

    def about(self, facts: Mapping[str, Any]) -> None:
        """Write what else is on record of the run, as text."""
        self._write([*self._begun(), self._text("repro/record", as_json(facts))])
        self._session = None

    def end(self, state: str, ended: float | None = None) -> None:
        """Write the state, and close the file."""
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

        when = self._clock() if ended is None else ended
        events = [*self._begun(), self._text("repro/state", state, when, plain=True)]
        if state in ENDED:
            status = api_pb2.STATUS_SUCCESS if state == "COMPLETED" else api_pb2.STATUS_FAILURE
            info = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=when))
            events.append(_hyperparameters("_hparams_/session_end_info", info, when))
        self._write(events)
        if self._file is not None:
            self._file.close()

    def _begun(self) -> list[Any]:
        """Return the event that begins the session, until it is written."""
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        if self._session is None:
            return []
        self._session.hparams.clear()
        for name, value in flat(self._params):
            held = self._session.hparams[holdable(name)]
            if isinstance(value, bool):
                held.bool_value = value
            elif (isinstance(value, float) and math.isfinite(value)) or (
                isinstance(value, int) and abs(value) <= _MOST_INTEGER
            ):
                held.number_value = value
            else:
                held.string_value = as_text(value)
        begun = HParamsPluginData(session_start_info=self._session)
        return [_hyperparameters("_hparams_/session_start_info", begun, self._clock())]

    def _text(self, tag: str, text: str, when: float | None = None, *, plain: bool = False) -> Any:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        # TensorBoard shows Markdown; four spaces show a text as it is.
        shown = text if plain else "\n".join(f"    {line}" for line in text.split("\n"))
        tensor = TensorProto(dtype=DT_STRING, string_val=[shown.encode()], tensor_shape=TensorShapeProto())
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        summary = Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
        moment = self._clock() if when is None else when
        return Event(wall_time=moment, step=self._next_text(tag), summary=summary)

    def _next_text(self, tag: str) -> int:
        self._texts[tag] = self._texts.get(tag, -1) + 1
        return self._texts[tag]

    def _write(self, events: Sequence[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._file is None:
            raise ValueError("the event file is not open")
        made = io.BytesIO()
        writer = RecordWriter(made)
        for event in events:
            writer.write(event.SerializeToString(deterministic=True))
        data = memoryview(made.getbuffer())
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            self._file.truncate(self._size)
            self._file.seek(self._size)
            raise
        self._size += len(data)


def _hyperparameters(tag: str, content: Any, when: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString(deterministic=True))
    value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))
    return Event(wall_time=when, summary=Summary(value=[value]))
