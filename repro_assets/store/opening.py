"""Opening the objects of a store as everybody above does: what is missing comes from its default remote."""

from __future__ import annotations

from collections.abc import Mapping

from repro_assets.store.decoding import Decoder
from repro_assets.store.home import Home
from repro_assets.store.objects import LocalObjects
from repro_assets.store.offline import is_offline


def open_objects(home: Home, decoders: Mapping[str, Decoder] | None = None) -> LocalObjects:
    """Open the objects of a store; those that are missing come from its default remote, if it has one and is asked."""
    fetch = None
    if home.remotes.is_file() and not is_offline():
        from repro_assets.store.remote.fetching import default_fetcher

        fetch = default_fetcher(home, dict(decoders or {}))
    return LocalObjects(home, decoders, fetch)
