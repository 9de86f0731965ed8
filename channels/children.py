"""What the parents of processes share: signals that wake a loop, and words for how a child ended.

What a parent does with its children is its own: ``channels.worker.keeper``, ``daphne.processes``.
"""

import os
import selectors
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["ending", "sentence", "waking"]


@contextmanager
def waking(
    selector: selectors.BaseSelector,
    numbers: Sequence[signal.Signals],
    signalled: Callable[[int], None],
) -> Iterator[None]:
    """Have signals wake a loop over ``selector``; ``signalled`` reads them from a descriptor.

    Their numbers are bytes in a pipe. At the end the selector is closed. For the main thread.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    selector.register(reading, selectors.EVENT_READ, lambda: signalled(reading))
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    earlier = {number: signal.signal(number, _do_nothing) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        selector.close()
        os.close(reading)
        os.close(writing)


def ending(code: int) -> str:
    """How a child ended, by what ``Popen.returncode`` is, as a sentence has it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # one of the real-time signals, which have no names
        return f"signal {-code}"


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """What Python runs for the signals, so that its C handler writes to the pipe."""
