"""The audit events by which Python tells what a process reads.

Laws: the hook cannot be removed, so it is set once, when the first window opens, and only compares while none is open;
it opens nothing, imports nothing and waits for nothing, and never raises into the program.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from repro_assets.capture.undeclared import NETWORK, Window

_windows: tuple[Window, ...] = ()
_lock = threading.RLock()
_is_set = False
_asked: dict[int, tuple[str, Any]] = {}
"""Name and port that each thread looked up last: it connects to an address of them."""


def open_window(window: Window) -> None:
    """Note in `window` from now on what this process reads."""
    global _windows, _is_set
    with _lock:
        _windows = (*_windows, window)
        if not _is_set:
            _is_set = True
            sys.addaudithook(_hook)


def close_window(window: Window) -> None:
    """Note nothing more in `window`; of one that is not open nothing changes."""
    global _windows
    with _lock:
        _windows = tuple(each for each in _windows if each is not window)
        if not _windows:
            _asked.clear()


def open_windows() -> tuple[Window, ...]:
    """Return the windows that are open."""
    return _windows


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Nearly all events of a training step are of `id`, which the hash of a tensor calls; none heard is before "open".
    if event == "builtins.id" or event < "open" or not _windows:
        return
    handler = _HANDLERS.get(event)
    if handler is not None:
        try:
            handler(arguments)
        except Exception as error:  # noqa: BLE001 (it must not reach the program; the window tells it)
            for window in _windows:
                window.failed = f"{event}: {type(error).__name__}: {error}"


def _opened(arguments: tuple[Any, ...]) -> None:
    path, mode, flags = arguments
    if isinstance(path, int):
        return
    whole = _whole(path)
    if isinstance(mode, str):
        reads, updates = mode[:1] == "r", "+" in mode and mode[:1] in "ra"
        keeps = mode[:1] in "ra"
    else:
        access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
        keeps = not flags & (os.O_TRUNC | os.O_EXCL)
        reads, updates = access == os.O_RDONLY, access == os.O_RDWR and keeps
    for window in _windows:
        if reads or updates:
            window.read(whole, updates=updates)
        else:
            window.write(whole, keeps=keeps)


def _database(arguments: tuple[Any, ...]) -> None:
    path = arguments[0] if isinstance(arguments[0], str) else os.fsdecode(arguments[0])
    # A name with "file:" before it is a URI: https://www.sqlite.org/uri.html
    if path.startswith("file:"):
        path = path.removeprefix("file:").partition("?")[0]
        path = "/" + path.removeprefix("//").partition("/")[2] if path.startswith("//") else path
    if path and not path.startswith(":memory:"):
        for window in _windows:
            window.read(_whole(path), updates=True)


def _looked_up(arguments: tuple[Any, ...]) -> None:
    host, port = arguments[0], arguments[1] if len(arguments) > 1 else None
    if not host:
        return
    host = host.decode("ascii", "backslashreplace") if isinstance(host, bytes) else str(host)
    name = _address(host, port)
    _asked[threading.get_ident()] = name, port
    for window in _windows:
        window.meet(NETWORK, name)


def _connected(arguments: tuple[Any, ...]) -> None:
    address = arguments[1]
    if isinstance(address, tuple) and len(address) > 1 and isinstance(address[0], str):
        name, port = _asked.get(threading.get_ident(), ("", None))
        # A service that was looked up by its name, such as "https", may have any port.
        if not name or (isinstance(port, int) and port != address[1]):
            name = _address(address[0], address[1])
    elif isinstance(address, (str, bytes)):
        path = os.fsdecode(address)
        # So the processes of one program talk to each other: multiprocessing.util and .connection have these names.
        if "/pymp-" in path or path.lstrip("\0").startswith("listener-"):
            return
        name = f"unix:{path.replace(chr(0), '@')}"
    else:
        return
    for window in _windows:
        window.meet(NETWORK, name)


def _address(host: str, port: Any) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, "", 0) else f"{shown}:{port}"


_HANDLERS: Final[dict[str, Callable[[tuple[Any, ...]], None]]] = {
    "open": _opened,
    "sqlite3.connect": _database,
    "socket.getaddrinfo": _looked_up,
    "socket.gethostbyname": lambda arguments: _looked_up(arguments[:1]),
    "socket.connect": _connected,
    "socket.sendto": _connected,
}


def _whole(path: Any) -> str:
    text = path if isinstance(path, str) else os.fsdecode(path)
    return text if text.startswith("/") else f"{os.getcwd()}/{text}"  # noqa: PTH109 (cheaper, and without an event)


def _forked() -> None:
    global _lock
    _lock = threading.RLock()
    for window in _windows:
        window.restart()


os.register_at_fork(after_in_child=_forked)
