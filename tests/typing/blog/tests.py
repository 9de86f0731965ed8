"""Tests of the consumers, as applications write them; they are run as well."""

from typing import Any

from django.contrib.auth.models import User

from channels import Channel, route
from channels.asgi import channel_layers, get_channel_layer
from channels.message import Message
from channels.test import ChannelTestCase, Client, WSClient, apply_routes
from tests.typing.blog.classes import Echo
from tests.typing.blog.models import Post


class Blog(ChannelTestCase):
    """The blog."""

    test_channel_aliases = ["default"]

    def test_a_user_speaks_to_the_room(self) -> None:
        """By the consumers that are functions."""
        client = WSClient(ordered=True)
        client.force_login(User.objects.create_user("anna"))
        client.set_header("Origin", "http://localhost")
        with self.settings(ALLOWED_HOSTS=["localhost"]):
            client.send_and_consume("websocket.connect", path="/blog/hall/")
        client.send_and_consume("websocket.receive", text="hello", path="/blog/")
        said: dict[str, Any] = client.receive()
        self.assertEqual(said, {"from": "anna", "text": "hello"})
        self.assertEqual(self.get_next_message("blog.log", require=True)["room"], "hall")
        self.assertIsNone(self.get_next_message("blog.log"))
        self.assertEqual(client.channel_session["room"], "hall")

    def test_a_post_is_told(self) -> None:
        """To the group of its room."""
        client = WSClient()
        client.join_group("posts-hall")
        Post.objects.create(room="hall", title="New")
        told = client.receive()
        self.assertEqual(told["payload"]["data"]["title"], "New")

    def test_streams(self) -> None:
        """Of the demultiplexer."""
        client = WSClient()
        client.send_and_consume("websocket.connect", path="/streams/hall/")
        self.assertEqual(client.receive()["payload"], {"stream": "chat", "room": "hall"})
        client.send_and_consume(
            "websocket.receive",
            text={"stream": "count", "payload": {}},
            path="/streams/hall/",
        )
        self.assertEqual(client.receive(), {"stream": "count", "payload": {"count": 1}})

    @apply_routes([route("blog.task", "tests.typing.blog.consumers.count")])
    def test_other_routes(self) -> None:
        """By the decorator."""
        client = Client()
        client.send("blog.task", {"get": {}})
        self.assertEqual(client.get_consumer_by_channel("blog.task").__name__, "count")

    def test_routes_in_a_context(self) -> None:
        """By the context manager."""
        got: list[Message] = []
        with apply_routes(route("blog.task", got.append)) as routes:
            Client().send_and_consume("blog.task", {"number": 1}, fail_on_none=True)
        self.assertEqual(got[0]["number"], 1)
        self.assertEqual(routes.aliases, ["default"])

    def test_layers(self) -> None:
        """By their alias."""
        Channel("blog.work", alias="default").send({"number": 1})
        layer = channel_layers["default"]
        self.assertEqual(layer.receive(["blog.work"]), ("blog.work", {"number": 1}))
        self.assertIsNotNone(get_channel_layer("default"))


@apply_routes([Echo.as_route(path=r"^/(?P<room>\w+)/$")])
class Echoes(ChannelTestCase):
    """The echo."""

    def test_echo(self) -> None:
        """A frame comes back, and once more by the group."""
        client = WSClient(ordered=True)
        client.set_header("Origin", "http://testserver")
        client.force_login(User.objects.create_user("anna"))
        client.send_and_consume("websocket.connect", path="/hall/")
        client.send_and_consume("websocket.receive", text="hello", path="/hall/")
        self.assertEqual(client.receive(json=False), "hello")
