"""What an optional part of the project needs and may not be installed.

Law: what is missing is said before anything is written, with the command that brings it.
"""

from __future__ import annotations

import importlib.util

from repro_assets.errors import InvalidValue


def need(module: str, extra: str | None = None) -> None:
    """Check that a module of an extra is installed; it is not imported.

    Parameters
    ----------
    module : str
        The module that is about to be imported.
    extra : str, optional
        The extra that brings it; called as the module if left out.

    Raises
    ------
    InvalidValue
        If it is not installed.
    """
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        # Of a module in a package that is not there either.
        found = None
    # A folder called `wandb` or `tensorboard`, such as one with their runs, is found too, and is no package.
    if found is None or found.origin is None:
        raise InvalidValue(f"{module} is not installed", f"pip install 'repro-assets[{extra or module}]'")
