"""A Django project whose pages and sockets show what an interface server does, and its processes.

The project's files are written into a folder; a server of any kind and workers run as processes of
their own over one channel layer.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.management.project import MANAGE, ROOT
from tests.servers.ports import free_port, listens
from tests.waiting import wait_until

__all__ = ["COMMANDS", "Site"]

SETTINGS = """
SECRET_KEY = "nothing to hide"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
USE_TZ = True
INSTALLED_APPS = ["channels"]
MIDDLEWARE = []
WSGI_APPLICATION = "wsgi.plain"
CHANNEL_LAYERS = {"default": %s}
"""

URLS = """
import hashlib
import json
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from channels import Channel, Group
from channels.asgi import channel_layers
import state

def hello(request):
    name = request.META.get("HTTP_X_NAME", "you")
    return HttpResponse("hello " + name, headers={"X-Seen": "yes"})

def about(request):
    return JsonResponse({
        "method": request.method, "path": request.path, "path_info": request.path_info,
        "query": request.META["QUERY_STRING"], "scheme": request.scheme,
        "client": request.META.get("REMOTE_ADDR"), "host": request.get_host(),
        "protocol": request.META["SERVER_PROTOCOL"],
    })

def upload(request):
    digest, size = hashlib.sha256(), 0
    while part := request.read(1 << 20):
        digest.update(part)
        size += len(part)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})

def refuse(request):
    return HttpResponse("too much", status=413)

def stream(request):
    def parts():
        yield b"first "
        channel_layers["default"].receive(["gate"], block=True, timeout=30)
        yield b"second"
    return StreamingHttpResponse(parts())

def open_gate(request):
    Channel("gate").send({})
    return HttpResponse("opened")

def large(request):
    part = bytes(range(256)) * 4096
    return StreamingHttpResponse(part for _ in range(int(request.GET["parts"])))

def endless(request):
    def parts():
        try:
            while True:
                state.add("made")
                yield bytes(1 << 18)
        finally:
            state.add("closed")
    return StreamingHttpResponse(parts())

def broken(request):
    def parts():
        yield b"begun"
        raise ValueError("in the middle")
    return StreamingHttpResponse(parts())

def count(request, name):
    return HttpResponse(str(state.count(name)))

def say(request):
    Group("room").send({"text": request.GET["text"]})
    return HttpResponse("said")

urlpatterns = [
    path("hello/", hello), path("about/", about), path("upload/", upload), path("refuse/", refuse),
    path("stream/", stream), path("gate/", open_gate), path("large/", large),
    path("endless/", endless), path("broken/", broken), path("count/<str:name>/", count),
    path("say/", say),
]
for view in (upload, refuse):
    view.csrf_exempt = True
"""

#: What the workers count, in files, since there may be several processes.
STATE = """
import os
from pathlib import Path

FOLDER = Path(__file__).parent

def add(name, line="1"):
    with open(FOLDER / f"{name}.log", "a") as log:
        log.write(line + "\\n")

def count(name):
    path = FOLDER / f"{name}.log"
    return len(path.read_text().splitlines()) if path.exists() else 0
"""

ROUTING = """
import json
from channels import Group, route
import state

def connect(message):
    path = message["path"]
    if path == "/reject/":
        message.reply_channel.send({"close": True})
    elif path == "/first-text/":
        message.reply_channel.send({"text": "welcome"})
    elif path == "/say-and-close/":
        message.reply_channel.send({"text": "bye", "close": 4005})
    elif path == "/silent/":
        pass
    else:
        if path == "/room/":
            Group("room").add(message.reply_channel)
        message.reply_channel.send({"accept": True})
    if path == "/scope/":
        known = {key: message[key] for key in ("path", "scheme", "order", "client")}
        known["query"] = message["query_string"].decode()
        known["cookies"] = [v.decode() for k, v in message["headers"] if k == b"cookie"]
        message.reply_channel.send({"text": json.dumps(known)})

def receive(message):
    text = message["text"]
    if text is None:
        message.reply_channel.send({"bytes": message["bytes"]})
    elif text.startswith("close "):
        message.reply_channel.send({"close": int(text[6:])})
    elif text == "order?":
        message.reply_channel.send({"text": str(message["order"])})
    elif text.startswith("flood "):
        for _ in range(int(text[6:])):
            message.reply_channel.send({"bytes": bytes(1 << 16)}, immediately=True)
    else:
        message.reply_channel.send({"text": text})

def disconnect(message):
    state.add("disconnects", "%s %s %s" % (message["path"], message["code"], message["order"]))
    Group("room").discard(message.reply_channel)

def http_disconnect(message):
    state.add("http-disconnects", message["path"])

channel_routing = [
    route("websocket.connect", connect),
    route("websocket.receive", receive),
    route("websocket.disconnect", disconnect),
    route("http.disconnect", http_disconnect),
]
"""

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from channels.asgi import get_channel_layer
from channels.interfaces.asgi3 import ASGIInterface
application = ASGIInterface(
    get_channel_layer(),
    ws_protocols=["chat"],
    websocket_connect_timeout=1,
    websocket_close_timeout=0.5,
    websocket_write_limit=1 << 20,
)
"""

WSGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from channels.asgi import get_channel_layer
from channels.interfaces.wsgi import WSGIInterface
from django.core.wsgi import get_wsgi_application
application = WSGIInterface(get_channel_layer())
plain = get_wsgi_application()
"""

#: How each server is started on a port.
COMMANDS = {
    "uvicorn": "uvicorn asgi:application --host 127.0.0.1 --port {port}",
    "hypercorn": "hypercorn asgi:application --bind 127.0.0.1:{port} --access-logfile -",
    "granian": "granian asgi:application --interface asgi --host 127.0.0.1 --port {port}",
    "gunicorn": "gunicorn wsgi:application --bind 127.0.0.1:{port} --threads 8 --no-control-socket",
    "waitress": "waitress --listen=127.0.0.1:{port} wsgi:application",
}


class Site:
    """The project, one server, and workers; ``layer`` is the entry of CHANNEL_LAYERS."""

    def __init__(self, folder: Path, layer: dict[str, Any]) -> None:
        self.folder = folder
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        #: The server that was started last, and which of ``COMMANDS`` it is.
        self.server: subprocess.Popen[bytes] | None = None
        self.kind = ""
        files = {
            "manage.py": MANAGE,
            "settings.py": SETTINGS % ({"ROUTING": "routing.channel_routing"} | layer),
            "urls.py": URLS,
            "state.py": STATE,
            "routing.py": ROUTING,
            "asgi.py": ASGI,
            "wsgi.py": WSGI,
        }
        for name, text in files.items():
            (folder / name).write_text(text)

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        return "127.0.0.1", self.port

    def serve(self, kind: str) -> None:
        """Start a server of ``COMMANDS``; it listens once ``wait_until_it_listens`` returns."""
        self.kind = kind
        self.server = self.run("-m", *COMMANDS[kind].format(port=self.port).split())

    def wait_until_it_listens(self) -> None:
        """What follows ``serve``; several servers start in the time of one this way."""
        wait_until(lambda: listens(self.port) or self._fail_if_ended(), timeout=60)

    def work(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a management command."""
        return self.run("manage.py", *arguments)

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Python process."""
        environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        environment |= {"PYTHONPATH": f"{ROOT}:{self.folder}", "PYTHONUNBUFFERED": "1"}
        with self.log(len(self._processes)).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def log(self, number: int) -> Path:
        """What the process with this number writes."""
        return self.folder / f"output-{number}.txt"

    def output(self) -> str:
        """What all processes have written."""
        return "\n".join(
            self.log(number).read_text(errors="replace") for number in range(len(self._processes))
        )

    def lines(self, name: str) -> list[str]:
        """What the workers have noted under ``name``."""
        path = self.folder / f"{name}.log"
        return path.read_text().splitlines() if path.exists() else []

    def _fail_if_ended(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, self.output()
        return False

    def end(self) -> None:
        """End all processes."""
        for process in self._processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(10)
