"""Signals that end a training, taken in until the step that is being made is whole.

Laws: the first SIGTERM or SIGINT is only noted, and whoever asked for it learns of it through `Interruption.number`; a
second one does not wait; a noted signal is never lost: `deliver`, or the end of the scope, gives it to the handler that
was there before; what the signals did before holds again after the scope. In a thread that is not the main one nothing
is taken in, because Python runs handlers in the main thread alone; neither is a signal that was being ignored.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """A scope in which SIGTERM and SIGINT wait.

    Attributes
    ----------
    number : int or None
        The signal that waits.
    hasty : bool
        A second one came: nothing is to be waited for any more.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.hasty = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._install()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._remove()
        if self.number is not None and not self.hasty:
            number, self.number = self.number, None
            _give(number, self._before[number], None)

    def deliver(self, number: int | None = None) -> None:
        """Give the signal that waits, if one does, to the handler before; where that returns, signals wait again.

        Parameters
        ----------
        number : int, optional
            A signal that another process was given and that counts for this one too, where none waits here.

        Raises
        ------
        SystemExit
            With 128 + the signal's number, where nothing handled it before: what is open can end in good order.
        """
        number = self.number or number
        if number is None:
            return
        self._remove()
        # Only once it has returned: what it raises is the end of the scope, which gives no signal twice.
        self.number = None
        _give(number, self._before.get(number, signal.SIG_DFL), None)
        self._install()

    def _install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.getsignal(number)
            # None is a handler that Python did not install and cannot put back.
            if before is not signal.SIG_IGN and before is not None:
                self._before[number] = before
                signal.signal(number, self._take)

    def _remove(self) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            return
        self.hasty = True
        self._remove()
        _give(number, self._before[number], frame)
        # What was there before did not mind.
        self.hasty = False
        self._install()


def _give(number: int, handler: Any, frame: FrameType | None) -> None:
    if handler is signal.SIG_DFL:
        raise SystemExit(128 + number)
    handler(number, frame)
