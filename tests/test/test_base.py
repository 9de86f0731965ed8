"""The test cases: layers of their own for each test, and messages taken from them."""

import unittest
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from channels import Channel, Group, channel_layers, route
from channels.asgi import ChannelLayerWrapper
from channels.exceptions import ChannelFull, InvalidChannelLayerError
from channels.layers.inmemory import ChannelLayer
from channels.routing import null_consumer
from channels.signals import consumer_finished
from channels.test import ChannelTestCase, TransactionChannelTestCase, apply_routes
from channels.test.base import ChannelTestCaseMixin
from channels.test.layers import CaptiveLayer
from tests.test.cases import failure, run

IN_MEMORY = "channels.layers.inmemory.ChannelLayer"
ONE_ROUTE = [route("task", null_consumer)]
TWO_LAYERS = {
    "default": {"BACKEND": IN_MEMORY, "ROUTING": []},
    "second": {"BACKEND": IN_MEMORY, "ROUTING": ONE_ROUTE},
    "third": {"BACKEND": IN_MEMORY, "ROUTING": []},
}


class FreshLayers:
    """Each test finds nothing of the others'."""

    def test_one(self):
        self.leave_something()

    def test_two(self):
        self.leave_something()

    def test_three(self):
        self.leave_something()

    def leave_something(self):
        assert self.get_next_message("left") is None
        assert channel_layers["default"].group_channels("group") == []
        Group("group").add("left")
        Group("group").send({"a": 1})
        Channel("left").send({"b": 1})


class TestFreshLayers(FreshLayers, ChannelTestCase):
    pass


class TestFreshLayersOfTestsThatCommit(FreshLayers, TransactionChannelTestCase):
    pass


class TestFreshLayersWithoutDatabase(FreshLayers, ChannelTestCaseMixin, SimpleTestCase):
    pass


class TestMessages(ChannelTestCase):
    def test_a_message_is_what_consumers_get(self):
        Channel("input").send({"value": 33, "reply_channel": "answers"})
        message = self.get_next_message("input", require=True)
        assert message.content == {"value": 33, "reply_channel": "answers"}
        assert message.channel.name == "input"
        assert message.reply_channel.name == "answers"
        assert message.channel_layer is channel_layers["default"]

    def test_without_a_message_it_is_none(self):
        assert self.get_next_message("input") is None

    def test_messages_come_in_their_order(self):
        for number in range(3):
            Channel("input").send({"number": number})
        assert [self.get_next_message("input")["number"] for _ in range(3)] == [0, 1, 2]

    def test_messages_of_one_socket_are_read_by_its_full_name(self):
        for number, local in enumerate("abab"):
            Channel(f"daphne.response.x!{local}").send({"number": number})
        assert self.get_next_message("daphne.response.x!c") is None
        read = [self.get_next_message(f"daphne.response.x!{local}")["number"] for local in "baab"]
        assert read == [1, 0, 2, 3]
        assert self.get_next_message("daphne.response.x!a") is None

    def test_messages_of_a_process_are_read_in_their_order(self):
        Channel("process!a").send({"number": 0})
        Channel("process!b").send({"number": 1})
        message = self.get_next_message("process!")
        assert (message.channel.name, message["number"]) == ("process!a", 0)
        assert self.get_next_message("process!")["number"] == 1

    def test_a_channel_holds_ten_messages(self):
        for _ in range(10):
            Channel("input").send({})
        with self.assertRaises(ChannelFull):
            Channel("input").send({})

    def test_the_layer_is_in_memory(self):
        assert isinstance(channel_layers["default"].channel_layer, ChannelLayer)
        assert channel_layers["default"].waiting() == []


# Which layers, and when


@override_settings(CHANNEL_LAYERS=TWO_LAYERS)
def test_the_layers_that_are_named_are_captive():
    seen = {}

    class Case(ChannelTestCase):
        test_channel_aliases = ["default", "second"]

        def test(self):
            seen.update((alias, channel_layers[alias].channel_layer) for alias in TWO_LAYERS)
            Channel("input", alias="second").send({"value": 1})
            assert self.get_next_message("input") is None
            assert self.get_next_message("input", alias="second")["value"] == 1
            assert channel_layers["second"].router.channels == {"task"}
            channel_layers.set("third", None)

    assert run(Case).wasSuccessful()
    captive = [alias for alias, layer in seen.items() if isinstance(layer, CaptiveLayer)]
    assert captive == ["default", "second"]


@override_settings(
    CHANNEL_LAYERS={"default": {"BACKEND": "no.such.Layer", "ROUTING": "tests.routing.none"}}
)
def test_the_configured_layer_is_never_made_nor_its_routing_imported():
    class Case(ChannelTestCase):
        def test(self):
            Channel("input").send({})
            self.get_next_message("input", require=True)

    assert run(Case).wasSuccessful()


@pytest.mark.parametrize("base", [ChannelTestCase, TransactionChannelTestCase])
def test_a_layer_in_use_comes_back_as_it_was(base):
    class Case(base):
        def test(self):
            Channel("input").send({})

    mine = ChannelLayerWrapper(ChannelLayer(), "default", ONE_ROUTE)
    router = mine.router
    before = channel_layers.set("default", mine)
    try:
        assert run(Case).wasSuccessful()
        assert channel_layers["default"] is mine
        assert mine.router is router
        assert mine.receive(["input"]) == (None, None)
    finally:
        channel_layers.set("default", before)


@pytest.mark.parametrize("base", [ChannelTestCase, TransactionChannelTestCase])
def test_layers_come_back_whatever_happens(base):
    before = dict(channel_layers.backends)

    class Skipped(base):
        @unittest.skip("every test of the class")
        def test(self):
            pass

    class Broken(base):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            super().tearDownClass()  # Django leaves its transactions open where this fails
            raise ZeroDivisionError

        def test(self):
            pass

    class Failing(base):
        def test_error(self):
            raise ZeroDivisionError

        def test_failure(self):
            self.fail("as it should")

    assert len(run(Skipped).skipped) == 1
    assert len(run(Broken).errors) == 1
    assert (len(run(Failing).errors), len(run(Failing).failures)) == (1, 1)
    assert channel_layers.backends == before


def test_an_unknown_alias_is_named_and_nothing_stays_captive():
    class Case(ChannelTestCase):
        test_channel_aliases = ["default", "absent"]

        def test(self):
            pass

    before = dict(channel_layers.backends)
    [(_, traceback)] = run(Case).errors
    assert "there is no channel layer 'absent'; CHANNEL_LAYERS has 'default'" in traceback
    assert InvalidChannelLayerError.__name__ in traceback
    assert channel_layers.backends == before


def test_a_string_for_the_aliases_is_refused():
    class Case(ChannelTestCase):
        test_channel_aliases = "default"

        def test(self):
            pass

    [(_, traceback)] = run(Case).errors
    assert ImproperlyConfigured.__name__ in traceback
    assert "Case.test_channel_aliases must be a list" in traceback
    assert "write ['default']" in traceback


@pytest.mark.parametrize("base", [ChannelTestCase, TransactionChannelTestCase])
def test_what_the_class_sends_while_it_is_set_up_reaches_no_configured_layer_and_no_test(base):
    configured = channel_layers["default"]

    class Case(base):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            Channel("left").send({})

        @classmethod
        def setUpTestData(cls):
            Channel("left").send({})

        def test_one(self):
            if base is ChannelTestCase:
                assert self.get_next_message("left") is None
            Channel("left").send({})

        def test_two(self):
            assert self.get_next_message("left") is None

    assert run(Case).wasSuccessful()
    assert configured.receive(["left"]) == (None, None)


def test_settings_of_the_class_give_the_routing():
    @override_settings(CHANNEL_LAYERS={"default": {"BACKEND": IN_MEMORY, "ROUTING": ONE_ROUTE}})
    class Case(ChannelTestCase):
        def test_one(self):
            assert channel_layers["default"].router.channels == {"task"}

        test_two = test_one

    assert channel_layers["default"].router.channels != {"task"}
    assert run(Case).wasSuccessful()


def test_routes_applied_around_the_case_hold_in_each_test():
    class Case(ChannelTestCase):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            cls.enterClassContext(apply_routes(ONE_ROUTE))

        def test_one(self):
            assert channel_layers["default"].router.channels == {"task"}

        test_two = test_one

    assert run(Case).wasSuccessful()


def test_a_layer_that_was_set_by_hand_keeps_its_routing():
    class Case(ChannelTestCase):
        test_channel_aliases = ["handmade"]

        def test(self):
            assert channel_layers["handmade"].router.channels == {"task"}
            Channel("input", alias="handmade").send({})

    handmade = ChannelLayerWrapper(ChannelLayer(), "handmade", ONE_ROUTE)
    channel_layers.set("handmade", handmade)
    try:
        assert run(Case).wasSuccessful()
        assert handmade.receive(["input"]) == (None, None)
    finally:
        channel_layers.set("handmade", None)


def test_the_cases_are_djangos():
    assert issubclass(ChannelTestCase, TestCase)
    assert issubclass(TransactionChannelTestCase, TransactionTestCase)
    assert not issubclass(TransactionChannelTestCase, TestCase)


# Failures


def test_a_missing_message_is_told_with_what_waits_elsewhere():
    class Case(ChannelTestCase):
        def test(self):
            Channel("results").send({"value": 1089})
            Channel("results").send({"value": "x" * 1000})
            Channel("daphne.response.x!ab").send({"accept": True})
            self.get_next_message("result", require=True)

    text = failure(Case)
    assert (
        "Expected a message on channel 'result' of layer 'default', but there was none. "
        "There were messages on 2 other channels:\n"
        "  'results': {'value': 1089}\n"
        "  'results': {'value': 'xxxxx"
    ) in text
    assert "  'daphne.response.x!ab': {'accept': True}\n" in text
    assert " ... " in text
    assert max(map(len, text.splitlines())) < 250


def test_a_missing_message_is_told_where_nothing_waits():
    class Case(ChannelTestCase):
        def test(self):
            self.get_next_message("result", require=True)

    assert "but there was none. No message waits on any other channel." in failure(Case)


def test_of_many_messages_ten_are_shown():
    class Case(ChannelTestCase):
        def test(self):
            for number in range(13):
                Channel(f"channel.{number}").send({"number": number})
            self.get_next_message("result", require=True)

    text = failure(Case)
    assert "messages on 13 other channels" in text
    assert "  'channel.9': {'number': 9}\n  and 3 more\n" in text
    assert "channel.10" not in text


def test_showing_messages_takes_none():
    class Case(ChannelTestCase):
        def test(self):
            Group("group").add("process!a")
            Group("group").add("process!b")
            Group("group").send({"value": 1})
            before = channel_layers["default"].waiting()
            assert before == [("process!a", {"value": 1}), ("process!b", {"value": 1})]
            with self.assertRaises(AssertionError):
                self.get_next_message("other", require=True)
            assert channel_layers["default"].waiting() == before

    assert run(Case).wasSuccessful()


# Database connections


def test_a_test_that_commits_keeps_its_connection_through_consumers():
    closed = mock.Mock()

    class Case(TransactionChannelTestCase):
        def test(self):
            with mock.patch.object(connection, "close_if_unusable_or_obsolete", closed):
                consumer_finished.send(sender=object)
            closed.assert_not_called()

    assert run(Case).wasSuccessful()
    with mock.patch.object(connection, "close_if_unusable_or_obsolete", closed):
        consumer_finished.send(sender=object)
    closed.assert_called_once()
