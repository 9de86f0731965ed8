"""``ChannelLiveServerTestCase``: a whole site in processes of its own."""

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from websockets.sync.client import connect

from channels import Channel, Group, channel_layers
from channels.test import ChannelLiveServerTestCase
from tests.test.cases import run
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(autouse=True)
def project(layers):
    with override_settings(CHANNEL_LAYERS=layers, ROOT_URLCONF="tests.test.live.project"):
        yield


def get(url: str) -> str:
    with urlopen(url, timeout=20) as response:
        return response.read().decode()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def passes(case: type[ChannelLiveServerTestCase]) -> None:
    result = run(case)
    assert result.errors + result.failures == []
    assert result.testsRun


def test_views_and_consumers_are_served_on_the_test_database_and_the_layer():
    class Case(ChannelLiveServerTestCase):
        def test_views(self):
            assert get(f"{self.live_server_url}/names/") == ""
            get_user_model().objects.create_user("ada")
            assert get(f"{self.live_server_url}/names/") == "ada"

        def test_sockets(self):
            with connect(f"{self.live_server_ws_url}/room/") as socket:
                socket.send("hello")
                assert socket.recv(20) == "HELLO"
                Group("everybody").send({"text": "from the test"})
                assert socket.recv(20) == "from the test"

        def test_the_database_is_fresh(self):
            assert get(f"{self.live_server_url}/names/") == ""

    passes(Case)


def test_its_addresses():
    class Case(ChannelLiveServerTestCase):
        host = "127.0.0.1"

        def test(self):
            port = self.site.server.ready["port"]
            assert self.live_server_url == f"http://127.0.0.1:{port}"
            assert self.live_server_ws_url == type(self).live_server_ws_url
            assert self.live_server_ws_url == f"ws://127.0.0.1:{port}"

    assert ChannelLiveServerTestCase.host == "localhost"
    passes(Case)


@override_settings(ALLOWED_HOSTS=[], LANGUAGE_CODE="cs")
def test_settings_hold_in_the_processes():
    @override_settings(LANGUAGE_CODE="de")
    class Case(ChannelLiveServerTestCase):
        def test(self):
            assert get(f"{self.live_server_url}/about/").split()[1:] == ["de", "False"]

    passes(Case)


def test_settings_of_one_test_hold_in_the_processes_as_long_as_here():
    class Case(ChannelLiveServerTestCase):
        def language(self):
            return get(f"{self.live_server_url}/about/").split()[1:]

        @override_settings(LANGUAGE_CODE="de", DEBUG=True)
        def test(self):
            url = self.live_server_url
            assert self.language() == ["de", "True"]
            with self.settings(LANGUAGE_CODE="fr"):
                assert (self.live_server_url, self.language()) == (url, ["fr", "True"])
                self.site.workers.kill()
            assert self.site.workers.pid is None  # which is as the test wants it
            self.site.workers.start()
            assert self.language() == ["de", "True"]

    passes(Case)


def test_settings_that_processes_cannot_have_are_refused_in_a_test():
    class Case(ChannelLiveServerTestCase):
        def test(self):
            with pytest.raises(ImproperlyConfigured, match="cannot be given the setting ANSWER"):
                self.settings(ANSWER=lambda: 42).enable()
            layers = {**settings.CHANNEL_LAYERS}
            with pytest.raises(ImproperlyConfigured, match="override it for the class"):
                self.settings(CHANNEL_LAYERS=layers).enable()
            assert get(f"{self.live_server_url}/names/") == ""

    passes(Case)


def test_static_files_are_served_unless_they_are_not_to_be():
    class Serving(ChannelLiveServerTestCase):
        def test(self):
            assert "body" in get(f"{self.live_server_url}/static/admin/css/base.css")

    class NotServing(ChannelLiveServerTestCase):
        serve_static = False

        def test(self):
            with pytest.raises(HTTPError, match="404"):
                get(f"{self.live_server_url}/static/admin/css/base.css")

    passes(Serving)
    passes(NotServing)


def test_nothing_of_one_test_reaches_the_next():
    open_sockets = ExitStack()

    class Case(ChannelLiveServerTestCase):
        def test_one(self):
            self.leave_something()

        def test_two(self):
            self.leave_something()

        def leave_something(self):
            assert get(f"{self.live_server_url}/names/") == ""
            assert channel_layers["default"].receive(["left", "ends"]) == (None, None)
            assert channel_layers["default"].group_channels("everybody") == []
            Channel("left").send({})
            socket = open_sockets.enter_context(connect(f"{self.live_server_ws_url}/room/"))
            socket.send("hello")
            assert socket.recv(20) == "HELLO"

    with open_sockets:
        passes(Case)


def test_the_processes_are_those_of_the_class_and_end_with_it():
    seen = []

    class Case(ChannelLiveServerTestCase):
        def test_one(self):
            seen.append((self.live_server_url, self.site.server.pid, self.site.workers.pid))
            assert get(f"{self.live_server_url}/about/").split()[0] == str(seen[-1][2])

        test_two = test_one

    before = channel_layers.backends.get("default")
    passes(Case)
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert is_gone(seen[0][1])
    assert is_gone(seen[0][2])
    assert channel_layers.backends.get("default") is before


@pytest.mark.parametrize("where", ["setUp", "test", "tearDown"])
def test_they_end_after_tests_that_fail(where):
    pids = []

    def fail(self):
        pids.extend([self.site.server.pid, self.site.workers.pid])
        raise ZeroDivisionError

    methods = {"test": lambda self: None, where: fail}
    result = run(type("Case", (ChannelLiveServerTestCase,), methods))
    assert len(result.errors) == 1
    assert [is_gone(pid) for pid in pids] == [True, True]


def test_several_consumers_run_at_a_time_on_demand():
    class Case(ChannelLiveServerTestCase):
        worker_threads = 2

        def test(self):
            url = f"{self.live_server_ws_url}/room/"
            with connect(url) as hanging, connect(url) as socket:
                hanging.send("hang")
                socket.send("hello")
                assert socket.recv(20) == "HELLO"
            self.site.workers.kill()

    passes(Case)


def test_processes_that_a_test_has_killed_are_there_again_in_the_next():
    class Case(ChannelLiveServerTestCase):
        def test_one(self):
            url = self.live_server_url
            self.site.workers.kill()
            self.site.server.kill()
            self.site.workers.start()
            self.site.server.start()
            assert self.live_server_url == url
            assert get(f"{url}/names/") == ""
            self.site.workers.kill()
            self.site.server.kill()

        def test_two(self):
            assert get(f"{self.live_server_url}/names/") == ""

    passes(Case)


def test_a_process_that_has_ended_by_itself_is_told():
    class Case(ChannelLiveServerTestCase):
        def test_one(self):
            with connect(f"{self.live_server_ws_url}/") as socket:
                socket.send("die")
                wait_until(lambda: is_gone(self.site.workers.pid) or self.has_died())

        def test_two(self):
            assert get(f"{self.live_server_url}/names/") == ""

        def has_died(self):
            with open(f"/proc/{self.site.workers.pid}/stat") as stat:
                return stat.read().rpartition(")")[2].split()[0] == "Z"

    result = run(Case)
    [(test, traceback)] = result.errors
    assert test.id().endswith("test_one")
    assert "The WorkerProcess of the live server ended by itself with exit code 7" in traceback


def test_a_worker_that_does_not_stop_is_killed(monkeypatch):
    monkeypatch.setattr("channels.test.processes.STOP_TIMEOUT", 1.0)

    class Case(ChannelLiveServerTestCase):
        def test(self):
            with connect(f"{self.live_server_ws_url}/") as socket:
                socket.send("hang")

    with pytest.warns(RuntimeWarning, match="The WorkerProcess .* did not stop within 1 s"):
        passes(Case)


def test_what_goes_wrong_is_seen_on_standard_error(capfd):
    class Case(ChannelLiveServerTestCase):
        def test(self):
            with connect(f"{self.live_server_ws_url}/") as socket:
                socket.send("fail")
                socket.send("hello")
                assert socket.recv(20) == "HELLO"
            with pytest.raises(HTTPError, match="500"):
                get(f"{self.live_server_url}/broken/")
            with pytest.raises(HTTPError, match="404"):
                get(f"{self.live_server_url}/absent/")

    passes(Case)
    seen = capfd.readouterr().err
    assert "Error processing message with consumer tests.test.live.project.receive" in seen
    assert "ZeroDivisionError: a consumer that fails" in seen
    assert seen.count("ZeroDivisionError: a view that fails") == 1
    assert "absent" not in seen
    assert "Dropping" not in seen


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as a descriptor of ``select`` may not have (FD_SETSIZE is 1,024)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        if soft < 2048:
            resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while stack.enter_context(open(os.devnull)).fileno() < 1024:
            pass
        yield


def test_a_site_is_served_to_a_process_with_more_than_a_thousand_open_files(many_files):
    class Case(ChannelLiveServerTestCase):
        def test(self):
            assert get(f"{self.live_server_url}/names/") == ""

    passes(Case)
