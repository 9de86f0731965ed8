"""The samples of the chapter Generic Consumers."""

import json

import pytest
from django.contrib.auth.models import User

from channels.auth import transfer_user
from channels.channel import Group, channel_layers
from channels.test import Client, WSClient, apply_routes

#: What the short samples use and do not import.
GIVEN = """
from channels.generic.websockets import WebsocketConsumer, WebsocketMultiplexer
"""

#: The consumers that the routing samples name and do not print.
CHAT_SERVER = """
from channels.generic.websockets import WebsocketConsumer

class ChatServer(WebsocketConsumer):
    def receive(self, text=None, bytes=None, **kwargs):
        self.send(text=text)

def ws_connect(message):
    message.reply_channel.send({"text": "by a function"})
"""


@pytest.fixture
def ada(database):
    """A user."""
    return User.objects.create_user("ada")


@pytest.fixture
def socket(client, ada):
    """A socket of that user."""
    client.force_login(ada)
    return client


def test_routing(sample, project, client):
    project.write("myapp.consumers", CHAT_SERVER)
    project.write("myapp.routing", "from . import consumers", sample)

    with apply_routes("myapp.routing.channel_routing"):
        assert_chat_server(client)
        other = WSClient()
        other.send_and_consume("websocket.connect", path="/")
        assert other.receive(json=False) == "by a function"


def test_base(sample, project):
    consumer = project.module("myapp.consumers", sample).MyConsumer
    calls = []
    consumer.method_name = lambda self, message, **kwargs: calls.append((self, message, kwargs))

    assert consumer.channel_names() == {"channel.name.here"}
    with apply_routes(consumer.as_route(key="(?P<found>.*)")):
        Client().send_and_consume("channel.name.here", {"key": "value"})

    [(instance, message, kwargs)] = calls
    assert message["key"] == "value"
    assert instance.message is message
    assert instance.kwargs == kwargs == {"found": "value"}


def test_websocket(sample, project, socket, ada):
    consumer = project.module("myapp.consumers", sample).MyConsumer

    with apply_routes(consumer.as_route()):
        socket.send_and_consume("websocket.connect", path="/some/path/")
        Group("test").send({"text": "to the group"})
        assert socket.receive(json=False) == "to the group"

        instance = socket.send_and_consume("websocket.receive", text="echo", path="/some/path/")
        assert instance.message.user == ada
        assert instance.path == "/some/path/"
        assert socket.receive(json=False) == "echo"
        socket.send_and_consume("websocket.receive", {"bytes": b"\0\1"})
        assert socket.receive() == {"bytes": b"\0\1"}

        socket.send_and_consume("websocket.disconnect")
        assert not channel_layers["default"].group_channels("test")


def test_json_websocket(sample, project, client):
    consumer = project.module("myapp.consumers", sample).MyConsumer

    with apply_routes(consumer.as_route()):
        client.send_and_consume("websocket.connect", check_accept=False)
        assert client.receive() is None  # its connect does not accept: see README.md
        client.send_and_consume("websocket.receive", text={"any": ["content"]})
        assert client.receive() == {"any": ["content"]}
        consumer.group_send("test", {"to": "the group"})
        assert client.receive() == {"to": "the group"}

    before, hook = sample.split("    # @classmethod\n")
    uncommented = f"    @classmethod\n{hook.replace('    # ', '    ')}"
    given = "import json\n\ndef my_custom_json_encoder(content):\n    return json.dumps([content])"
    consumer = project.module("myapp.encoded", given, before, uncommented).MyConsumer
    with apply_routes(consumer.as_route()):
        client.send_and_consume("websocket.receive", text="1")
        assert client.receive() == [1]


def test_multiplexing(sample, project, client, capsys):
    demultiplexer = project.module("myapp.consumers", sample).Demultiplexer

    with apply_routes(demultiplexer.as_route()):
        client.send_and_consume("websocket.connect")
        assert client.receive() == on_echo({"status": "I just connected!"})
        for stream in ("other", "echo"):
            text = {"stream": stream, "payload": {"to": stream}}
            client.send_and_consume("websocket.receive", text=text)
        assert client.receive() == on_echo({"original_message": {"to": "echo"}})
        client.send_and_consume("websocket.disconnect")

    assert client.receive() is None
    assert "Stream echo is closed" in capsys.readouterr().out
    encoded = demultiplexer.encode("echo", {"by": "hand"})
    assert json.loads(encoded["text"]) == on_echo({"by": "hand"})

    custom = "class MyCustomJsonEncodingMultiplexer(WebsocketMultiplexer): pass"
    code = sample.replace("# multiplexer_class", "multiplexer_class")
    consumers = project.module("myapp.custom", GIVEN, custom, code)
    multiplexer = consumers.MyCustomJsonEncodingMultiplexer
    multiplexer.encode_json = classmethod(lambda cls, content: "as it likes")
    with apply_routes(consumers.Demultiplexer.as_route()):
        client.send_and_consume("websocket.connect")
    assert client.receive(json=False) == "as it likes"


def test_channel_session_user(sample, project, client, ada):
    consumer = project.module("myapp.consumers", GIVEN, sample).MyConsumer
    other = WSClient()
    other.force_login(ada)

    with apply_routes(consumer.as_route()):
        instance = client.send_and_consume("websocket.connect")
        assert instance.message.user.is_anonymous
        transfer_user(other.session, client.channel_session)
        client.channel_session.save()
        instance = client.send_and_consume("websocket.receive", text="any")

    assert instance.message.user == ada
    assert instance.message.channel_session.session_key == client.channel_session.session_key


def test_http_user(sample, project, socket, ada):
    consumer = project.module("myapp.consumers", GIVEN, sample).MyConsumer

    with apply_routes(consumer.as_route()):
        for channel in ("websocket.connect", "websocket.receive", "websocket.disconnect"):
            assert socket.send_and_consume(channel, text="any").message.user == ada


def test_http_user_and_session(sample, project, socket, ada):
    consumer = project.module("myapp.consumers", GIVEN, sample).MyConsumer
    socket.session["likes"] = "tea"
    socket.session.save()

    with apply_routes(consumer.as_route()):
        for channel in ("websocket.connect", "websocket.receive", "websocket.disconnect"):
            message = socket.send_and_consume(channel, text="any").message
            assert message.user == ada
            assert message.http_session["likes"] == "tea"


def test_decorated_handler(sample, project, client):
    decorator = """
decorated = []

def your_decorator(handler):
    decorated.append(handler)
    return handler
"""
    consumers = project.module("myapp.consumers", GIVEN, decorator, sample)

    with apply_routes(consumers.MyConsumer.as_route()):
        client.send_and_consume("websocket.connect")
        client.send_and_consume("websocket.receive", text="any")

    assert len(consumers.decorated) == 2


def test_as_route(sample, project, client):
    project.write("myapp.consumers", CHAT_SERVER)
    project.write("myapp.routing", sample)

    with apply_routes("myapp.routing.channel_routing"):
        assert_chat_server(client)


def test_class_attributes(sample, project, client):
    consumer = project.module("myapp.consumers", GIVEN, sample).MyGenericConsumer

    with apply_routes(consumer.as_route(attrs={"group": "one", "group_prefix": "pre"})):
        client.send_and_consume("websocket.connect")
    Group("pre_one").send({"text": "heard"})

    assert client.receive(json=False) == "heard"


def test_as_route_with_attrs(sample, samples, project):
    project.write("myapp.consumers", GIVEN, samples["class_attributes"])
    project.write("myapp.routing", sample)
    clients = [WSClient(), WSClient()]

    with apply_routes("myapp.routing.channel_routing"):
        for number, client in enumerate(clients, start=1):
            client.send_and_consume("websocket.connect", path=f"/path/{number}/")
    for group in ("pre_one", "public_two"):
        Group(group).send({"text": group})

    assert [client.receive(json=False) for client in clients] == ["pre_one", "public_two"]


def on_echo(payload):
    """A frame on the stream ``echo``."""
    return {"stream": "echo", "payload": payload}


def assert_chat_server(client):
    """A socket below /chat/ reaches ``ChatServer``."""
    client.send_and_consume("websocket.connect", path="/chat/room/")
    client.send_and_consume("websocket.receive", text="hello", path="/chat/room/")
    assert client.receive(json=False) == "hello"
