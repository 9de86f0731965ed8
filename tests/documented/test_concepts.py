"""The samples of the chapter Channels Concepts."""

import pytest

from channels.test import Client, WSClient, apply_routes
from tests.http_messages import request_message
from tests.servers.redis import RedisServer

#: What the chapter has in mind: a model of posts. It says no more of it than the two fields used.
BLOG = """
from django.db import models

class BlogUpdate(models.Model):
    content = models.TextField()
"""

#: What the two live blogs use and do not import.
LIVEBLOG_IMPORTS = """
import json
import redis
from django.db.models.signals import post_save
from django.dispatch import receiver
from channels import Channel, Group
from .models import BlogUpdate
"""


def test_consumer(sample, project):
    consumers = project.module("myapp.consumers", sample)

    with apply_routes({"some-channel": consumers.my_consumer}):
        assert Client().send_and_consume("some-channel", {"any": "data"}) is None


def test_routing_dict(sample, samples, project):
    project.write(
        "myapp.consumers", samples["consumer"], "calls = []", "my_consumer = calls.append"
    )
    project.write("myproject.routing", sample)
    consumers = project.module("myapp.consumers")

    with apply_routes("myproject.routing.channel_routing"):
        Client().send_and_consume("some-channel", {"a": 1})

    [message] = consumers.calls
    assert message.content["a"] == 1
    assert message.channel.name == "some-channel"


def test_view_as_consumer(sample, project):
    given = "from channels.handler import AsgiHandler, AsgiRequest\nfrom tests.views import hello"
    consumers = project.module("myapp.consumers", given, sample, "view = hello")
    client = Client()

    with apply_routes({"http.request": consumers.my_consumer}):
        request = request_message().content | {"reply_channel": client.reply_channel}
        client.send_and_consume("http.request", request)

    response = client.receive()
    assert response["status"] == 200
    assert response["content"] == b"Hello, world"


@pytest.mark.needs("redis-server")
def test_liveblog_without_groups(sample, project):
    with RedisServer() as server:
        blog = installed_blog(project, sample.replace("6379", str(server.port)))
        readers = [WSClient(), WSClient()]
        with apply_routes({"websocket.connect": "blog.consumers.ws_connect"}):
            for reader in readers:
                # It was written when every socket was accepted as soon as it connected.
                reader.send_and_consume("websocket.connect", check_accept=False)

        post = blog.BlogUpdate.objects.create(content="news")

        for reader in readers:
            assert reader.receive() == {"id": post.pk, "content": "news"}
            assert reader.receive() is None


def test_liveblog(sample, project):
    blog = installed_blog(project, sample)
    stays, leaves = WSClient(), WSClient()
    routes = {
        "websocket.connect": "blog.consumers.ws_connect",
        "websocket.disconnect": "blog.consumers.ws_disconnect",
    }
    with apply_routes(routes):
        for reader in (stays, leaves):
            reader.send_and_consume("websocket.connect")
        leaves.send_and_consume("websocket.disconnect")

    post = blog.BlogUpdate.objects.create(content="news")

    assert stays.receive() == {"id": post.pk, "content": "news"}
    assert stays.receive() is leaves.receive() is None


def installed_blog(project, consumers):
    """The models of the app ``blog``, which has these consumers."""
    project.write("blog.models", BLOG)
    models = project.install("blog")
    project.module("blog.consumers", LIVEBLOG_IMPORTS, consumers)
    return models
