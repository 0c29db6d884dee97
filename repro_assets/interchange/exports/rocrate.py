"""The format ``rocrate``: runs as a Workflow Run RO-Crate, a folder or a zip.

Laws: a crate says which profile it conforms to by what is on record: Provenance Run Crate where every workflow in it
orchestrated tools, Workflow Run Crate where there is a workflow, Process Run Crate always. What the store has lost is
an entity that says so, and the crate is not verified then. Nothing in it tells when it was made. There is no preview:
the library's template writes names as they are into a page.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repro_assets.errors import from_os_error
from repro_assets.extras import need
from repro_assets.interchange.exports.crate import Crate
from repro_assets.interchange.exports.crate_files import Folder, zipped
from repro_assets.interchange.exports.crate_runs import Runs
from repro_assets.interchange.exports.described import describe
from repro_assets.interchange.formats import Exported, Request, joined
from repro_assets.interchange.subjects import ended_runs
from repro_assets.interchange.targets import new_folder, target_file
from repro_assets.store.home import refuse_own

ZIP = ".zip"


def export(request: Request) -> Exported:
    """Write the crate of runs; an artifact means the run that made it.

    Raises
    ------
    UnknownName, AmbiguousName, InvalidValue
        If nothing is called so, a run goes on, or the library is not installed.
    CorruptObject
        If bytes of what it is about do not match.
    InvalidInput, ReusedElsewhere, MachineError
        If the folder or file cannot be written.
    """
    need("rocrate")
    ids = ended_runs(request.home, request.names)
    described = describe(request.home, ids, anonymous=request.anonymize)
    with _target(request) as (folder, path):
        runs = Runs(request.home, described, Crate(folder), Folder(folder), request.progress)
        runs.add_all()
        runs.crate.write()
    return Exported(path, "rocrate", joined(request.names), None, not runs.notes, runs.facts(), tuple(runs.notes))


@contextmanager
def _target(request: Request) -> Iterator[tuple[Path, Path]]:
    """Give an empty folder to fill and the path under which it shows, whole, when it is."""
    to = request.path
    try:
        if to.suffix.lower() != ZIP or to.is_dir():
            with new_folder(to) as made:
                yield made, to
            return
        path = target_file(to, to.name, force=request.force)
        refuse_own(path)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.resolve().parent) as beside:
            folder = Path(beside, "crate")
            folder.mkdir()
            yield folder, path
            zipped(folder, Path(beside, path.name))
            shutil.rmtree(folder)
            Path(beside, path.name).replace(path.resolve())
    except OSError as error:
        raise from_os_error(error, to) from error
