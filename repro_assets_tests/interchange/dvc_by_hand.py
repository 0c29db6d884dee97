"""A DVC repository without git that is written by hand, so that it may be what DVC would not write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from repro_assets.interchange import formats
from repro_assets.interchange.dvc_objects import OBJECTS, object_path
from repro_assets.store.home import Home


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Theirs:
    """A repository without git, written by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".dvc").mkdir(parents=True)

    def keep(self, data: bytes, name: str | None = None, *, legacy: bool = False) -> str:
        """Put bytes into the cache and return what they are called there."""
        name = name or md5(data)
        cache = self.root / ".dvc" / "cache"
        path = object_path(cache if legacy else cache / OBJECTS, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def keep_folder(self, entries: Any) -> str:
        data = json.dumps(entries).encode()
        return self.keep(data, f"{md5(data)}.dir")

    def place(self, name: str) -> Path:
        return object_path(self.root / ".dvc" / "cache" / OBJECTS, name)

    def track(self, path: str, name: str, file: str = "x.dvc", **more: Any) -> None:
        (self.root / file).write_text(json.dumps({"outs": [{"path": path, "md5": name, "hash": "md5"}], **more}))


def taken(home: Home, theirs: Theirs) -> Any:
    return formats.take_in(theirs.root, "dvc", home=home)
