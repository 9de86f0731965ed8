"""The processes of a live server, as the test run holds them.

Each is a fresh interpreter that runs one of ``channels.test.services``: nothing is inherited by
accident, whatever threads and connections the test run has. It takes commands from its standard
input and ends when that closes, which the operating system does for a test run that was killed;
what it has to say comes through a pipe. Its standard error is that of the test run.
"""

import json
import os
import pickle
import select
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

from channels.exceptions import LiveServerError
from channels.test.environment import Environment

__all__ = ["LiveServerProcess", "ProtocolServerProcess", "WorkerProcess"]

#: Seconds that a process may take to load the project and to listen.
START_TIMEOUT = 60.0

#: Seconds that running consumers and open connections are given at the end of a test.
STOP_TIMEOUT = 10.0

#: The first words of a process: they make the project's modules importable, then the rest.
_BOOTSTRAP = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from channels.test.services import main; main()"
)


class LiveServerProcess:
    """One process, which can be started and stopped again and again.

    ``environment`` is what it runs the project in; ``options`` are for the service.
    """

    #: The dotted path of the service that it runs; it need be importable in that process only.
    service = ""

    def __init__(self, environment: Environment, options: Mapping[str, Any]) -> None:
        self._environment = environment
        self._options = dict(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._reports = _Reports()
        #: What the service said when it was ready, such as its port.
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int | None:
        """The number of the process, None while there is none."""
        return None if self._process is None else self._process.pid

    def begin_start(self) -> None:
        """The first half of ``start``: several processes load the project at the same time."""
        if self._process is None:
            self._launch()
        self._command("start")

    def finish_start(self) -> None:
        """The second half of ``start``. Raises ``LiveServerError`` with what went wrong."""
        self.ready = self._expect("ready", START_TIMEOUT)

    def start(self) -> None:
        """Have it serve; returns when it does."""
        self.begin_start()
        self.finish_start()

    def stop(self) -> None:
        """Have it finish what it is at and serve no more; it stays, to be started again.

        One that does not stop in time is killed, with a warning. Raises ``LiveServerError`` where
        it has ended by itself.
        """
        if self._process is None:
            return
        self._command("stop")
        try:
            self._expect("stopped", STOP_TIMEOUT)
        except TimeoutError:
            warnings.warn(
                f"{self} did not stop within {STOP_TIMEOUT:.0f} s, perhaps for a consumer that "
                "does not return; it was killed",
                RuntimeWarning,
                stacklevel=2,
            )
            self.kill()

    def kill(self) -> None:
        """End it as a crash does. The next ``start`` makes another one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _reap(process)
            self._reports.close()

    def end(self) -> None:
        """See that nothing of it is left; a process that serves gets the time to stop."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        try:
            process.stdin.close()
        except OSError:
            pass  # it ended before it had read everything
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def renew(self, environment: Environment) -> bool:
        """Have it run the project in another environment; whether it has to be started for that.

        It ends where it runs in one that differs.
        """
        if environment == self._environment:
            return False
        self._environment = environment
        runs = self._process is not None
        self.end()
        return runs

    def _launch(self) -> None:
        self._reports, theirs = _Reports.make()
        try:
            process = self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP],
                stdin=subprocess.PIPE,
                pass_fds=[theirs],
                # Ctrl-C in a terminal is for the test run, which then ends its processes.
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        assert process.stdin is not None
        options = self._options | self.ready  # a second one takes the place of the first
        task = {"service": self.service, "reports": theirs, "options": options}
        try:
            pickle.dump(self._environment.path, process.stdin)
            pickle.dump(self._environment, process.stdin)
            pickle.dump(task, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; that is found out when its first report is read

    def _command(self, word: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # as above

    def _expect(self, word: str, timeout: float) -> dict[str, Any]:
        """The details of the report ``word``, which has to be the next one."""
        try:
            report = self._reports.next(timeout)
        except EOFError:
            raise self._ended() from None
        except TimeoutError:
            if word == "ready":
                self.kill()
                raise LiveServerError(f"{self} was not ready within {timeout:.0f} s") from None
            raise
        if report["report"] == word:
            return dict(report["details"])
        self.kill()
        raise LiveServerError(f"{self} failed:\n{report['details']['traceback']}")

    def _ended(self) -> LiveServerError:
        process, self._process = self._process, None
        assert process is not None
        self._reports.close()
        code = _reap(process)
        return LiveServerError(
            f"{self} ended by itself with exit code {code}; standard error has what it said"
        )

    def __str__(self) -> str:
        return f"The {type(self).__name__} of the live server"


class ProtocolServerProcess(LiveServerProcess):
    """The process that runs Daphne. Options: ``host``, and ``port``, 0 for a free one."""

    service = "channels.test.services.ProtocolServer"


class WorkerProcess(LiveServerProcess):
    """The process that runs consumers. Options: ``n_threads``, and ``serve_static``."""

    service = "channels.test.services.Workers"


class _Reports:
    """The reading end of a process's pipe; a report is a line of JSON."""

    def __init__(self, descriptor: int = -1) -> None:
        self._descriptor = descriptor
        self._read = b""

    @classmethod
    def make(cls) -> "tuple[_Reports, int]":
        """One of a new pipe, and the descriptor of the end that is written to."""
        ours, theirs = os.pipe()
        return cls(ours), theirs

    def next(self, timeout: float) -> dict[str, Any]:
        """The next report. Raises ``TimeoutError``, and ``EOFError`` when the process has ended."""
        deadline = time.monotonic() + timeout
        poll = select.poll()  # unlike select(), for descriptors of any number
        poll.register(self._descriptor, select.POLLIN)
        while b"\n" not in self._read:
            left = max(0.0, deadline - time.monotonic())
            if not poll.poll(left * 1000):
                raise TimeoutError
            data = os.read(self._descriptor, 65536)
            if not data:
                raise EOFError
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        report: dict[str, Any] = json.loads(line)
        return report

    def close(self) -> None:
        """Read no more."""
        os.close(self._descriptor)


def _reap(process: "subprocess.Popen[bytes]") -> int:
    """Take leave of a process that is ending: its exit code."""
    if process.stdin is not None:
        try:
            process.stdin.close()
        except OSError:
            pass  # what it never read cannot be written
    return process.wait(STOP_TIMEOUT)
