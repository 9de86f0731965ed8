"""``apply_routes`` in all its forms."""

import unittest

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels import channel_layers, include, route, route_class
from channels.asgi import ChannelLayerWrapper
from channels.layers.inmemory import ChannelLayer
from channels.routing import Router, null_consumer
from channels.test import ChannelTestCase, TransactionChannelTestCase, apply_routes
from tests.test.cases import run

FIRST = route("first", null_consumer)
SECOND = route("second", null_consumer)
THIRD = route("third", null_consumer)


class Classy:
    @staticmethod
    def channel_names():
        return {"classy"}


@pytest.fixture(autouse=True)
def own_layer():
    """A layer whose routing has one channel, ``own``."""
    layer = ChannelLayerWrapper(ChannelLayer(), "default", [route("own", null_consumer)])
    before = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", before)


def names(alias: str = "default") -> set[str]:
    return channel_layers[alias].router.channels


@pytest.mark.parametrize(
    ("routes", "channels"),
    [
        (FIRST, {"first"}),
        (route_class(Classy), {"classy"}),
        (include([FIRST, SECOND]), {"first", "second"}),
        ([FIRST], {"first"}),
        ((FIRST, SECOND), {"first", "second"}),
        ([[FIRST, SECOND], [THIRD]], {"first", "second", "third"}),
        ([FIRST, [SECOND, [THIRD]]], None),
        ([FIRST, (SECOND,)], {"first", "second"}),
        ([], set()),
        ({"first": null_consumer}, {"first"}),
        ("tests.routing.channel_routing", set()),
    ],
    ids=[
        "a route",
        "a class",
        "an include",
        "a list",
        "a tuple",
        "lists in a list",
        "lists at two levels",
        "a tuple in a list",
        "nothing",
        "a dict",
        "an address",
    ],
)
def test_routes_are_one_or_a_list_or_lists(routes, channels):
    if channels is None:
        with pytest.raises(ImproperlyConfigured, match="cannot stand in a routing list"):
            apply_routes(routes)
        return
    with apply_routes(routes):
        assert names() == channels
    assert names() == {"own"}


def test_the_old_router_comes_back_as_it_was(own_layer):
    router = own_layer.router
    router.check_default(http_consumer=null_consumer)
    with apply_routes(FIRST):
        assert own_layer.router is not router
        assert own_layer.routing == [FIRST]
    assert own_layer.router is router


def test_a_router_that_was_never_asked_for_stays_unmade():
    layer = ChannelLayerWrapper(ChannelLayer(), "default", "no.such.routing")
    before = channel_layers.set("default", layer)
    with apply_routes(FIRST):
        assert names() == {"first"}
    channel_layers.set("default", before)
    with pytest.raises(ImproperlyConfigured, match=r"no\.such\.routing"):
        layer.router  # noqa: B018


def test_they_come_back_after_an_exception():
    with pytest.raises(ZeroDivisionError), apply_routes(FIRST):
        raise ZeroDivisionError
    assert names() == {"own"}


def test_wrong_routes_change_nothing():
    with pytest.raises(ImproperlyConfigured, match="cannot stand in a routing list"):
        apply_routes([object()]).__enter__()
    assert names() == {"own"}


def test_they_nest_also_in_themselves():
    inner = apply_routes(SECOND)
    with apply_routes(FIRST) as outer:
        assert names() == {"first"}
        with inner, outer:
            assert names() == {"first"}
            with inner:
                assert names() == {"second"}
            assert names() == {"first"}
        assert names() == {"first"}
    assert names() == {"own"}


@override_settings(
    CHANNEL_LAYERS={
        alias: {"BACKEND": "channels.layers.inmemory.ChannelLayer", "ROUTING": []}
        for alias in ("default", "routed", "unrouted")
    }
)
def test_they_are_for_the_layers_that_are_named():
    try:
        with apply_routes(FIRST, aliases=["default", "routed"]):
            assert [names(alias) for alias in ("default", "routed", "unrouted")] == [
                {"first"},
                {"first"},
                set(),
            ]
        with apply_routes(FIRST, aliases="routed"):
            assert (names(), names("routed")) == ({"own"}, {"first"})
        with (
            pytest.raises(ValueError, match="no channel layer 'absent'"),
            apply_routes(FIRST, aliases=["default", "absent"]),
        ):
            pass
        assert names() == {"own"}
    finally:
        channel_layers.set("routed", None)
        channel_layers.set("unrouted", None)


# As a decorator


def test_a_function_has_them_at_each_call():
    @apply_routes([FIRST])
    def decorated(value, *, other):
        """What it says."""
        return value, other, names()

    assert decorated.__doc__ == "What it says."
    for _ in range(2):
        assert decorated(1, other=2) == (1, 2, {"first"})
        assert names() == {"own"}


def test_a_coroutine_function_has_them_while_it_runs():
    @apply_routes([FIRST])
    async def decorated():
        return names()

    coroutine = decorated()
    assert names() == {"own"}
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == {"first"}
    assert names() == {"own"}


@pytest.mark.parametrize("base", [ChannelTestCase, TransactionChannelTestCase, unittest.TestCase])
def test_a_test_case_has_them_in_each_test_and_in_its_set_up(base):
    @apply_routes([FIRST])
    class Case(base):
        def setUp(self):
            self.seen = names()

        def tearDown(self):
            assert names() == {"first"}

        def test_one(self):
            assert self.seen == names() == {"first"}

        @apply_routes([SECOND])
        def test_two(self):
            assert names() == {"second"}

    assert run(Case).wasSuccessful()
    assert names() == {"own"}


def test_a_test_case_gives_them_to_its_subclasses():
    @apply_routes([FIRST])
    class Base(ChannelTestCase):
        pass

    class Inheriting(Base):
        def test(self):
            assert names() == {"first"}

    @apply_routes([SECOND])
    class Overriding(Base):
        def test(self):
            assert names() == {"second"}

    assert run(Inheriting).wasSuccessful()
    assert run(Overriding).wasSuccessful()


def test_they_come_back_after_a_set_up_that_failed():
    @apply_routes([FIRST])
    class Case(unittest.TestCase):
        def setUp(self):
            raise ZeroDivisionError

        def test(self):
            pass

    assert len(run(Case).errors) == 1
    assert names() == {"own"}


def test_another_class_has_them_in_its_test_methods():
    @apply_routes([FIRST])
    class Plain:
        def test(self):
            return names()

        def helper(self):
            return names()

    assert Plain().test() == {"first"}
    assert Plain().helper() == {"own"}


def test_a_router_may_be_assigned_within():
    with apply_routes([FIRST]):
        channel_layers["default"].router = Router([THIRD])
        assert names() == {"third"}
    assert names() == {"own"}
