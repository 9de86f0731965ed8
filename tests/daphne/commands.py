"""The ``daphne`` command as processes, over a small application, and a client that never rests."""

import os
import re
import signal
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.daphne.clients import HttpClient, Response
from tests.management.project import ROOT, Interpreter, Process

__all__ = ["Command", "Hammer", "Passed", "get", "write_project"]

#: Seconds between two requests of a client, which leave processors to those that are tested.
_PACE = 0.005

#: Answers with the process and its version; /slow waits for the file "go".
PROJECT = """
import os, threading, time
from channels.layers.inmemory import ChannelLayer

VERSION = 1
channel_layer = ChannelLayer(capacity=1000)

def answer(message):
    while message["path"] == "/slow" and not os.path.exists("go"):
        time.sleep(0.01)
    content = f"{os.getpid()} {VERSION}".encode()
    headers = [[b"Content-Length", str(len(content)).encode()]]
    return {"status": 200, "headers": headers, "content": content}

def work():
    while True:
        channel, message = channel_layer.receive(CHANNELS, block=True)
        if channel == "http.request":
            threading.Thread(target=lambda m=message: channel_layer.send(
                m["reply_channel"], answer(m)), daemon=True).start()
        elif channel:
            channel_layer.send(message["reply_channel"], {"accept": True})

CHANNELS = ["http.request", "websocket.connect"]
threading.Thread(target=work, daemon=True).start()
"""


def write_project(folder: Path, old: str = "", new: str = "") -> None:
    """Write the module ``project``, with ``new`` in the place of ``old``."""
    assert old in PROJECT
    (folder / "project.py").write_text(PROJECT.replace(old, new) if old else PROJECT)


class Command(Process):
    """A running command."""

    def __init__(
        self, folder: Path, *args: str, environment: Mapping[str, str] | None = None
    ) -> None:
        number = len(list(folder.glob("log.*")))
        interpreter = Interpreter(
            environment={"PYTHONPATH": str(ROOT), **(environment or {})},
        )
        super().__init__(folder, ("-m", "daphne", *args), folder / f"log.{number}", interpreter)

    def listening(self) -> str:
        """The line that says what listens where, once it is there."""
        return self.wait_for(r"Listening on .*\n")[0]

    @property
    def port(self) -> int:
        """The first TCP port of that line."""
        found = re.search(r"https?://\S+?:(\d+)[,;]", self.listening())
        assert found is not None, self.output()
        return int(found[1])

    def children(self) -> list[int]:
        """The processes that serve now, as the log names them."""
        self.listening()
        return [int(n) for n in re.findall(r"rocesses ([\d, ]+)", self.output())[-1].split(", ")]

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the command's first process alone."""
        os.kill(self.pid, number)

    def end(self) -> None:
        """See that nothing of it is left."""
        children = re.findall(r"\b\d+\b", " ".join(re.findall(r"rocess.*", self.output())))
        super().end()
        for child in {int(child) for child in children}:
            _kill(child)


class Passed(Command):
    """A command that a small program becomes, which has bound the sockets for it."""

    def __init__(self, folder: Path, program: str, *args: str) -> None:
        interpreter = Interpreter(environment={"PYTHONPATH": str(ROOT)})
        arguments = ("-c", program, *args)
        Process.__init__(self, folder, arguments, folder / "log.passed", interpreter)

    def stop(self) -> None:
        """Tell it to stop in order."""
        self.tell(signal.SIGTERM)


def _kill(pid: int) -> None:
    """End a child that has outlived its parent."""
    try:
        if "daphne.child" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def get(
    address: tuple[str, int] | str,
    path: str = "/",
    tls: ssl.SSLContext | None = None,
) -> Response:
    """One request on a connection of its own."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    if not isinstance(address, str) and ":" in address[0]:
        family = socket.AF_INET6
    client = HttpClient(address, family)
    if tls is not None:
        client.start_tls(tls)
    try:
        return client.get(path, Connection="close")
    finally:
        client.close()


class Hammer:
    """Clients that ask all the time, and note what went wrong.

    Each request has a connection of its own, or with ``keep_alive`` one that lasts as long as the
    server says.
    """

    def __init__(self, port: int, threads: int = 2, keep_alive: bool = False) -> None:
        self._port = port
        self._keep_alive = keep_alive
        self._stopped = threading.Event()
        #: Responses that came.
        self.bodies: list[bytes] = []
        #: Connections that were refused, and requests that were not answered.
        self.refused: list[str] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, once the requests under way are over."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        client: HttpClient | None = None
        while not self._stopped.wait(_PACE):
            try:
                client = client or HttpClient(("127.0.0.1", self._port))
            except OSError as error:
                self.refused.append(repr(error))
                continue
            if not self._ask(client):
                client.close()
                client = None
        if client is not None:
            client.close()

    def _ask(self, client: HttpClient) -> bool:
        """Send a request; whether the connection can be used for another."""
        try:
            response = client.get("/", **({} if self._keep_alive else {"Connection": "close"}))
        except (OSError, ValueError) as error:
            self.failed.append(repr(error))
            return False
        if response.status != 200:
            self.failed.append(repr(response))
            return False
        self.bodies.append(response.body)
        return response.get("Connection") != "close"
