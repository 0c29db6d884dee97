"""What is made to fail with a remote: a push, a pull, and a pull of one artifact.

A remote is looked at through a store that has never seen it: that pulls everything and is checked in full.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy
from fault_operations import WEIGHTS, Operation, check_tree_of, home_of, make_tree, recorded_versions

from repro_assets.artifacts import names, repository, sharing
from repro_assets.artifacts.soundness import check_store
from repro_assets.store.home import Home, make_store
from repro_assets.store.remote import fetching, sending
from repro_assets.store.remote import objects as remote_objects

SHARED = {
    "tree": lambda folder: folder / "tree",
    "weights": lambda folder: WEIGHTS[0],
    "json": lambda folder: {"a": [1]},
}


def _in_order() -> None:
    # With one lane the calls come in one order, so that every one of them has its turn.
    sending._LANES = fetching.LANES = remote_objects.LANES = sharing.LANES = 1


def _share(folder: Path, home: Home) -> None:
    for collection, value in SHARED.items():
        repository.claim(repository.put(home, value(folder)), collection)


def _make_pushed(folder: Path) -> None:
    (folder / "remote").mkdir()
    sharing.push(home_of(folder), str(folder / "remote"))
    make_tree(folder)
    _share(folder, home_of(folder))


def _make_pullable(folder: Path) -> None:
    make_tree(folder)
    source = make_store(folder / "source")
    (folder / "remote").mkdir()
    _share(folder, source)
    assert sharing.push(source, str(folder / "remote")).ok


def _push(folder: Path) -> bool:
    _in_order()
    return sharing.push(home_of(folder), str(folder / "remote")).ok


def _pull(folder: Path) -> bool:
    _in_order()
    return sharing.pull(home_of(folder), str(folder / "remote")).ok


def _pull_one(folder: Path) -> bool:
    _in_order()
    return sharing.pull(home_of(folder), str(folder / "remote"), ["tree:v1"]).ok


def _from_remote(folder: Path) -> Home:
    """Return a new store that has everything of the remote, and has been checked."""
    home = make_store(Path(tempfile.mkdtemp(dir=folder)) / "store")
    pulled = sharing.pull(home, str(folder / "remote"))
    assert pulled.ok, pulled
    found = check_store(home, full=True)
    assert found.ok, found.document()
    return home


def _check_remote_has_what_it_had(folder: Path) -> None:
    home = _from_remote(folder)
    assert repository.handle(home, names.newest(home, "earlier")).load() == {"earlier": [1, 2, 3]}


def _check_shared(folder: Path, home: Home, collections: tuple[str, ...] = tuple(SHARED)) -> None:
    for collection in collections:
        artifact = repository.handle(home, names.version(home, collection, 1))
        if collection == "tree":
            check_tree_of(artifact, folder)
        elif collection == "weights":
            assert (numpy.asarray(artifact.load()["layer"]) == WEIGHTS[0]["layer"]).all()
        else:
            assert artifact.load() == SHARED[collection](folder)


def _check_pulled_one(folder: Path, result: Any) -> None:
    home = home_of(folder)
    _check_shared(folder, home, ("tree",))
    assert ("tree", 1) in recorded_versions(home)


OPERATIONS = [
    Operation(
        "push",
        _push,
        lambda folder, result: _check_shared(folder, _from_remote(folder)),
        _make_pushed,
        _check_remote_has_what_it_had,
        remote=True,
    ),
    Operation(
        "pull", _pull, lambda folder, result: _check_shared(folder, home_of(folder)), _make_pullable, remote=True
    ),
    Operation("pull one artifact", _pull_one, _check_pulled_one, _make_pullable, remote=True),
]
