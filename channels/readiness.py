"""How a process tells whoever started it that it works, and that it stops.

It tells three at a time, those of them that are there:

- systemd, by datagrams to the socket that ``NOTIFY_SOCKET`` names (sd_notify(3));
- supervisor, by ``PROCESS_COMMUNICATION`` events, which are tokens on the standard output
  (supervisor's manual, Events), with the same words;
- anybody, by a file that holds the number of the process for as long as it is ready.

Workers, the delay server and Daphne each know when they are; here is only how it is said.
"""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Readiness", "is_ready"]

logger = logging.getLogger("channels.readiness")

#: What supervisor looks for in the standard output of a program.
_BEGIN, _END = "<!--XSUPERVISOR:BEGIN-->", "<!--XSUPERVISOR:END-->"

#: Seconds that systemd may take to read a datagram.
_PATIENCE = 1.0

_READY, _RELOADING, _STOPPING = "READY=1", "RELOADING=1", "STOPPING=1"


class Readiness:
    """The state of this process, as others are told it.

    A context manager, at the end of which the process stops. May be used by any thread. A process
    that is forked off says nothing: it is another one.
    """

    def __init__(
        self, file: str | None = None, environ: MutableMapping[str, str] | None = None
    ) -> None:
        """``file`` is a path in a folder that exists; what is left there of a process that was
        killed is removed.

        ``environ`` tells of systemd and supervisor, by default that of the process; the variable of
        the former is taken out, so that it is not inherited. Raises ``OSError`` where the file
        could not be written.
        """
        environ = os.environ if environ is None else environ
        self._socket = environ.pop("NOTIFY_SOCKET", "")
        self._supervised = "SUPERVISOR_ENABLED" in environ
        self._file = None if file is None else Path(file).absolute()
        self._pid = os.getpid()
        self._state = ""
        self._lock = threading.Lock()
        if self._file is not None:
            self._write(self._file)
            self._file.unlink()

    @property
    def is_watched(self) -> bool:
        """Whether anybody is told."""
        return bool(self._socket or self._supervised or self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping()

    def ready(self, status: str = "") -> None:
        """It works, or works again after ``reloading``. ``status`` is for people, in one line.

        Where the file cannot be written any more, that is an error in the log: what works goes on.
        """
        with self._lock:
            if self._enters(_READY):
                self._show()
                self._tell(_READY, f"STATUS={status}" if status else "")

    def reloading(self) -> None:
        """It works, and is about to do so in another way; ``ready`` follows."""
        with self._lock:
            if self._enters(_RELOADING):
                self._tell(_RELOADING, f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It is about to end; nothing is said after this."""
        with self._lock:
            if self._enters(_STOPPING):
                self._remove()
                self._tell(_STOPPING)

    def _enters(self, state: str) -> bool:
        """Whether there is something new to say."""
        if self._state in (state, _STOPPING) or os.getpid() != self._pid:
            return False
        self._state = state
        return True

    # -- the file ---------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._file is not None:
            try:
                self._write(self._file)
            except OSError as error:
                logger.error("The ready file %s cannot be written: %s", self._file, error.strerror)

    def _write(self, file: Path) -> None:
        """Put the file in place, whole, whatever was there."""
        new = file.parent / f".{file.name}.{self._pid}"
        new.unlink(missing_ok=True)
        with new.open("x", encoding="ascii") as writing:
            writing.write(f"{self._pid}\n")
        try:
            new.replace(file)
        except OSError:
            new.unlink()
            raise

    def _remove(self) -> None:
        """Remove the file, unless another process has taken the place of this one in it."""
        if self._file is not None and is_ready(self._file, self._pid):
            with suppress(OSError):
                self._file.unlink()

    # -- messages ---------------------------------------------------------------------------------

    def _tell(self, state: str, more: str = "") -> None:
        if self._socket:
            self._notify("\n".join(filter(None, (state, more.replace("\n", " ")))))
        if self._supervised:
            with suppress(OSError, ValueError, AttributeError):  # there is no standard output
                sys.stdout.write(f"{_BEGIN}{state}{_END}\n")
                sys.stdout.flush()

    def _notify(self, text: str) -> None:
        # A leading @ stands for the zero byte of an abstract name (unix(7)).
        address = f"\0{self._socket[1:]}" if self._socket.startswith("@") else self._socket
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.settimeout(_PATIENCE)
                sending.sendto(text.encode(), address)
        except OSError as error:
            logger.warning("NOTIFY_SOCKET %s was not told %r: %s", self._socket, text, error)


def is_ready(file: str | os.PathLike[str], pid: int) -> bool:
    """Whether ``file`` says that the process ``pid`` is ready.

    What a process that was killed has left there does not count, as the number is another.
    """
    try:
        return Path(file).read_text(encoding="ascii").strip() == str(pid)
    except (OSError, UnicodeDecodeError):
        return False
