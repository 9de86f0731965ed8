"""Tests of ``runserver``, most of them with a process that serves a project."""

import io
import re
import signal
import socket
from typing import Any

import pytest
from django.core.management import call_command
from websockets.sync.client import connect

from channels.management.commands.runserver import Command
from tests.management.project import ROUTING, URLS, Project, Server
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def server(shared_project: Project) -> Server:
    """A server without the autoreloader, which makes it one process."""
    server = shared_project.serve("--noreload")
    server.url()
    return server


def websocket_url(server: Server, path: str = "/") -> str:
    return server.url(path).replace("http:", "ws:")


# -- Serving ---------------------------------------------------------------------------------------


def test_the_banner_names_address_and_layer(server):
    output = server.output()

    assert re.search(
        r"Starting Channels development server at http://127\.0\.0\.1:[1-9]\d*/\n", output
    )
    assert "Channel layer default (channels.layers.inmemory" in output
    assert "Quit the server with CONTROL-C." in output
    assert "Performing system checks" in output


def test_a_view_is_served_and_logged(server):
    assert server.get("/hello/") == (200, "hello")
    server.wait_for(
        r"\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\] HTTP GET /hello/ 200 \[\d+\.\d\d, 127\.0\.0\.1"
    )


def test_a_missing_page_is_a_404_and_logged(server):
    status, body = server.get("/missing/")

    assert status == 404
    assert "urls" in body  # Django's page for DEBUG
    server.wait_for("HTTP GET /missing/ 404 ")


def test_static_files_are_served(server):
    assert server.get("/static/site.css") == (200, "body { color: green }")


def test_websockets_are_accepted_echoed_and_logged(server):
    with connect(websocket_url(server, "/chat/")) as websocket:
        for text in ("hello", "", "€"):
            websocket.send(text)
            assert websocket.recv(timeout=10) == text

    server.wait_for(r"WebSocket HANDSHAKING /chat/ \[127\.0\.0\.1")
    server.wait_for(r"WebSocket CONNECT /chat/ \[127\.0\.0\.1")
    server.wait_for(r"WebSocket DISCONNECT /chat/ \[127\.0\.0\.1")


def test_there_are_four_workers(server):
    assert server.get("/workers/") == (200, "4")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_the_autoreloader_signals_end_it_in_order(make_project, number):
    server = make_project().serve("--noreload")
    assert server.get("/hello/")[0] == 200

    server.signal(number)

    assert server.wait() == 0, server.output()
    assert "Traceback" not in server.output()


INTERRUPTED_URLS = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
urlpatterns = []
"""


def test_ctrl_c_while_the_project_is_checked_ends_it_in_order(make_project):
    project = make_project()
    project.write("urls.py", INTERRUPTED_URLS)
    server = project.serve("--noreload")

    assert server.wait() == 0, server.output()
    assert "Performing system checks" in server.output()
    assert "Traceback" not in server.output()


# -- The autoreloader ------------------------------------------------------------------------------


def test_a_changed_file_is_served_anew_and_ctrl_c_ends_it_in_order(make_project):
    project = make_project()
    server = project.serve("0")
    assert server.get("/hello/") == (200, "hello")

    project.change("urls.py", URLS.replace('"hello"', '"bye"'), server)
    wait_until(lambda: server.output().count("server at http") == 2, timeout=30)

    assert server.get("/hello/") == (200, "bye")
    server.signal(signal.SIGINT)
    assert server.wait() == 0, server.output()
    assert "Traceback" not in server.output()


def test_a_broken_routing_is_shown_and_waited_for(make_project):
    project = make_project()
    project.write("routing.py", "channel_routing = {'websocket.receive': 'nowhere.consumer'}")
    server = project.serve("0")

    server.wait_for("Cannot import consumer 'nowhere.consumer'")
    project.change("routing.py", "channel_routing = []", server)

    assert server.get("/hello/") == (200, "hello")


def test_an_app_that_cannot_be_imported_is_shown_and_waited_for(make_project):
    project = make_project("INSTALLED_APPS += ['shop']")
    project.write("shop/__init__.py", "raise RuntimeError('closed today')")
    server = project.serve("0")

    server.wait_for("RuntimeError: closed today")
    assert "Starting" not in server.output()
    project.change("shop/__init__.py", "", server)

    assert server.get("/hello/") == (200, "hello")


def test_a_syntax_error_in_a_consumer_is_shown_and_its_correction_served(make_project):
    project = make_project()
    server = project.serve("0")
    assert server.get("/hello/") == (200, "hello")

    project.change("routing.py", "def echo(message:", server)
    server.wait_for("SyntaxError: ")
    project.change("routing.py", ROUTING, server)
    wait_until(lambda: server.output().count("server at http") == 2, timeout=30)

    with connect(websocket_url(server)) as websocket:
        websocket.send("works again")
        assert websocket.recv(timeout=10) == "works again"


SLOW_ROUTING = """
import time

def slow(message):
    print("consumer started")
    time.sleep(0.7)  # stands for work; longer than a process takes to end
    print("consumer finished")

channel_routing = {"websocket.receive": slow}
"""


def test_ctrl_c_lets_a_running_consumer_finish(make_project):
    project = make_project()
    project.write("routing.py", SLOW_ROUTING)
    server = project.serve("--noreload")
    with connect(websocket_url(server)) as websocket:
        websocket.send("go")
        server.wait_for("consumer started")
        server.signal(signal.SIGINT)

        assert server.wait() == 0
    assert "consumer finished" in server.output()


RELOADED_ROUTING = """
import threading
import time
from django.utils.autoreload import file_changed

changed = threading.Event()

def note(**kwargs):
    changed.set()

file_changed.connect(note)

def slow(message):
    print("consumer started")
    changed.wait()
    time.sleep(0.3)  # stands for work that the reload interrupts
    print("consumer finished")

channel_routing = {"websocket.receive": slow}
"""


def test_a_reload_lets_a_running_consumer_finish(make_project):
    project = make_project()
    project.write("routing.py", RELOADED_ROUTING)
    server = project.serve("0")
    with connect(websocket_url(server)) as websocket:
        websocket.send("go")
        server.wait_for("consumer started")
        project.change("urls.py", URLS, server)
        server.wait_for("consumer finished")


# -- Options and settings --------------------------------------------------------------------------


def test_nothreading_means_one_worker(make_project):
    server = make_project().serve("--noreload", "--nothreading")

    assert server.get("/workers/") == (200, "1")


@pytest.mark.parametrize("option", ["--http-timeout", "--http_timeout"])
def test_noworker_leaves_requests_to_other_processes_until_their_time_is_over(make_project, option):
    server = make_project().serve("--noreload", "--noworker", option, "1")

    assert server.get("/hello/")[0] == 503
    assert "in-memory" in server.output()  # nothing could ever answer, which is said


def test_noasgi_is_djangos_own_server(make_project):
    server = make_project().serve("--noreload", "--noasgi")

    assert server.get("/hello/") == (200, "hello")
    assert server.get("/static/site.css")[0] == 200
    assert "development server at" in server.output()
    assert "Channels" not in server.output()


def test_without_channel_layers_it_is_djangos_own_server(make_project):
    server = make_project("del CHANNEL_LAYERS").serve("0")

    assert server.get("/hello/") == (200, "hello")
    assert "development server at" in server.output()
    assert "Channels" not in server.output()
    server.signal(signal.SIGINT)
    assert server.wait() == 0


@pytest.mark.parametrize("options", [(), ("--noasgi",)])
def test_without_the_staticfiles_app_static_urls_are_the_projects(make_project, options):
    server = make_project("INSTALLED_APPS = ['channels']").serve("--noreload", *options)

    assert server.get("/hello/") == (200, "hello")
    assert server.get("/static/site.css")[0] == 404


def test_nostatic_leaves_static_urls_to_the_project(make_project):
    server = make_project().serve("--noreload", "--nostatic")

    assert server.get("/static/site.css")[0] == 404


@pytest.mark.parametrize(("options", "status"), [((), 404), (("--insecure",), 200)])
def test_static_files_outside_debug_need_insecure(make_project, options, status):
    server = make_project("DEBUG = False").serve("--noreload", *options)

    assert server.get("/static/site.css")[0] == status


ROOT_PATH_ROUTING = """
def say_root_path(message):
    message.reply_channel.send({"text": repr(message["root_path"])})

channel_routing = {"websocket.connect": say_root_path}
"""


def test_settings_of_the_server_are_used(make_project):
    project = make_project("FORCE_SCRIPT_NAME = '/app'\nCHANNELS_WS_PROTOCOLS = ['graphql-ws']")
    project.write("routing.py", ROOT_PATH_ROUTING)
    server = project.serve("--noreload")

    assert server.get("/app/where/") == (200, "/app/where/ /where/")
    with connect(websocket_url(server), subprotocols=["other", "graphql-ws"]) as websocket:
        assert websocket.subprotocol == "graphql-ws"
        assert websocket.recv(timeout=10) == "b'/app'"


def test_options_reach_the_server_class():
    made = {}

    class RecordingServer:
        def __init__(self, **arguments: Any) -> None:
            made.update(arguments)

        def run(self) -> None:
            """Serves nobody."""

        def stop(self) -> None:
            """There is nothing to stop."""

    command = Command(stdout=io.StringIO(), stderr=io.StringIO())
    command.server_cls = RecordingServer
    call_command(
        command,
        "127.0.0.1:7654",
        "--noreload",
        "--noworker",
        "--http-timeout=7",
        "--websocket-handshake-timeout=3",
        "--verbosity=2",
    )

    assert made["endpoints"] == ["tcp:port=7654:interface=127.0.0.1"]
    assert (made["http_timeout"], made["websocket_handshake_timeout"]) == (7, 3)
    assert (made["verbosity"], made["root_path"], made["ws_protocols"]) == (2, "", None)
    assert made["action_logger"] == command.log_action


MIGRATED_SETTINGS = """
INSTALLED_APPS += ["django.contrib.contenttypes"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""


def test_migrations_that_are_due_are_named(make_project):
    server = make_project(MIGRATED_SETTINGS).serve("--noreload")

    server.wait_for(r"You have \d+ unapplied migration")


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
@pytest.mark.parametrize("arguments", [("[::1]:0",), ("0", "-6")])
def test_it_listens_on_ipv6(make_project, arguments):
    server = make_project().serve(*arguments, "--noreload")

    assert server.url().startswith("http://[::1]:")
    assert server.get("/hello/") == (200, "hello")


def test_a_name_is_an_address(make_project):
    server = make_project().serve("localhost:0", "--noreload")

    assert server.url().startswith("http://localhost:")
    assert server.get("/hello/") == (200, "hello")


# -- Errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--noreload",)])
def test_a_port_in_use_is_said_and_ends_it(make_project, options):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = make_project().serve(f"127.0.0.1:{port}", *options)

        assert server.wait() == 1
    assert f"Cannot listen on 127.0.0.1:{port}. That port is already in use." in server.output()
    assert "Traceback" not in server.output()


def test_an_unknown_host_is_said_and_ends_it(make_project):
    server = make_project().serve("no-such-host.invalid:8000", "--noreload")

    assert server.wait() == 1
    assert "Cannot listen on no-such-host.invalid:8000." in server.output()


# -- Log lines -------------------------------------------------------------------------------------


def logged(protocol: str, action: str, **details: object) -> str:
    stderr = io.StringIO()
    command = Command(stderr=stderr, no_color=True)
    command.log_action(protocol, action, {"path": "/", "client": "127.0.0.1:5", **details})
    return stderr.getvalue()


@pytest.mark.parametrize(
    ("action", "word"),
    [
        ("connecting", "HANDSHAKING"),
        ("connected", "CONNECT"),
        ("disconnected", "DISCONNECT"),
        ("rejected", "REJECT"),
    ],
)
def test_each_step_of_a_socket_has_its_word(action, word):
    line = logged("websocket", action, path="/chat/")

    assert line.endswith(f"] WebSocket {word} /chat/ [127.0.0.1:5]\n")


@pytest.mark.parametrize("status", [101, 200, 301, 304, 404, 418, 500, 999])
def test_every_status_has_a_line(status):
    line = logged("http", "complete", method="GET", status=status, time_taken=0.125, size=3)

    assert line.endswith(f"] HTTP GET / {status} [0.12, 127.0.0.1:5]\n")


def test_a_path_cannot_fake_a_second_line_nor_speak_to_the_terminal():
    line = logged(
        "websocket", "connected", path="/a\n[2026/01/01 00:00:00] HTTP GET /\x1b[2J\u202e"
    )

    assert line.count("\n") == 1
    assert r"/a\n[2026/01/01 00:00:00] HTTP GET /\x1b[2J\u202e" in line


def test_what_it_has_no_words_for_is_not_logged():
    assert logged("http", "started") == logged("udp", "received") == ""
