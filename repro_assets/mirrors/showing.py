"""What of an artifact a person could look at: pictures and short texts.

Law: only what is small enough is read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from repro_assets.artifacts.handle import Artifact
from repro_assets.artifacts.kinds import DECODERS
from repro_assets.mirrors.holding import as_json
from repro_assets.store.objects import concatenate
from repro_assets.store.opening import open_objects

MOST_PICTURE_BYTES = 8 << 20
MOST_TEXT_BYTES = 64 << 10
MOST_PARTS = 64
_PICTURES = ("PNG", "JPEG", "GIF", "WEBP")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is in its file, and its size in pixels."""

    data: bytes
    width: int
    height: int


def shown_parts(artifact: Artifact) -> Iterator[tuple[str, Picture | str]]:
    """Yield the pictures and short texts of an artifact, each with its path in it (empty for a single file).

    Tensors, tables and buffers have none, and of a folder at most `MOST_PARTS` files are looked at.

    Raises
    ------
    MissingObject, CorruptObject
        If bytes are gone or do not match.
    """
    if artifact.kind not in ("bytes", "tree", "json"):
        return
    objects = open_objects(artifact.home, DECODERS)
    entries = [entry for entry in artifact.manifest.entries if entry.objects]
    for entry in entries[:MOST_PARTS]:
        if entry.size > MOST_PICTURE_BYTES:
            continue
        if artifact.kind == "json":
            if entry.size <= MOST_TEXT_BYTES:
                yield "", as_json(artifact.load())
            continue
        part = _looked_at(concatenate(objects, entry.objects))
        if part is not None:
            yield entry.name if artifact.kind == "tree" else "", part


def _looked_at(data: bytes) -> Picture | str | None:
    if len(data) <= MOST_TEXT_BYTES and b"\0" not in data:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=_PICTURES) as picture:
            return Picture(data, *picture.size)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return None
