"""Tests of ``runwsgi``: its arguments in this process, its work in processes of its own."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.inmemory import ChannelLayer
from channels.management.commands.runwsgi import load_application, make_worker
from channels.worker import Worker, WorkerGroup


class SharedLayer(ChannelLayer):
    """Stands for a layer that other processes reach."""

    is_local = False


@pytest.fixture
def shared() -> Iterator[ChannelLayerWrapper]:
    """A default layer that workers may use."""
    layer = ChannelLayerWrapper(SharedLayer(), "default", [])
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


class Site:
    application = staticmethod(hello)


#: No application.
nothing = None


@pytest.mark.parametrize("name", [":hello", ".hello", ":Site.application"])
def test_an_application_is_found_by_its_path(name):
    assert load_application(__name__ + name) is hello


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("nowhere:application", "No module named 'nowhere'"),
        (f"{__name__}:missing", "missing"),
        (f"{__name__}:nothing", "is no WSGI application, but None"),
        ("hello", "'hello'"),
        (":hello", "':hello'"),
        (".shop:hello", r"'\.shop:hello': .*name the module from the top"),
        ("..shop.hello", r"'\.\.shop\.hello': .*name the module from the top"),
        (None, "WSGI_APPLICATION"),
    ],
)
def test_a_path_without_an_application_is_refused(path, complaint):
    with pytest.raises(CommandError, match=complaint):
        load_application(path)


def test_a_worker_listens_to_requests_alone_whatever_the_routing(shared):
    shared.routing = {"websocket.receive": print, "http.request": print}

    worker = make_worker(shared, hello, 1)

    assert type(worker) is Worker
    assert worker.channels() == ["http.request"]
    assert worker.channel_layer.channel_layer is shared.channel_layer


def test_threads_make_a_group(shared):
    group = make_worker(shared, WSGIHandler(), 3)

    assert isinstance(group, WorkerGroup)
    assert group.n_threads == 3


def test_no_threads_are_refused(shared):
    with pytest.raises(CommandError, match="--threads must be 1 or more, not 0"):
        call_command("runwsgi", f"{__name__}:hello", threads=0)


@override_settings(WSGI_APPLICATION="nowhere.application")
def test_the_setting_names_the_application_by_default(shared):
    with pytest.raises(CommandError, match=r"'nowhere\.application'"):
        call_command("runwsgi")


def test_the_layer_in_memory_is_refused():
    with pytest.raises(CommandError, match="cannot span multiple processes"):
        call_command("runwsgi", f"{__name__}:hello")


# -- Processes -------------------------------------------------------------------------------------

#: The layer of this project: its requests come from threads of the worker's own process.
SETTINGS = """
CHANNEL_LAYERS = {"default": {"BACKEND": "fed.FedLayer", "ROUTING": []}}
WSGI_APPLICATION = "site_of_mine.application"
"""

FED = r"""
import threading
from channels.layers.inmemory import ChannelLayer
from channels.signals import worker_process_ready
from channels.spec import http_request

class FedLayer(ChannelLayer):
    is_local = False

def ask(layer, number):
    layer.send("http.request", dict(http_request(f"fed.{number}!x", "GET", f"/{number}", [])))
    reply = None
    while reply is None:  # the end of the worker interrupts all receives
        reply = layer.receive([f"fed.{number}!"], block=True)[1]
    print(f"reply: {reply}\n", end="", flush=True)

def feed(sender, **kwargs):
    for number in range(3):
        threading.Thread(target=ask, args=[sender.channel_layer, number], daemon=True).start()

worker_process_ready.connect(feed)
"""

APPLICATION = """
import threading
import time

together = threading.Barrier(3)

def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]

def application_together(environ, start_response):
    together.wait(20)
    return application(environ, start_response)

def slow(environ, start_response):
    print("request started", flush=True)
    time.sleep(0.5)  # stands for work that a signal must not end
    yield from application(environ, start_response)
    yield b""
    print("response sent", flush=True)
"""


@pytest.fixture
def project(make_project: Any) -> Any:
    project = make_project(SETTINGS)
    project.write("fed.py", FED)
    project.write("site_of_mine.py", APPLICATION)
    return project


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_requests_until_a_signal_ends_it_in_order(project, number):
    worker = project.start("runwsgi")
    for path in (b"/0", b"/1", b"/2"):
        worker.wait_for(f"reply: .*'status': 200.*{path!r}")

    worker.signal(number)

    assert worker.wait() == 0, worker.output()
    assert "Serving site_of_mine.application with 1 thread(s)" in worker.output()
    assert "The worker has stopped." in worker.output()
    assert "Traceback" not in worker.output()


def test_threads_answer_together(project):
    worker = project.start("runwsgi", "site_of_mine:application_together", "--threads", "3")

    worker.wait_for("(?s)(reply: .*'status': 200.*){3}")


def test_a_request_that_is_being_answered_is_finished_first(project):
    worker = project.start("runwsgi", "site_of_mine:slow")
    worker.wait_for("request started")
    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0, worker.output()
    assert worker.output().count("response sent") == 1
