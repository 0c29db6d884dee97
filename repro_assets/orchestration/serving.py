"""Dagster's webserver and daemon on this machine, with the variables that recipes need before Python starts."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from repro_assets.capture.project import project_root
from repro_assets.determinism.mode import Mode
from repro_assets.errors import MachineError, ReusedElsewhere
from repro_assets.orchestration.code_locations import code_location
from repro_assets.orchestration.request import environment
from repro_assets.store.home import Home

ADDRESS = "127.0.0.1"
WORKSPACE = "workspace.yaml"


def serve(home: Home, port: int) -> NoReturn:
    """Become ``dagster dev`` for the project of this folder.

    Parameters
    ----------
    home : Home
        The store; Dagster's own storage lies in it.
    port : int
        A free port of 127.0.0.1.

    Raises
    ------
    ReusedElsewhere
        If something listens there already.
    MachineError
        If the port cannot be had.
    """
    from repro_assets.orchestration.instance import open_instance

    check_free(port)
    root = project_root()
    where = definitions_of(root)
    # The server and the daemon begin at the same moment; here the tables are made, if they are not.
    open_instance(home).dispose()
    os.chdir(root)
    default_endings()
    words = [sys.executable, "-m", "dagster", "dev", "-h", ADDRESS, "-p", str(port), *where]
    os.execve(sys.executable, words, environment(home, Mode()))


def definitions_of(root: Path) -> list[str]:
    """Return the options that name the definitions of a project: its workspace.yaml, or else its module.

    Raises
    ------
    InvalidInput
        If the folder belongs to no project.
    """
    if (root / WORKSPACE).is_file():
        return ["-w", WORKSPACE]
    module, attribute = code_location(root)
    return ["-m", module, "-a", attribute]


def default_endings() -> None:
    """Let SIGINT and SIGTERM end the program that this process becomes.

    A shell script starts what it puts into the background with SIGINT ignored; that outlives exec, and Dagster does
    with SIGTERM what is done with SIGINT.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_DFL)


def check_free(port: int) -> None:
    """Raise if nothing can listen on this port."""
    with socket.socket() as probe:
        # As the server does; a connection that is still closing does not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ReusedElsewhere(f"port {port} is taken", "choose another with --port") from error
            raise MachineError(f"port {port} cannot be had: {error.strerror}", "choose one above 1023") from error
