"""The samples of the chapter Getting Started with Channels."""

from contextlib import closing

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import engines
from django.test import override_settings
from selenium.common.exceptions import NoAlertPresentException
from websockets.sync.client import connect

from channels.asgi import ChannelLayerManager, channel_layers
from channels.channel import Channel, Group
from channels.routing import Router, route
from channels.sessions import http_session
from channels.test import Client, WSClient, apply_routes
from channels.worker import Worker
from tests.http_messages import request_message
from tests.management import project as files
from tests.waiting import wait_until
from tests.worker.workers import running

#: The model that the chapter assumes, "a ChatMessage model with message and room fields".
CHAT_MESSAGE = """
from django.db import models

class ChatMessage(models.Model):
    room = models.CharField(max_length=50)
    message = models.TextField()
"""

#: The routing of the samples that have consumers for the three channels, but no routing.
THREE_CHANNELS = """
from channels.routing import route
from myapp.consumers import ws_add, ws_message, ws_disconnect

channel_routing = [
    route("websocket.connect", ws_add),
    route("websocket.receive", ws_message),
    route("websocket.disconnect", ws_disconnect),
]
"""


def in_the_browser(test):
    """Mark a test as one in the browser, which says nothing about the fallbacks."""
    needed = pytest.mark.needs("chromium", "chromedriver", "redis-server")
    return needed(pytest.mark.compiled_only(test))


#: Where the routing of the chapter's project is.
ROUTING = "myproject.routing.channel_routing"


def test_http_consumer(sample, project):
    project.write("myapp.consumers", sample)
    client = Client()

    with apply_routes({"http.request": "myapp.consumers.http_consumer"}):
        request = request_message("/some/page/").content | {"reply_channel": client.reply_channel}
        client.send_and_consume("http.request", request)

    assert client.receive()["content"] == b"Hello world! You asked for /some/page/"


def test_http_routing_and_settings(sample, samples, project):
    settings, routing = sample.split("# In routing.py\n")
    project.write("myapp.consumers", samples["http_consumer"])
    project.write("myproject.routing", routing)
    layers = project.module("myproject.settings", settings).CHANNEL_LAYERS

    with override_settings(CHANNEL_LAYERS=layers):
        layer = ChannelLayerManager()["default"]
    request = request_message("/page/").content | {"reply_channel": "http.response!page"}
    with running(Worker(layer, signal_handlers=False)):
        layer.send("http.request", request)
        _, response = layer.receive(["http.response!"], block=True, timeout=20)

    assert response["content"] == b"Hello world! You asked for /page/"


def test_echo_consumer(sample, project, client):
    project.write("myapp.consumers", sample)

    with apply_routes({"websocket.receive": "myapp.consumers.ws_message"}):
        client.send_and_consume("websocket.receive", text="hello world")

    assert client.receive(json=False) == "hello world"


def test_echo_routing(sample, samples, project, client):
    project.write("myapp.consumers", samples["echo_consumer"])
    project.write("myproject.routing", sample)

    with apply_routes(ROUTING):
        client.send_and_consume("websocket.receive", text="hello world", path="/any/path/")

    assert client.receive(json=False) == "hello world"


@in_the_browser
def test_echo_in_the_browser(sample, samples, project, site, browser):
    project.write("myapp.consumers", samples["echo_consumer"])
    project.write("myproject.routing", samples["echo_routing"])

    with site.routed(ROUTING):
        browser.get(site.url)
        browser.execute_script(sample)
        assert alert_text(browser) == "hello world"


def test_group_of_sockets(sample, project, client):
    consumers = project.module("myapp.consumers", sample)
    routes = {
        "websocket.connect": consumers.ws_add,
        "websocket.disconnect": consumers.ws_disconnect,
    }
    with apply_routes(routes):
        client.send_and_consume("websocket.connect")
        Group("chat").send({"text": "heard"})
        client.send_and_consume("websocket.disconnect")
        Group("chat").send({"text": "not heard"})

    assert client.receive(json=False) == "heard"
    assert client.receive() is None


def test_chat_consumers(sample, project):
    project.write("myapp.consumers", sample)
    project.write("myproject.routing", THREE_CHANNELS)
    assert_they_chat(prefix="[user] ")


def test_chat_routing(sample, samples, project):
    project.write("myapp.consumers", samples["chat_consumers"])
    project.write("myproject.routing", sample)
    router = Router(ROUTING)

    assert {"websocket.connect", "websocket.receive", "websocket.disconnect"} <= router.channels
    assert "http.request" not in router.channels  # left to the views, which every layer gets
    assert_they_chat(prefix="[user] ")


@in_the_browser
def test_chat_in_the_browser(sample, samples, project, site, browser):
    project.write("myapp.consumers", samples["chat_consumers"])
    project.write("myproject.routing", samples["chat_routing"])

    with site.routed(ROUTING):
        browser.get(site.url)
        first = browser.current_window_handle
        browser.execute_script(sample)
        assert alert_text(browser) == "[user] hello world"
        browser.switch_to.new_window("tab")
        browser.get(site.url)
        browser.execute_script(sample)
        assert alert_text(browser) == "[user] hello world"
        browser.close()
        browser.switch_to.window(first)
        assert alert_text(browser) == "[user] hello world"


@pytest.mark.needs("redis-server")
def test_redis_layer(sample, samples, project, redis_server):
    project.write("myapp.consumers", samples["echo_consumer"])
    project.write("myproject.routing", samples["echo_routing"])
    settings = sample.replace("6379", str(redis_server.port))
    layers = project.module("myproject.settings", settings).CHANNEL_LAYERS

    with override_settings(CHANNEL_LAYERS=layers):
        server, worker = (ChannelLayerManager()["default"] for _ in range(2))
    reply_channel = server.new_channel("websocket.send?").replace("?", ".") + "!socket"
    with closing(server), closing(worker), running(Worker(worker, signal_handlers=False)):
        server.send("websocket.receive", {"reply_channel": reply_channel, "text": "hello"})
        _, reply = server.receive([reply_channel.partition("!")[0] + "!"], block=True, timeout=20)

    assert reply == {"text": "hello"}


@pytest.mark.compiled_only
@pytest.mark.needs("redis-server")
def test_server_and_worker_apart(sample, samples, tmp_path, redis_server):
    settings = samples["redis_layer"].replace("6379", str(redis_server.port))
    site = files.Project(tmp_path, settings)
    site.write("myapp/consumers.py", samples["echo_consumer"])
    site.write("myproject/routing.py", samples["echo_routing"])
    runserver, runworker = (line.split()[1:] for line in sample.splitlines())
    try:
        server = site.serve(*runserver[1:], "--noreload")
        site.start(*runworker)
        with connect(server.url("/chat/").replace("http:", "ws:"), proxy=None) as socket:
            socket.send("hello world")
            assert socket.recv(timeout=20) == "hello world"
    finally:
        site.end()


def test_persisting_data(sample, samples, project, client, database):
    write_rooms(project, sample, samples)

    with apply_routes(ROUTING):
        client.send_and_consume("websocket.connect", path="/lobby/?username=Ada%20L")
        client.send_and_consume("websocket.receive", path="/lobby/", text="hello")
        assert client.receive() == {"text": "hello", "username": "Ada L"}
        client.send_and_consume("websocket.disconnect", path="/lobby/")

        nameless = WSClient()
        nameless.send_and_consume("websocket.connect", path="/lobby/", check_accept=False)
        assert [nameless.receive(), nameless.receive()] == [{"accept": True}, {"close": True}]

    assert not channel_layers["default"].group_channels("chat-lobby")


def test_persisting_data_routing(sample, samples, project, database):
    write_rooms(project, samples["persisting_data"], samples)
    ada, grace = WSClient(), WSClient()

    with apply_routes(ROUTING):
        ada.send_and_consume("websocket.connect", path="/lobby/?username=Ada")
        grace.send_and_consume("websocket.connect", path="/kitchen/?username=Grace")
        ada.send_and_consume("websocket.receive", path="/lobby/", text="hello")

    assert ada.receive() == {"text": "hello", "username": "Ada"}
    assert grace.receive() is None


def test_authentication(sample, project, database):
    project.write("myapp.consumers", sample)
    project.write("myproject.routing", THREE_CHANNELS)
    clients = {name: logged_in(name) for name in ("ada", "alan", "grace")}

    with apply_routes(ROUTING):
        for client in clients.values():
            client.send_and_consume("websocket.connect")
        clients["ada"].send_and_consume("websocket.receive", text="to a")
        assert clients["ada"].receive(json=False) == "to a"
        assert clients["alan"].receive(json=False) == "to a"
        assert clients["grace"].receive() is None

        clients["alan"].send_and_consume("websocket.disconnect")
        clients["ada"].send_and_consume("websocket.receive", text="again")
        assert clients["alan"].receive() is None


@in_the_browser
@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache")
def test_session_key_in_the_address(sample, client, site, browser):
    client.session["name"] = "Ada"
    client.session.save()
    code = sample.replace("9000", str(site.port)).replace("abcdefg", client.session.session_key)

    @http_session
    def greet(message):
        message.reply_channel.send({"text": message.http_session["name"]})

    with site.routed({"websocket.connect": greet}):
        browser.get(site.url)
        browser.execute_script(code + "socket.onmessage = (e) => { document.title = e.data }")
        wait_until(lambda: browser.title == "Ada")


def test_session_key_in_a_template(sample, client, database):
    request = HttpRequest()
    request.session = client.session
    template = engines["django"].from_string(sample)

    assert template.render({"request": request}).strip() == client.session.session_key


def test_origin_check(sample, project, database):
    consumers = project.module("myapp.consumers", sample)
    client = logged_in("ada")

    with apply_routes({"websocket.connect": consumers.ws_add}):
        with override_settings(ALLOWED_HOSTS=["example.com"]):
            client.set_header("Origin", "https://example.com")
            client.send_and_consume("websocket.connect", check_accept=False)
            assert client.receive() is None  # the sample's consumer sends nothing
            for origin in ("https://elsewhere.com", "nonsense"):
                client.set_header("Origin", origin)
                client.send_and_consume("websocket.connect", check_accept=False)
                assert client.receive() == {"close": True}


def test_routing(sample, project):
    consumers = "\n".join(
        f"def {name}(message, **kwargs): message.reply_channel.send({{'by': '{name}', **kwargs}})"
        for name in ("poll_consumer", "chat_connect", "chat_disconnect")
    )
    imports = "from channels.routing import include, route"
    routing = project.module("myproject.routing", imports, consumers, sample).routing
    router, client = Router(routing), Client()

    def consumed(channel, **content):
        with apply_routes(router.root.routing):
            client.send_and_consume(channel, content)
        return client.receive()

    room = {"by": "chat_connect", "room_name": "lobby"}
    assert consumed("websocket.connect", path="/chat/lobby/") == room
    assert consumed("websocket.disconnect", path="/chat/any/thing") == {"by": "chat_disconnect"}
    assert consumed("http.request", path="/poll/", method="POST") == {"by": "poll_consumer"}


def test_room_by_path(sample, samples, project, database):
    imports, _ = samples["authentication"].split("# Connected to websocket.connect")
    consumers = project.module("myapp.consumers", imports, sample)
    client = logged_in("ada")

    with apply_routes(route("websocket.connect", consumers.ws_add, path=r"^/(?P<room_name>\w+)/$")):
        client.send_and_consume("websocket.connect", path="/lobby/")
    Group("chat-lobby").send({"text": "heard"})

    assert client.receive(json=False) == "heard"


def test_models(sample, samples, project):
    models = write_stored_chat(project, sample, samples)
    client = WSClient()

    with apply_routes(ROUTING):
        client.send_and_consume("websocket.connect", path="/lobby/")
        client.send_and_consume("websocket.receive", text="hello")
        assert client.receive() is None  # it is on the way to the consumer of chat-messages
        client.consume("chat-messages")
        assert client.receive(json=False) == "hello"
        client.send_and_consume("websocket.disconnect")

    assert models.ChatMessage.objects.get(room="lobby").message == "hello"
    assert not channel_layers["default"].group_channels("chat-lobby")


def test_models_routing(sample, samples, project):
    models = write_stored_chat(project, samples["models"], samples)
    client = WSClient()

    with apply_routes(ROUTING):
        client.send_and_consume("websocket.connect", path="/lobby/")
        # "Note that we could add messages onto the chat-messages channel from anywhere"
        Channel("chat-messages").send({"room": "lobby", "message": "from a bot"})
        client.consume("chat-messages")

    assert client.receive(json=False) == "from a bot"
    assert models.ChatMessage.objects.get().room == "lobby"


def test_enforcing_ordering(sample, project, database):
    project.write("myapp.consumers", sample)
    project.write("myproject.routing", THREE_CHANNELS)
    client = WSClient()
    client.force_login(User.objects.create_user("ada"))

    with apply_routes(ROUTING):
        client.send_and_consume("websocket.connect", {"order": 0})
        for order, text in ((2, "two"), (3, "three"), (1, "one")):
            client.send_and_consume("websocket.receive", {"order": order}, text=text)
        for _ in range(3):  # those that waited, where they came back to the channel
            client.consume("websocket.receive", fail_on_none=False)

    received = [client.receive(json=False) for _ in range(3)]
    assert received == ["1: one", "2: two", "3: three"]


def write_stored_chat(project, consumers, samples):
    """The chat that stores what is said; returns its models."""
    project.write("myapp.models", CHAT_MESSAGE)
    project.write("myapp.consumers", consumers)
    project.write("myproject.routing", samples["models_routing"])
    return project.install("myapp")


def write_rooms(project, consumers, samples):
    """The chat whose rooms are in the path."""
    project.write("myapp.consumers", consumers)
    project.write("myproject.routing", samples["persisting_data_routing"])


def logged_in(name):
    """The client of a new user."""
    client = WSClient(ordered=True)
    client.force_login(User.objects.create_user(name))
    return client


def assert_they_chat(prefix):
    """What one socket says both get, until one leaves."""
    one, two = WSClient(), WSClient()
    with apply_routes(ROUTING):
        for client in (one, two):
            client.send_and_consume("websocket.connect", path="/chat/")
        one.send_and_consume("websocket.receive", text="hello world")
        for client in (one, two):
            assert client.receive(json=False) == f"{prefix}hello world"
        two.send_and_consume("websocket.disconnect")
        one.send_and_consume("websocket.receive", text="alone")
        assert one.receive(json=False) == f"{prefix}alone"
        assert two.receive() is None


def alert_text(browser):
    """What the page says by an alert, once it does; the alert is closed."""
    alert = wait_until(lambda: alert_of(browser), timeout=30)
    text = alert.text
    alert.accept()
    return text


def alert_of(browser):
    """The open alert, or None."""
    try:
        return browser.switch_to.alert
    except NoAlertPresentException:
        return None
