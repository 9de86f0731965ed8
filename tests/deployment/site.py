"""A Django project as it is deployed: ``daphne`` and ``runworker`` processes over one layer."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from channels.asgi import import_backend
from tests.daphne.clients import HttpClient, Response
from tests.deployment.matrix import Pair
from tests.management.project import Process, Project

__all__ = ["Daphne", "Site"]

SETTINGS = """
from pathlib import Path
DEBUG = False
INSTALLED_APPS = ["channels"]
SESSION_ENGINE = "django.contrib.sessions.backends.file"
SESSION_FILE_PATH = Path(__file__).parent / "sessions"
CHANNEL_LAYERS = {{"default": {{**{layer!r}, "ROUTING": "routing.channel_routing"}}}}
"""

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from channels.asgi import get_channel_layer
channel_layer = get_channel_layer()
"""

URLS = """
import hashlib, sys, time
import channels
from channels import Channel
from channels._speedups import COMPILED
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

def hello(request):
    return HttpResponse("hello")

def stream(request):
    return StreamingHttpResponse(bytes([number]) * 30_000 for number in range(40))

def upload(request, pause=0):
    digest, size = hashlib.sha256(), 0
    while data := request.read(100_000):
        digest.update(data)
        size += len(data)
        time.sleep(pause)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})

def python(request):
    return HttpResponse(f"{sys.executable} {channels.__file__} {COMPILED}")

def record(request, number):
    Channel("record").send({"number": number})
    return HttpResponse(status=204)

urlpatterns = [
    path("hello/", hello),
    path("stream/", stream),
    path("upload/", upload),
    path("slow-upload/", upload, {"pause": 0.001}),
    path("python/", python),
    path("record/<int:number>/", record),
]
"""

ROUTING = """
import os
from channels import Group, route
from channels.sessions import enforce_ordering

def write(name, line):
    # One write to a file that is appended to: whole lines, whoever else writes (write(2)).
    descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (line + "\\n").encode())
    os.close(descriptor)

def accept(message):
    message.reply_channel.send({"accept": True})

def join(message, room):
    Group(room).add(message.reply_channel)
    accept(message)

def leave(message, room):
    Group(room).discard(message.reply_channel)

def say(message, room):
    Group(room).send({"text": message["text"]})

def echo(message):
    reply = {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
    message.reply_channel.send(reply)

def shout(message):
    message.reply_channel.send({"data": message["data"].upper()})

def record(message):
    write("recorded", f"{message['number']}")

def hold(message):
    write("holding", f"{os.getpid()}")
    with open("gate") as gate:  # a pipe, whose other end the test opens
        gate.read()

def mirror(message):
    content = message["content"]
    message.reply_channel.send({"content": content, "seen": repr(content)})

@enforce_ordering
def count(message):
    number = message.channel_session["number"] = message.channel_session.get("number", 0) + 1
    write("counted", f"{message['reply_channel']} {message['order']} {message['text']}")
    message.reply_channel.send({"text": f"{number} {message['text']}"})

@enforce_ordering
def bye(message):
    write("counted", f"{message['reply_channel']} {message['order']} bye")

ORDERED = "^/ordered/$"
ROOM = "^/(?P<room>room-[a-z]+)/$"

channel_routing = [
    route("websocket.connect", join, path=ROOM),
    route("websocket.receive", say, path=ROOM),
    route("websocket.disconnect", leave, path=ROOM),
    route("websocket.receive", count, path=ORDERED),
    route("websocket.disconnect", bye, path=ORDERED),
    route("websocket.connect", accept),
    route("websocket.receive", echo),
    route("udp.receive", shout),
    route("record", record),
    route("hold", hold),
    route("mirror", mirror),
]
"""


class Daphne:
    """A running ``daphne``."""

    def __init__(self, process: Process) -> None:
        self.process = process
        listening = process.wait_for(r"Listening on \S*?127\.0\.0\.1:(\d+)")
        self.port = int(listening[1])
        self.udp_port = int(process.wait_for(r"udp://127\.0\.0\.1:(\d+)")[1])
        self._admin_port = int(process.wait_for(r"127\.0\.0\.1:(\d+) \(admin\)")[1])
        self._clients: list[HttpClient] = []

    def client(self) -> HttpClient:
        """A connection, to be closed by ``close``."""
        self._clients.append(HttpClient(("127.0.0.1", self.port)))
        return self._clients[-1]

    def admin(self, path: str) -> Response:
        """A page of its admin address."""
        client = HttpClient(("127.0.0.1", self._admin_port))
        try:
            return client.get(path)
        finally:
            client.close()

    def metric(self, name: str) -> float:
        """The value of a metric, with its labels if it has any, as ``/metrics`` writes it."""
        page = self.admin("/metrics").body.decode()
        return next(
            (float(line.split()[-1]) for line in page.splitlines() if line.startswith(name + " ")),
            0.0,
        )

    def websocket(self, path: str = "/") -> ClientConnection:
        """An open WebSocket."""
        return connect(f"ws://127.0.0.1:{self.port}{path}", open_timeout=20, proxy=None)

    def close(self) -> None:
        """Close the connections that it was asked for."""
        while self._clients:
            self._clients.pop().close()


class Site:
    """The project, two Daphnes, the workers that a test asks for, and the layer in this process.

    ``layer`` is BACKEND and CONFIG; ``pythons`` run the two commands.
    """

    def __init__(self, folder: Path, layer: dict[str, Any], pythons: Pair) -> None:
        self.pythons = pythons
        self.project = Project(folder, SETTINGS.format(layer=layer))
        self.project.write("urls.py", URLS)
        self.project.write("routing.py", ROUTING)
        self.project.write("asgi.py", ASGI)
        os.mkfifo(folder / "gate")
        (folder / "sessions").mkdir()
        self._layer = layer
        self._layers: list[Any] = []
        self.layer = self.make_layer()
        processes = [self._run_daphne() for _ in range(2)]
        self.daphnes = [Daphne(process) for process in processes]
        self.workers: list[Process] = []

    def make_layer(self, **options: Any) -> Any:
        """The layer for this process, with other options than the site's where they are given."""
        backend = import_backend("default", self._layer["BACKEND"])
        self._layers.append(backend(**{**self._layer["CONFIG"], **options}))
        return self._layers[-1]

    def _run_daphne(self, *options: str) -> Process:
        more = ("--udp", "127.0.0.1:0", "--admin", "127.0.0.1:0", *options)
        return self.project.run(
            *("-m", "daphne", "-p", "0", *more, "asgi:channel_layer"),
            interpreter=self.pythons.daphne,
        )

    def start_daphne(self, *options: str) -> Daphne:
        """One more, that listens."""
        return Daphne(self._run_daphne(*options))

    def have_workers(self, number: int, *options: str) -> None:
        """See that so many workers run, all of them ready; new ones have these options."""
        self.workers = [worker for worker in self.workers if worker.running]
        while len(self.workers) > number:
            self.workers[-1].signal(signal.SIGTERM)
            assert self.workers.pop().wait() == 0
        new = [self._run_worker(*options) for _ in range(number - len(self.workers))]
        for worker in new:
            worker.wait_for("Listening on channels")

    def _run_worker(self, *options: str) -> Process:
        worker = self.project.start("runworker", *options, interpreter=self.pythons.worker)
        self.workers.append(worker)
        return worker

    def lines(self, name: str) -> list[str]:
        """What consumers have written into the file ``name``; each in one write."""
        path = self.project.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def recorded(self) -> Counter[int]:
        """How often each number was recorded."""
        return Counter(map(int, self.lines("recorded")))

    def begin(self, workers: int) -> None:
        """What every test finds: so many workers, nothing written, no group."""
        self.have_workers(workers)
        for name in ("recorded", "holding", "counted"):
            (self.project.folder / name).unlink(missing_ok=True)

    def open_gate(self) -> None:
        """Let the consumers of ``hold`` go on."""
        with (self.project.folder / "gate").open("w"):
            pass

    def outputs(self) -> str:
        """What its processes have written."""
        return "\n".join(process.output() for process in self.project.processes)

    def end(self) -> None:
        """End all of it."""
        for daphne in self.daphnes:
            daphne.close()
        self.project.end()
        for layer in self._layers:
            layer.close()
