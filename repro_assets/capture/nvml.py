"""NVIDIA's library of the driver, as a module.

Law: where there is no driver, its module, which takes longer to load than all else that is asked, is not loaded.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from typing import Any


def load() -> Any:
    """Return `pynvml`; nothing is begun with it.

    Raises
    ------
    ImportError
        If it is not installed.
    OSError
        If this machine has no driver.
    """
    if sys.platform == "linux" and "pynvml" not in sys.modules:
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError as error:
            raise OSError("NVML Shared Library Not Found") from error
    with warnings.catch_warnings():
        # The alias package warns about its own name at import; the module is the same one.
        warnings.simplefilter("ignore", FutureWarning)
        import pynvml
    return pynvml
