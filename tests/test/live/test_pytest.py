"""The pytest plug-in, in test runs of its own: beside pytest-django, and without it."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytest_plugins = ["pytester"]

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = []
ROOT_URLCONF = "urls"
INSTALLED_APPS = [
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "db.sqlite3",
        "TEST": {"NAME": "test.sqlite3"},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.redis.RedisChannelLayer",
        "ROUTING": "routes.channel_routing",
        "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        "TEST_CONFIG": {"hosts": ["{redis}"], "prefix": "plugin:"},
    }
}
"""

ROUTES = """
def connect(message):
    message.reply_channel.send({"accept": True})

def receive(message):
    message.reply_channel.send({"text": message["text"]})

channel_routing = {"websocket.connect": connect, "websocket.receive": receive}
"""

URLS = """
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("count/", lambda request: HttpResponse(str(User.objects.count())))]
"""

WITHOUT = ("-p", "no:django")

#: With pytest-django, and without.
RUNS = pytest.mark.parametrize("options", [(), WITHOUT], ids=["beside", "without"])


@pytest.fixture(scope="module")
def databases():
    """The runs make their own."""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with tests that have its settings."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\npythonpath = .\nmarkers = django_db\n")
    pytester.makepyfile(settings=SETTINGS, routes=ROUTES, urls=URLS)
    return pytester


def test_it_is_an_entry_point():
    [entry] = [point for point in entry_points(group="pytest11") if "channels" in point.value]
    assert entry.name == entry.value == "channels.test.pytest"


@RUNS
def test_layer_client_and_routes_are_those_of_one_test(project, options):
    project.makepyfile(
        """
        import pytest
        from channels import Channel, channel_layers, route

        def shout(message):
            message.reply_channel.send({"text": '"%s"' % message["text"].upper()})

        @pytest.mark.parametrize("number", [1, 2])
        def test_the_layer_is_fresh(channel_layer, number):
            assert channel_layer is channel_layers["default"]
            assert channel_layer.waiting() == []
            Channel("task").send({"value": 1})
            assert channel_layer.waiting() == [("task", {"value": 1})]

        def test_the_client_has_the_projects_routes(ws_client):
            ws_client.send_and_consume("websocket.connect")
            ws_client.send_and_consume("websocket.receive", text={"a": 1})
            assert ws_client.receive() == {"a": 1}

        def test_routes_are_applied(ws_client, apply_routes):
            apply_routes([route("websocket.receive", shout)])
            ws_client.send_and_consume("websocket.receive", text="a")
            assert ws_client.receive() == "A"
            apply_routes([], aliases=["default"])
            with pytest.raises(AssertionError, match="none takes it"):
                ws_client.send_and_consume("websocket.receive", text="a")

        def test_routes_are_the_projects_again(channel_layer):
            assert channel_layer.router.channels == {"websocket.connect", "websocket.receive"}

        def test_the_configured_layer_was_never_made():
            assert channel_layers.backends == {}
        """
    )
    project.runpytest_subprocess(*options).assert_outcomes(passed=6)


def test_users_of_the_client_are_in_the_database_of_pytest_django(project):
    project.makepyfile(
        """
        import pytest
        from channels import route
        from channels.auth import http_session_user

        @http_session_user
        def who(message):
            message.reply_channel.send({"text": message.user.username})

        def test_user(db, django_user_model, ws_client, apply_routes):
            apply_routes(route("websocket.receive", who))
            ws_client.force_login(django_user_model.objects.create_user("ada"))
            ws_client.send_and_consume("websocket.receive")
            assert ws_client.receive(json=False) == "ada"
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=1)


BOUND = """
import pytest
from django.contrib.auth.models import User
from django.db import transaction
from channels.binding.websockets import WebsocketBinding

class UserBinding(WebsocketBinding):
    model = User
    stream = "users"
    fields = ["username"]

    @classmethod
    def group_names(cls, instance):
        return ["users"]

@pytest.fixture
def names(ws_client):
    def names():
        found = []
        while (frame := ws_client.receive()) is not None:
            found.append(frame["payload"]["data"]["username"])
        return found

    ws_client.join_group("users")
    return names

def test_that_never_commits(names, db):
    with transaction.atomic():
        User.objects.create_user("ada")
        assert names() == ["ada"]

@pytest.mark.django_db(transaction=True)
def test_that_commits(names):
    with transaction.atomic():
        User.objects.create_user("ada")
        assert names() == []
    assert names() == ["ada"]

def test_that_commits_by_a_fixture(names, transactional_db):
    with transaction.atomic():
        User.objects.create_user("ada")
        assert names() == []
    assert names() == ["ada"]
"""


def test_data_binding_sends_at_once_where_a_test_never_commits(project):
    project.makeconftest("import django\ndjango.setup()\n")  # models are imported below
    project.makepyfile(BOUND)
    project.runpytest_subprocess().assert_outcomes(passed=3)


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize(
    "options", [(), pytest.param(WITHOUT, marks=pytest.mark.slow)], ids=["beside", "without"]
)
def test_the_live_server_is_fresh_for_each_test_and_stays_for_the_run(
    project, redis_server, options
):
    project.makepyfile(settings=SETTINGS.replace("{redis}", redis_server.url))
    project.makeconftest("import django\ndjango.setup()\n")  # models are imported below
    project.makepyfile(
        """
        import os
        from urllib.request import urlopen
        import pytest
        from django.contrib.auth.models import User
        from django.test import override_settings
        from websockets.sync.client import connect
        from channels import Channel, channel_layers

        pids = []

        @pytest.mark.parametrize(
            "number", [1, pytest.param(2, marks=pytest.mark.django_db(databases=["default"]))]
        )
        def test_site(channels_live_server, number):
            def count():
                return urlopen(channels_live_server.url + "/count/", timeout=20).read()

            assert count() == b"0"
            User.objects.create_user("ada")
            assert count() == b"1"
            assert channel_layers["default"].receive(["left"]) == (None, None)
            Channel("left").send({})
            with connect(channels_live_server.ws_url) as socket:
                socket.send("hello")
                assert socket.recv(20) == "hello"
            pids.append((channels_live_server.server.pid, channels_live_server.workers.pid))

        def test_the_processes_served_both():
            assert len(pids) == 2 and pids[0] == pids[1]
            assert channel_layers.backends == {}

        @pytest.fixture
        def german():
            with override_settings(LANGUAGE_CODE="de"):
                yield

        def test_other_settings_have_other_processes(german, channels_live_server):
            assert channels_live_server.server.pid != pids[0][0]
            with pytest.raises(ProcessLookupError):
                os.kill(pids[0][0], 0)
        """
    )
    project.runpytest_subprocess(*options).assert_outcomes(passed=4)
    assert not (project.path / "test.sqlite3").exists()


def test_it_is_inert_where_nobody_configures_django(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makepyfile(
        """
        import sys

        def test_something_else():
            assert "channels.test.pytest" in sys.modules
            assert "django" not in sys.modules

        def test_that_wants_a_layer(channel_layer):
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:django")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the fixtures of channels.test.pytest need Django's settings: *"])


def test_it_may_be_named_in_conftest_as_well(project):
    project.makeconftest("pytest_plugins = ['channels.test.pytest']")
    project.makepyfile("def test(channel_layer):\n    assert channel_layer.waiting() == []\n")
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_it_may_be_left_out(project):
    project.makepyfile("def test(channel_layer):\n    pass\n")
    result = project.runpytest_subprocess("-p", "no:channels.test.pytest")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'channel_layer' not found*"])
