"""Git's command line, asked a question.

Laws: nothing is written, neither to ``.git`` nor beside it: optional locks are off, the index is not refreshed, no
hook, file-system monitor, external diff, text conversion or large-file filter is started, and no variable of a
surrounding git process redirects the question. A repository of another user is read all the same, because reading it
runs none of its programs; git before 2.38 takes no such exception from its command line and refuses.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from repro_assets.errors import MachineError

_KEPT = frozenset(
    {"GIT_CEILING_DIRECTORIES", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}
)
_SETTINGS = (
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "color.ui=false",
    "diff.autoRefreshIndex=false",
    "status.relativePaths=false",
    "log.showSignature=false",
    "filter.lfs.clean=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
)


def start(
    folder: Path, top: Path, question: Sequence[str], *, offline: bool = False, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start git with a question.

    Parameters
    ----------
    folder : Path
        Where it is asked.
    top : Path
        The top of the repository.
    question : sequence of str
        The words after ``git``.
    offline : bool
        Whether objects that a partial clone has not fetched are missing, and those that others replace are themselves.
    stdin : int
        What it reads, as `subprocess` names it.

    Raises
    ------
    MachineError
        If git cannot be started.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    variables.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
    if offline:
        # The second is known to git since 2.45; the first, before any configuration of the repository's, since 2.12.
        variables.update(GIT_ALLOW_PROTOCOL="none", GIT_NO_LAZY_FETCH="1", GIT_NO_REPLACE_OBJECTS="1")
    settings = [part for setting in (*_SETTINGS, f"safe.directory={top}") for part in ("-c", setting)]
    try:
        return subprocess.Popen(
            ["git", "--no-pager", *settings, *question],
            cwd=folder,
            env=variables,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise MachineError(f"git cannot be started: {error.strerror}", "install git") from error
