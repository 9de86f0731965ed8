"""Tries what is installed, as its users meet it: ``python smoke.py compiled`` or ``pure``.

A further argument, ``all``, says that every extra is installed. Run it from a folder outside the
repository, with an interpreter into which a wheel was installed. It needs nothing but that: it is
no test for pytest, and imports none of the tests.
"""

import importlib
import os
import pkgutil
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path

import django
from django.contrib.staticfiles import finders
from django.core.management import call_command, get_commands

import channels
import daphne
from channels import _speedups

#: Modules that extras bring.
EXTRAS = {"h2", "hpack", "hyperframe", "pika", "psycopg"}

#: What lacks a name where there are no extensions: nothing but a compiled module has it.
EXTENSIONS = {"channels._speedups"}

#: Modules of those who test with them.
TEST_TOOLS = {"hypothesis", "pytest"}

#: Seconds within which whatever is waited for has to happen.
PATIENCE = 60

PROJECT = {
    "settings.py": """
        SECRET_KEY = "nothing to hide"
        DEBUG = True
        ROOT_URLCONF = "urls"
        INSTALLED_APPS = [
            "channels", "channels.delay", "django.contrib.admin", "django.contrib.auth",
            "django.contrib.contenttypes", "django.contrib.messages", "django.contrib.sessions",
            "django.contrib.staticfiles",
        ]
        MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ]
        PROCESSORS = [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]
        TEMPLATES = [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"context_processors": PROCESSORS},
            }
        ]
        STATIC_URL = "/static/"
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels.layers.inmemory.ChannelLayer",
                "ROUTING": {"websocket.receive": "consumers.echo"},
            }
        }
    """,
    "urls.py": """
        from django.http import HttpResponse
        from django.urls import path

        urlpatterns = [path("hello/", lambda request: HttpResponse("hello"))]
    """,
    "consumers.py": """
        def echo(message):
            message.reply_channel.send({"text": message["text"]})
    """,
}


def check_place() -> None:
    """What is imported is what was installed, and nothing of a repository."""
    site = Path(sys.prefix).resolve()
    for package in (channels, daphne):
        place = Path(package.__file__).resolve()
        assert place.is_relative_to(site), f"{place} was not installed into {site}"
    installed = metadata.version("channels-batteries")
    assert channels.__version__ == installed, f"{channels.__version__} is not {installed}"


def import_everything(absent: set[str]) -> int:
    """Import every module of ours, but those for what is ``absent``; returns how many there are."""
    count = 0
    for package in (channels, daphne):
        walk = pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=_ignore)
        for module in walk:
            if module.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                first = error.__cause__ or error
                missing = getattr(first, "name", None) or ""
                if not {missing, missing.partition(".")[0]} & absent:
                    raise
            count += 1
    importlib.import_module("channels.delay.models")
    importlib.import_module("twisted.plugins.fd_endpoint")
    return count


def _ignore(name: str) -> None:
    """The error of a package was looked at before what is in it would be."""


def check_forms(expected: str) -> None:
    """The extensions are used, or there are none."""
    assert (expected == "compiled") is _speedups.COMPILED, f"COMPILED is {_speedups.COMPILED}"
    shared_memory = expected == "compiled" and sys.platform == "linux"
    assert _speedups.is_available("shm") is shared_memory
    if shared_memory:
        _echo_through_shared_memory()


def _echo_through_shared_memory() -> None:
    prefix = f"smoke-{secrets.token_hex(8)}"
    layer = importlib.import_module("channels.layers.ipc").IPCChannelLayer(prefix=prefix)
    try:
        layer.send("smoke", {"text": "hello"})
        assert layer.receive(["smoke"]) == ("smoke", {"text": "hello"})
    finally:
        Path(f"/dev/shm/channels-{prefix}").unlink()


def check_data() -> None:
    """Files that are no modules came along: scripts, static files, types, templates."""
    files = resources.files("channels")
    assert len(list((files / "layers/redis/lua").iterdir())) > 10
    for name in ("channels/py.typed", "daphne/py.typed", "channels/_speedups/codec.pyi"):
        package, _, path = name.partition("/")
        assert (resources.files(package) / path).is_file(), name
    page_file = finders.find("channels/js/websocketbridge.js")
    assert "WebSocketBridge" in Path(page_file).read_text(encoding="utf-8")


def check_commands() -> None:
    """The command is there, and so are those of ``manage.py``; tables are made."""
    daphne = str(Path(sys.executable).parent / "daphne")
    printed = subprocess.check_output([daphne, "--version"], text=True, timeout=PATIENCE)
    assert metadata.version("channels-batteries") in printed, printed
    ours = {name for name, app in get_commands().items() if app in {"channels", "channels.delay"}}
    assert {"runserver", "runworker", "rundelay"} <= ours, ours
    call_command("check", fail_level="WARNING", verbosity=0)
    call_command("migrate", verbosity=0)
    call_command("makemigrations", "channels_delay", check=True, verbosity=0)


@contextmanager
def served(project: Path) -> Iterator[int]:
    """``runserver`` of the project: Daphne, the in-memory layer and workers; gives the port."""
    command = [sys.executable, "-m", "django", "runserver", "--noreload", "127.0.0.1:0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(project)}
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            output = ""
            for line in process.stdout or ():
                output += line
                if found := re.search(r"http://127\.0\.0\.1:([1-9]\d*)/", line):
                    break
            else:
                raise AssertionError(output)
            yield int(found[1])
        finally:
            watchdog.cancel()
            process.terminate()


def check_echo() -> None:
    """A page and a WebSocket, through Daphne, the layer and a worker."""
    with served(Path.cwd()) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello/", timeout=PATIENCE) as page:
            assert page.read() == b"hello"
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            assert _echo(connection, b"hello, twice") == b"hello, twice"


def _echo(connection: socket.socket, text: bytes) -> bytes:
    """The text of the frame that answers a frame with ``text`` (RFC 6455; up to 125 bytes)."""
    key = b64encode(secrets.token_bytes(16)).decode()
    connection.sendall(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    with connection.makefile("rb") as stream:
        status = stream.readline()
        assert status.startswith(b"HTTP/1.1 101 "), status
        while stream.readline() != b"\r\n":
            pass
        mask = secrets.token_bytes(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
        connection.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
        kind, length = stream.read(2)
        assert kind == 0x81, kind
        return stream.read(length)


def main(expected: str, *extras: str) -> None:
    """Try everything; the first thing that is wrong is an exception."""
    absent = TEST_TOOLS | (set() if extras else EXTRAS)
    absent |= EXTENSIONS if expected == "pure" else set()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in PROJECT.items():
            lines = text.replace("\n        ", "\n")
            Path(folder, name).write_text(lines, encoding="utf-8")
        os.chdir(folder)
        sys.path[0] = folder  # and not the folder of this file
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        check_place()
        django.setup()
        count = import_everything(absent)
        check_forms(expected)
        check_data()
        check_commands()
        check_echo()
        os.chdir("/")
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"channels-batteries {metadata.version('channels-batteries')}, {expected}, ", end="")
    print(f"Python {version}, Django {django.__version__}: {count} modules, pages and sockets work")


if __name__ == "__main__":
    main(*sys.argv[1:])
