"""The tables of a new database of MLflow, which take MLflow seconds to make and are the same in each.

Laws: MLflow itself makes them, once for each of its versions; an empty database is kept in the cache of the store, and
copied from then on. One that does not read is made again.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from repro_assets.mirrors.mlflow_writing import Place
from repro_assets.store import durable
from repro_assets.store.home import Home


def new_database(home: Home, database: Path, artifacts: Path) -> Place:
    """Make a database of MLflow in which there are no runs.

    Parameters
    ----------
    home : Home
        The store, in whose cache an empty one is kept.
    database : Path
        The file, which is not there.
    artifacts : Path
        Where its runs will have their artifacts.
    """
    import mlflow

    kept = home.cache / f"mlflow-{mlflow.__version__}.db"
    place = Place(f"sqlite:///{database}", str(artifacts))
    if _is_sound(kept):
        shutil.copyfile(kept, database)
        return place
    with place.asking() as client:
        client.search_experiments(max_results=1)
    empty = database.with_name(f"{database.name}.empty")
    try:
        with contextlib.closing(sqlite3.connect(database)) as made, contextlib.closing(sqlite3.connect(empty)) as copy:
            made.backup(copy)
            # Where its artifacts are is another place each time; MLflow makes it where there is none.
            copy.execute("DELETE FROM experiments")
            copy.commit()
        durable.replace_file(kept, [empty.read_bytes()], home.temporary)
    finally:
        empty.unlink(missing_ok=True)
    return place


def _is_sound(kept: Path) -> bool:
    if not kept.is_file():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{kept.absolute().as_uri()}?mode=ro", uri=True)) as database:
            (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
            tables = database.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('experiments', 'runs')")
            return bool(sound == "ok" and tables.fetchone() == (2,))
    except sqlite3.DatabaseError:
        return False
