"""``Client``: messages sent, consumers run, replies read."""

import pytest
from django.test import override_settings

from channels import Channel, Group, channel_layers, route, route_class
from channels.exceptions import ChannelSocketException, ConsumeLater, DenyConnection
from channels.signals import consumer_finished, consumer_started
from channels.test import ChannelTestCase, Client, apply_routes
from tests.test.cases import failure, run


def square(message, power=2):
    message.reply_channel.send({"value": message["value"] ** int(power)})
    return "returned"


class TestClient(ChannelTestCase):
    def test_its_reply_channel_is_a_name_of_its_own(self):
        client = Client()
        assert isinstance(client.reply_channel, str)
        assert client.reply_channel.startswith("default")
        assert Client().reply_channel != client.reply_channel

    @apply_routes([route("math", square)])
    def test_a_message_is_sent_consumed_and_answered(self):
        client = Client()
        client.send("math", {"value": 5})
        assert client.consume("math") == "returned"
        assert client.receive() == {"value": 25}
        assert client.receive() is None

    @apply_routes([route("math", square, kind=r"(?P<power>\d)")])
    def test_a_consumer_gets_what_the_route_captured(self):
        client = Client()
        client.send_and_consume("math", {"value": 5, "kind": "3"})
        assert client.receive() == {"value": 125}

    @apply_routes([route("math", square)])
    def test_content_may_name_another_reply_channel_and_is_not_changed(self):
        client = Client()
        content = {"value": 5, "reply_channel": "elsewhere", "nested": {"list": []}}
        client.send_and_consume("math", content)
        assert content == {"value": 5, "reply_channel": "elsewhere", "nested": {"list": []}}
        assert client.receive() is None
        assert client.get_next_message("elsewhere")["value"] == 25

    def test_a_class_based_consumer_is_returned(self):
        class Consumer:
            def __init__(self, message):
                self.message = message

            @staticmethod
            def channel_names():
                return ["classy"]

        with apply_routes(route_class(Consumer)):
            consumer = Client().send_and_consume("classy", {"value": 1})
        assert isinstance(consumer, Consumer)
        assert consumer.message["value"] == 1

    def test_it_joins_groups(self):
        client = Client()
        client.join_group("group")
        Group("group").send({"value": 1})
        assert client.receive() == {"value": 1}

    @apply_routes([route("math", square)])
    def test_the_consumer_of_a_channel_is_found(self):
        assert Client().get_consumer_by_channel("math") is square
        assert Client().get_consumer_by_channel("other") is None

    def test_what_a_consumer_sends_leaves_when_it_ends(self):
        client = Client()

        def consumer(message):
            message.reply_channel.send({"value": 1})
            assert client.receive() is None

        with apply_routes(route("task", consumer)):
            client.send_and_consume("task")
        assert client.receive() == {"value": 1}

    def test_what_a_consumer_raises_comes_out_and_what_it_sent_has_left(self):
        client = Client()

        def consumer(message):
            message.reply_channel.send({"value": 1})
            raise ConsumeLater

        with apply_routes(route("task", consumer)), pytest.raises(ConsumeLater):
            client.send_and_consume("task")
        assert client.receive() == {"value": 1}
        Channel("task").send({})
        assert self.get_next_message("task") is not None

    def test_the_signals_are_sent_around_a_consumer(self):
        seen = []

        def receiver(sender, signal, environ, **kwargs):
            seen.append((signal, sender, environ))

        for signal in (consumer_started, consumer_finished):
            signal.connect(receiver)
            self.addCleanup(signal.disconnect, receiver)
        with apply_routes(route("task", lambda message: seen.append("consumer"))):
            Client().send_and_consume("task")
        assert seen == [
            (consumer_started, Client, {}),
            "consumer",
            (consumer_finished, Client, {}),
        ]

    def test_a_consumer_may_run_another_client(self):
        inner = Client()

        def outer_consumer(message):
            message.reply_channel.send({"value": "outer"})
            inner.send_and_consume("inner")
            assert inner.receive() == {"value": "inner"}

        def inner_consumer(message):
            message.reply_channel.send({"value": "inner"})

        outer = Client()
        with apply_routes([route("outer", outer_consumer), route("inner", inner_consumer)]):
            outer.send_and_consume("outer")
        assert outer.receive() == {"value": "outer"}

    def test_exceptions_for_sockets_act_on_the_socket(self):
        class Custom(ChannelSocketException):
            def run(self, message):
                message.reply_channel.send({"text": "error"})

        def raising(exception):
            def consumer(message):
                raise exception

            return consumer

        client = Client()
        routes = [
            route("websocket.connect", raising(DenyConnection())),
            route("websocket.receive", raising(Custom())),
        ]
        with apply_routes(routes):
            assert client.send_and_consume("websocket.connect") is None
            assert client.receive() == {"close": True}
            client.send_and_consume("websocket.receive")
            assert client.receive() == {"text": "error"}

    def test_a_coroutine_function_is_refused(self):
        async def consumer(message):
            pass

        with (
            apply_routes(route("task", consumer)),
            pytest.raises(TypeError, match="wrap it in asgiref.sync.async_to_sync"),
        ):
            Client().send_and_consume("task")

    @apply_routes([route("math", square)])
    def test_nothing_to_consume_is_no_failure_where_that_is_wanted(self):
        client = Client()
        assert client.consume("math", fail_on_none=False) is None
        assert client.send_and_consume("other", fail_on_none=False) is None


@override_settings(
    CHANNEL_LAYERS={
        alias: {"BACKEND": "channels.layers.inmemory.ChannelLayer", "ROUTING": []}
        for alias in ("default", "second")
    }
)
def test_a_client_works_on_the_layer_of_its_alias():
    class Case(ChannelTestCase):
        test_channel_aliases = ["default", "second"]

        def test(self):
            client = Client(alias="second")
            assert client.channel_layer is channel_layers["second"]
            with apply_routes([route("math", square)], aliases=["second"]):
                client.send_and_consume("math", {"value": 3})
            assert client.receive() == {"value": 9}
            client.join_group("group")
            Group("group", alias="second").send({"value": 1})
            Group("group").send({"value": 2})
            assert client.receive() == {"value": 1}
            assert client.receive() is None

    assert run(Case).wasSuccessful()


# Failures


def test_a_missing_message_is_told_with_what_waits_elsewhere():
    class Case(ChannelTestCase):
        def test(self):
            client = Client()
            client.send("websocket.receive", {"text": "hey", "reply_channel": "r"})
            client.consume("websocket.recieve")

    assert (
        "AssertionError: Expected a message on channel 'websocket.recieve' of layer 'default', "
        "but there was none. There were messages on another channel:\n"
        "  'websocket.receive': {'reply_channel': 'r', 'text': 'hey'}\n"
    ) in failure(Case)


def test_a_missing_route_is_told_with_what_routes_there_are():
    class Case(ChannelTestCase):
        def test(self):
            with apply_routes(
                [route("math", square, path="^/new/"), route("websocket.receive", square)]
            ):
                Client().send_and_consume("math", {"path": "/nwe/", "value": 1, "headers": []})

    assert (
        "AssertionError: Expected a route for a message on channel math of layer 'default' with "
        "{'path': '/nwe/'}, but none takes it. The routes are:\n"
        "  math(path='^/new/') -> tests.test.test_client.square\n"
        "  websocket.receive -> tests.test.test_client.square\n"
    ) in failure(Case)


def test_a_missing_route_is_told_where_there_are_none():
    class Case(ChannelTestCase):
        def test(self):
            with apply_routes([]):
                Client().send_and_consume("math", {"value": 1, "reply_channel": "r"})

    assert (
        "with {'reply_channel': 'r', 'value': 1}, but none takes it. The routes are none."
        in failure(Case)
    )
