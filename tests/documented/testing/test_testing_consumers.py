"""The samples of the chapter Testing Consumers: test cases, each of which has to pass.

Those without a live server run in this process, the others by ``manage.py test``.
"""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

from channels import Channel
from channels.sessions import enforce_ordering
from channels.test import apply_routes
from tests.documented.layers import assert_it_carries
from tests.documented.samples import chapter
from tests.test.cases import run

ROOT = Path(__file__).parents[3]


def test_each_sample_has_one_test(samples):
    names = re.findall(r"^def test_(\w+)\(", Path(__file__).read_text(), re.MULTILINE)
    assert [name for name in names if name in samples] == list(samples)
    assert len(set(names)) == len(names)


def case_of(sample, **given):
    """The test case of a sample, to whose module ``given`` is added."""
    namespace = dict(given)
    exec(sample, namespace)
    [case] = [
        value
        for value in namespace.values()
        if isinstance(value, type)
        and issubclass(value, unittest.TestCase)
        and value.__module__ == "builtins"
    ]
    return case


def assert_it_passes(case):
    result = run(case)
    assert result.testsRun == 1
    assert result.failures + result.errors == []


# In this process


def test_injecting(sample, database):
    case = case_of(sample)
    case.tearDown = lambda self: self.assertEqual(
        self.get_next_message("some-channel-name", require=True).content, {"foo": "bar"}
    )
    assert_it_passes(case)


def test_receiving(sample, database):
    def my_consumer(message):
        Channel("result").send({"value": message["value"] ** 2})

    assert_it_passes(case_of(sample, my_consumer=my_consumer))
    assert not run(case_of(sample, my_consumer=lambda message: None)).wasSuccessful()


MY_CONSUMER = """
from channels.generic import BaseConsumer

class MyConsumer(BaseConsumer):
    method_mapping = {"input": "square"}

    def square(self, message, **kwargs):
        message.reply_channel.send({"value": message["value"] ** 2})
"""


def test_generic_consumers(sample, project, database):
    project.write("myapp.consumers", MY_CONSUMER)
    assert_it_passes(case_of(sample))


def test_groups(sample, database):
    assert_it_passes(case_of(sample))


def test_clients(sample, database):
    def my_consumer(message):
        message.reply_channel.send({"all is": "done"})

    with apply_routes({"my_internal_channel": my_consumer}):
        assert_it_passes(case_of(sample))


GIVEN_TO_ROOMS = """
from channels import Channel
from channels.generic.websockets import JsonWebsocketConsumer
from django.contrib.auth.models import User
"""


def test_websocket_client(sample, project, database):
    rooms = project.module("rooms", GIVEN_TO_ROOMS, sample)
    with apply_routes(rooms.RoomConsumer.as_route(path="^/rooms/$")):
        assert_it_passes(rooms.RoomsTests)


@pytest.mark.filterwarnings("ignore:.*HttpClient is now:DeprecationWarning")
def test_ordering(sample, layer, database):
    seen = []

    @enforce_ordering
    def consumer(message):
        seen.append((message["order"], message["text"]))

    with apply_routes({"websocket.receive": consumer}):
        exec(f"from channels.test import HttpClient\n{sample}")
    assert seen[:3] == [(0, "1"), (1, "2"), (2, "3")]
    assert seen[3:] == [(0, "1"), (1, "3"), (2, "2")]


GIVEN_TO_ROUTES = """
from channels.generic.websockets import JsonWebsocketConsumer

class MyConsumer(JsonWebsocketConsumer):
    def connect(self, message, **kwargs):
        super().connect(message, **kwargs)
        self.send({"key": "value"})
"""


def test_applying_routes(sample, database):
    assert_it_passes(case_of(f"{GIVEN_TO_ROUTES}\n{sample}"))


def test_outbound_binding(sample, project):
    models = installed_values(project)
    assert_it_passes(case_of(sample, IntegerValue=models.IntegerValue))


def test_inbound_binding(sample, project):
    installed_values(project)
    given = """
from channels import route
from channels.binding.base import CREATE
from channels.test import ChannelTestCase, WSClient, apply_routes
from values.consumers import Demultiplexer
from values.models import IntegerValue, IntegerValueBinding
"""
    assert_it_passes(project.module("values.tests", given, sample).TestIntegerValueBinding)


def installed_values(project):
    """The models of the chapter Data Binding."""
    binding = chapter("data_binding")
    project.write("values.models", binding["binding"])
    project.write("values.binding", "from .models import IntegerValueBinding")
    project.write("values.consumers", binding["demultiplexer"])
    return project.install("values")


# In processes of their own


@pytest.mark.needs("redis-server")
def test_test_config(sample, redis_server):
    code = with_servers(sample, redis_server).replace('"my_project.routing.channel_routing"', "[]")
    namespace: dict = {}
    exec(code, namespace)
    config = namespace["CHANNEL_LAYERS"]["default"]
    assert config["CONFIG"] != config["TEST_CONFIG"]
    config["CONFIG"] = config["TEST_CONFIG"]
    assert_it_carries(f"CHANNEL_LAYERS = {namespace['CHANNEL_LAYERS']!r}")


#: Chromium in the place of the browser that the sample starts where none is named.
GIVEN_TO_BROWSER = """
import functools, shutil
import splinter
from selenium.webdriver import ChromeOptions
from selenium.webdriver.chrome.service import Service

options = ChromeOptions()
options.binary_location = shutil.which("chromium")
options.add_argument("--no-sandbox")
splinter.Browser = functools.partial(
    splinter.Browser, "chrome", headless=True, options=options,
    service=Service(shutil.which("chromedriver")),
)
"""


@pytest.mark.needs("redis-server", "chromium", "chromedriver")
def test_live_server(sample, samples, redis_server, tmp_path):
    manage_test(tmp_path, redis_server, samples, GIVEN_TO_BROWSER, sample)
    assert "Chrome" in (tmp_path / "visited").read_text()


@pytest.mark.needs("redis-server")
def test_test_database(sample, samples, redis_server, tmp_path):
    found = """
from django.db import connection
from django.test import TestCase

class Test(TestCase):
    def test(self):
        assert connection.settings_dict["NAME"] == "testdb.sqlite3"
"""
    assert sample in samples.values()
    manage_test(tmp_path, redis_server, samples, found)


@pytest.mark.needs("redis-server")
def test_without_static_files(sample, samples, redis_server, tmp_path):
    given = """
import urllib.error, urllib.request
from channels.test import ChannelLiveServerTestCase
"""
    checked = """
    def tearDown(self):
        with self.assertRaisesRegex(urllib.error.HTTPError, "404"):
            urllib.request.urlopen(self.live_server_url + "/static/site.css")
        with urllib.request.urlopen(self.live_server_url) as response:
            assert response.read() == b"the index"
"""
    manage_test(tmp_path, redis_server, samples, given, sample, checked)


def with_servers(sample, redis_server):
    """The settings of a sample, with the tests' own server in the place of the sample's."""
    return sample.replace('("localhost", 6379)', repr(redis_server.address)).replace(
        '("redis-server-name", 6379)', '("127.0.0.1", 1)'
    )


SETTINGS = """
import os
BASE_DIR = os.path.dirname(__file__)
SECRET_KEY = "x"
ROOT_URLCONF = "my_project.urls"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR]
INSTALLED_APPS = ["channels", "django.contrib.staticfiles"]
"""

URLS = """
from django.http import HttpResponse
from django.urls import path

def index(request):
    with open("visited", "w") as visited:
        visited.write(request.headers["User-Agent"])
    return HttpResponse("the index")

urlpatterns = [path("", index)]
"""


def manage_test(folder, redis_server, samples, *tests):
    """Run a project's tests as its developer does; they have to pass."""
    package = folder / "my_project"
    package.mkdir()
    settings = [
        SETTINGS,
        with_servers(samples["test_config"], redis_server),
        samples["test_database"],
    ]
    (package / "__init__.py").touch()
    (package / "settings.py").write_text("\n".join(settings))
    (package / "urls.py").write_text(URLS)
    (package / "routing.py").write_text("channel_routing = []")
    (package / "site.css").write_text("body { color: green }")
    (package / "tests.py").write_text("\n".join(tests))
    result = subprocess.run(
        [sys.executable, "-m", "django", "test"],
        cwd=folder,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "my_project.settings",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    assert "Ran 1 test in" in result.stderr
    assert not (folder / "testdb.sqlite3").exists()
