"""What a live server cannot serve, and that its processes end with the test run."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import override_settings
from websockets.sync.client import connect

from channels import channel_layers, route
from channels.exceptions import InvalidChannelLayerError, LiveServerError
from channels.routing import null_consumer
from channels.test import ChannelLiveServerTestCase
from channels.test.environment import Environment
from channels.test.site import LiveSite
from tests.servers.postgresql import PostgresServer
from tests.test.cases import run
from tests.test.live import late
from tests.test.live.test_liveserver import is_gone
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.needs("redis-server")


def error_of(layers: dict[str, Any], **attributes: Any) -> str:
    """How a case with such layers fails."""
    case = type("Case", (ChannelLiveServerTestCase,), {"test": lambda self: None, **attributes})
    before = dict(channel_layers.backends)
    with override_settings(CHANNEL_LAYERS=layers):
        [(_, traceback)] = run(case).errors
    assert channel_layers.backends == before
    return traceback


def test_several_layers_are_named(layers):
    assert (
        f"{ImproperlyConfigured.__name__}: Case works with one channel layer, and CHANNEL_LAYERS "
        "has 2: 'default', 'second'; override the setting for it"
    ) in error_of(layers | {"second": layers["default"]})


def test_a_missing_test_config_is_named(layers):
    del layers["default"]["TEST_CONFIG"]
    assert (
        f"{InvalidChannelLayerError.__name__}: CHANNEL_LAYERS['default'] has no TEST_CONFIG; add"
    ) in error_of(layers)


def test_no_layer_is_named():
    assert "the setting CHANNEL_LAYERS is missing" in error_of({})


def test_a_layer_within_one_process_is_named(layers):
    layers["default"] |= {
        "BACKEND": "channels.layers.inmemory.ChannelLayer",
        "TEST_CONFIG": {},
    }
    assert (
        "Case needs a channel layer that processes share, and default "
        "(channels.layers.inmemory.layer.ChannelLayer) is within one process"
    ) in error_of(layers)


def test_a_database_in_memory_is_named(layers, tmp_path):
    connections.settings["memory"] = {**connections.settings["default"], "NAME": ":memory:"}
    try:
        with (
            override_settings(CHANNEL_LAYERS=layers),
            pytest.raises(ImproperlyConfigured) as raised,
        ):
            LiveSite("This test")
    finally:
        connections["memory"].close()
        del connections["memory"], connections.settings["memory"]
    assert str(raised.value) == (
        "This test cannot be used with the database 'memory', which is in memory: each process "
        "would have another one. Give it a file while tests run: "
        "DATABASES['memory']['TEST'] = {'NAME': 'testdb.sqlite3'}"
    )


def test_a_setting_that_processes_cannot_have_is_named(layers):
    layers["default"]["ROUTING"] = [route("task", lambda message: None)]
    text = error_of(layers)
    assert "the live server's processes cannot be given the setting CHANNEL_LAYERS: " in text
    assert "in CHANNEL_LAYERS, the dotted path of a routing" in text


def test_a_routing_of_importable_consumers_is_given_to_the_processes(layers):
    layers["default"]["ROUTING"] = [route("task", null_consumer)]
    with override_settings(CHANNEL_LAYERS=layers):
        site = LiveSite("This test")
        try:
            site.start()
            site.stop()
        finally:
            site.close()


def test_a_routing_of_consumers_that_need_models_is_given_to_the_processes(layers):
    layers["default"]["ROUTING"] = [route("websocket.connect", late.connect)]

    class Case(ChannelLiveServerTestCase):
        def test(self):
            with connect(self.live_server_ws_url) as socket:
                assert socket.recv(20) == "0 users"

    with override_settings(CHANNEL_LAYERS=layers):
        assert run(Case).wasSuccessful()


def test_what_a_process_fails_with_is_told(layers):
    layers["default"]["ROUTING"] = "no.such.routing"
    text = error_of(layers)
    assert "LiveServerError: The WorkerProcess of the live server failed:\nTraceback" in text
    assert "Cannot import routing 'no.such.routing'" in text


def test_a_case_that_could_not_start_tries_again_with_its_next_test(layers):
    layers["default"]["ROUTING"] = "no.such.routing"

    class Case(ChannelLiveServerTestCase):
        def test_one(self):
            pass

        @classmethod
        def setUpClass(cls):
            with pytest.raises(LiveServerError, match="Cannot import routing"):
                super().setUpClass()
            assert cls.site.server.pid is None
            assert cls.site.workers.pid is None
            layers["default"]["ROUTING"] = []

    with override_settings(CHANNEL_LAYERS=layers):
        assert run(Case).wasSuccessful()


def test_a_setting_of_the_module_that_cannot_be_pickled_stays_as_it_is(monkeypatch):
    module = sys.modules["tests.settings"]
    unpicklable = lambda: None  # noqa: E731  (the kind of setting that some applications have)
    monkeypatch.setattr(module, "CALLED", unpicklable, raising=False)
    with override_settings(CALLED=unpicklable):
        assert "CALLED" not in Environment.here().values
    with (
        override_settings(CALLED=lambda: 1),
        pytest.raises(ImproperlyConfigured, match="cannot be given the setting CALLED"),
    ):
        Environment.here()


#: A test run of its own, with settings that are in no module.
TEST_RUN = """
import sys
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["channels"],
    DATABASES={"default": {database}},
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels.layers.redis.RedisChannelLayer",
            "ROUTING": "routes.channel_routing",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
            "TEST_CONFIG": {"hosts": [sys.argv[1]], "prefix": "run:"},
        }
    },
)
import django
django.setup()
import unittest
from django.test.utils import setup_databases, setup_test_environment, teardown_databases
from websockets.sync.client import connect
from channels.test import ChannelLiveServerTestCase

class Case(ChannelLiveServerTestCase):
    def test(self):
        with connect(self.live_server_ws_url) as socket:
            assert socket.recv(20) == "from a routing beside the test run"
        print(self.site.server.pid, self.site.workers.pid, flush=True)
        {then}

setup_test_environment()
made = setup_databases(verbosity=0, interactive=False)
unittest.main(exit=False, argv=["run"])
teardown_databases(made, verbosity=0)
print("done", flush=True)
"""

ROUTES = """
from django.db import connection

def connect(message):
    assert connection.settings_dict["NAME"] in ("test.sqlite3", "test_live")
    connection.ensure_connection()
    message.reply_channel.send({"text": "from a routing beside the test run"})

channel_routing = {"websocket.connect": connect}
"""


SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "db.sqlite3",
    "TEST": {"NAME": "test.sqlite3"},
}


def start_test_run(
    folder: Path, redis_url: str, database: dict[str, Any], then: str
) -> "subprocess.Popen[str]":
    program = TEST_RUN.replace("{database}", repr(database)).replace("{then}", then)
    (folder / "routes.py").write_text(ROUTES)
    (folder / "test_run.py").write_text(program)
    return subprocess.Popen(
        [sys.executable, "test_run.py", redis_url],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A database of each kind."""
    if request.param == "sqlite":
        yield SQLITE
        return
    with PostgresServer() as server:
        yield server.create_database("live")


def test_settings_that_are_in_no_module_hold_in_the_processes(tmp_path, redis_server, database):
    run = start_test_run(tmp_path, redis_server.url, database, "pass")
    output, errors = run.communicate(timeout=100)
    pids = [int(pid) for pid in output.splitlines()[0].split()]
    assert "\nOK\n" in errors
    assert output.splitlines()[1:] == ["done"]
    assert [is_gone(pid) for pid in pids] == [True, True]
    assert not (tmp_path / "test.sqlite3").exists()


def test_the_processes_of_a_test_run_that_was_killed_end(tmp_path, redis_server):
    run = start_test_run(tmp_path, redis_server.url, SQLITE, "import time; time.sleep(100)")
    assert run.stdout is not None
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert len(pids) == 2
    assert not any(is_gone(pid) for pid in pids)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=20)
    wait_until(lambda: all(is_gone(pid) for pid in pids), timeout=30)
