"""Routing entries, routers and their default routes, and what is said of wrong ones."""

import functools
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import channels
from channels import routing, utils
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.routing import (
    Include,
    Route,
    RouteClass,
    Router,
    connect_consumer,
    consumer_name,
    include,
    null_consumer,
    route,
    route_class,
)
from tests.consumers import Chat, connect, first, on, second

# Routes


def test_the_lower_case_names_are_the_classes() -> None:
    assert (route, route_class, include) == (Route, RouteClass, Include)
    assert channels.route is route
    assert channels.route_class is route_class
    assert channels.include is include


def test_a_route_matches_its_channel_alone() -> None:
    entry = route("websocket.connect", first)
    assert entry.match(connect()) == (first, {})
    assert entry.match(on("websocket.receive")) is None


@pytest.mark.parametrize("names", [["a", "b"], ("a", "b"), [b"a", b"b"], {"a": 1, "b": 2}])
def test_a_route_takes_several_channels(names: Any) -> None:
    entry = route(names, first)
    assert entry.channel_names() == {"a", "b"}
    assert entry.match(on("a")) == entry.match(on("b")) == (first, {})


def test_a_route_takes_a_channel_in_bytes() -> None:
    assert route(b"task", first).channels == ["task"]


def test_a_route_imports_a_consumer_by_its_path() -> None:
    assert route("task", "channels.routing.null_consumer").consumer is null_consumer


def test_a_route_keeps_what_it_was_given() -> None:
    entry = route("task", first, path="^/a")
    assert (entry.channels, entry.consumer, entry.filters) == (["task"], first, {"path": "^/a"})


@pytest.mark.parametrize("pattern", ["^/chat/$", b"^/chat/$", "/chat/$", "/ch"])
@pytest.mark.parametrize("path", ["/chat/", b"/chat/"])
def test_filters_and_values_may_be_text_or_bytes(pattern: Any, path: Any) -> None:
    assert route("websocket.connect", first, path=pattern).match(connect(path)) == (first, {})


def test_filters_match_from_the_start_but_not_to_the_end() -> None:
    entry = route("websocket.connect", first, path="/chat")
    assert entry.match(connect("/chat/more")) == (first, {})
    assert entry.match(connect("/no/chat")) is None


class Lying(str):
    """Text that shows something else."""

    def __str__(self) -> str:
        return "/else"

    def __getitem__(self, key: Any) -> str:
        return "/else"


class LyingBytes(bytes):
    def decode(self, *args: Any, **kwargs: Any) -> str:
        return "/else"


@pytest.mark.parametrize("value", [Lying("/a/b"), LyingBytes(b"/a/b")])
def test_subclasses_are_matched_by_their_plain_text(value: Any) -> None:
    inner = route("websocket.connect", first, path="(?P<rest>.*)")
    found = include([inner], path="^/a").match(connect(value))
    assert found == (first, {"rest": "/b"})
    assert found is not None and type(found[1]["rest"]) is str


def test_every_filter_has_to_match() -> None:
    entry = route("http.request", first, path="^/a", method="^POST$")
    assert entry.match(on("http.request", path="/a", method="POST")) == (first, {})
    assert entry.match(on("http.request", path="/a", method="GET")) is None
    assert entry.match(on("http.request", path="/b", method="POST")) is None


@pytest.mark.parametrize("content", [{}, {"path": None}, {"path": 5}, {"path": ["/a"]}])
def test_a_missing_value_or_one_that_is_no_text_does_not_match(content: dict[str, Any]) -> None:
    assert route("task", first, path="").match(on("task", **content)) is None


def test_named_groups_become_keyword_arguments() -> None:
    entry = route("http.request", first, path=r"^/(?P<room>\w+)/(?P<page>\d+)?", method="(?P<m>.*)")
    found = entry.match(on("http.request", path=b"/lobby/", method="GET"))
    assert found == (first, {"room": "lobby", "page": None, "m": "GET"})


def test_bytes_that_are_no_utf_8_can_match() -> None:
    entry = route("http.request", first, query_string=r"^room=(?P<room>\w+)")
    assert entry.match(on("http.request", query_string=b"room=a&x=\xff")) == (first, {"room": "a"})


def test_keyword_arguments_of_a_match_are_its_own() -> None:
    entry = route("task", first)
    entry.match(on("task"))[1]["left"] = "over"  # type: ignore[index]
    assert entry.match(on("task")) == (first, {})


def test_a_routes_text_names_channels_filters_and_consumer() -> None:
    text = str(route(["a", "b"], null_consumer, path="^/x"))
    assert text == "a/b(path='^/x') -> channels.routing.null_consumer"


def test_a_class_based_consumer_names_its_channels() -> None:
    entry = route_class(Chat, path="^/chat")
    assert entry.channel_names() == {"websocket.connect", "websocket.receive"}
    assert entry.match(connect("/chat/")) == (Chat, {})
    assert entry.match(connect("/")) is None


# What can be wrong with a route


@pytest.mark.parametrize(
    ("consumer", "text"),
    [
        ("no.such.module.consumer", "Cannot import consumer 'no.such.module.consumer'"),
        ("channels.routing.no_such_name", "Cannot import consumer 'channels.routing.no_such_name'"),
        ("nodots", "Cannot import consumer 'nodots'"),
        (".consumers.echo", "Cannot import consumer '.consumers.echo': it is relative"),
        (5, "consumer 5 is not callable"),
        (None, "consumer None is not callable"),
        ("channels.DEFAULT_CHANNEL_LAYER", "consumer 'default' is not callable"),
    ],
)
def test_a_wrong_consumer_is_named(consumer: Any, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        route("task", consumer)
    with pytest.raises(ImproperlyConfigured, match=text):
        route_class(consumer)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("with space", "'with space'"),
        ("", "''"),
        ("task\n", r"'task\\n'"),
        (["good", "bäd"], "'bäd'"),
        ("reply!local", "'reply!local'.*'reply!'"),
        ([5], "5"),
        (5, "a name or a list of names, not 5"),
        (None, "a name or a list of names, not None"),
    ],
)
def test_a_wrong_channel_name_is_named_with_its_consumer(names: Any, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text) as raised:
        route(names, null_consumer)
    assert "channels.routing.null_consumer" in str(raised.value)


@pytest.mark.parametrize(
    "make", [functools.partial(route, "task", first), lambda **p: include([], **p)]
)
def test_wrong_filters_are_named(make: Any) -> None:
    with pytest.raises(ValueError, match=r"path='\^/\(a\)'.*positional groups.*\?P<name>"):
        make(path="^/(a)")
    with pytest.raises(ValueError, match="positional groups"):
        make(path=b"^/(?P<a>a)(b)")
    with pytest.raises(ImproperlyConfigured, match=r"path='\^/\(' .*no valid regular expression"):
        make(path="^/(")
    with pytest.raises(ImproperlyConfigured, match="path=5 .*must be a regular expression"):
        make(path=5)


def test_a_class_without_channel_names_is_refused() -> None:
    with pytest.raises(ValueError, match="null_consumer has none; use route()"):
        route_class(null_consumer)


# What a routing may be


def test_a_routing_may_be_a_list_a_dict_or_a_path() -> None:
    for given in ([route("task", first)], (route("task", first),), {"task": first}):
        assert Router(given).match(on("task")) == (first, {})
        assert include(given).match(on("task")) == (first, {})
    assert Router("tests.routing.channel_routing").channels == set()
    assert include("tests.routing.channel_routing").routing == []


def test_a_dict_may_name_consumers_by_their_path() -> None:
    router = Router({"task": "channels.routing.null_consumer", b"other": first})
    assert router.match(on("task")) == (null_consumer, {})
    assert router.match(on("other")) == (first, {})


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("no.such.routing", "Cannot import routing 'no.such.routing'"),
        (".such.routing", "Cannot import routing '.such.routing': it is relative"),
        ("tests.routing.missing", "Cannot import routing 'tests.routing.missing'"),
        ("tests.routing", "not <module 'tests.routing'"),
        (5, "not 5"),
        (None, "not None"),
        ([first], "cannot stand in a routing list.*route()"),
        ([["nested"]], "cannot stand in a routing list"),
        ([Chat], "cannot stand in a routing list.*route_class()"),
        (["tests.routing.channel_routing"], "cannot stand in a routing list.*include()"),
    ],
)
def test_a_wrong_routing_is_named(wrong: Any, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        Router(wrong)
    with pytest.raises(ImproperlyConfigured, match=text):
        include(wrong)


# Routers


def test_the_first_match_wins() -> None:
    router = Router([route("websocket.connect", consumer) for consumer in (second, first)])
    assert router.match(connect()) == (second, {})


def test_an_unknown_channel_has_no_match() -> None:
    assert Router([route("task", first)]).match(on("other")) is None
    assert Router([]).match(on("other")) is None


def test_an_added_route_is_matched_and_listened_to() -> None:
    router = Router([route("task", first)])
    assert router.match(on("other")) is None
    router.add_route(route("other", second))
    assert router.channels == {"task", "other"}
    assert router.match(on("other")) == (second, {})
    assert router.root.match(on("other")) == (second, {})
    assert len(router.root.routing) == 2


def test_channels_are_replaced_and_never_changed_under_those_who_go_through_them() -> None:
    router = Router([route("task", first)])
    for add in (lambda: router.add_route(route("other", first)), router.check_default):
        before = router.channels
        kept = set(before)
        add()
        assert router.channels > before == kept


def test_adding_a_route_leaves_the_applications_list_alone() -> None:
    entries: list[Any] = []
    Router(entries).add_route(route("task", first))
    assert entries == []


def test_default_routes_accept_sockets_and_drop_what_comes() -> None:
    router = Router([])
    router.check_default(http_consumer=first)
    assert router.channels == {
        "http.request",
        "websocket.connect",
        "websocket.receive",
        "websocket.disconnect",
    }
    assert router.match(on("http.request")) == (first, {})
    assert router.match(connect()) == (connect_consumer, {})
    assert router.match(on("websocket.receive")) == (null_consumer, {})
    assert router.match(on("websocket.disconnect")) == (null_consumer, {})


def test_default_routes_apply_where_no_explicit_one_matches() -> None:
    router = Router([route("websocket.connect", second, path="^/chat/$")])
    router.check_default(http_consumer=first)
    assert router.match(connect("/chat/")) == (second, {})
    assert router.match(connect("/other/")) == (connect_consumer, {})


def test_routes_that_are_added_later_go_before_the_defaults() -> None:
    router = Router([])
    router.check_default(http_consumer=first)
    router.add_route(route("http.request", second))
    assert router.match(on("http.request")) == (second, {})


def test_views_are_the_default_http_consumer() -> None:
    router = Router([])
    router.check_default()
    found = router.match(on("http.request"))
    assert found is not None
    assert consumer_name(found[0]).rpartition(".")[2] == "ViewConsumer"


def test_a_later_check_keeps_the_http_consumer() -> None:
    router = Router([])
    router.check_default(http_consumer=first)
    router.check_default()
    assert router.match(on("http.request")) == (first, {})
    router.check_default(http_consumer=second)
    assert router.match(on("http.request")) == (second, {})


def test_connect_consumer_accepts() -> None:
    layer = ChannelLayer()
    connect_consumer(Message({"reply_channel": "reply"}, "websocket.connect", layer), room="x")
    assert layer.receive(["reply"]) == ("reply", {"accept": True})


def test_null_consumer_takes_anything() -> None:
    null_consumer(on("websocket.receive"), room="x")


@pytest.mark.parametrize(
    ("consumer", "name"),
    [
        (null_consumer, "channels.routing.null_consumer"),
        (Router, "channels.routing.Router"),
        (Router([]), "channels.routing.Router"),
        (Router([]).match, "channels.routing.Router.match"),
        (functools.partial(null_consumer, 1), "channels.routing.null_consumer"),
    ],
)
def test_consumers_are_named(consumer: Any, name: str) -> None:
    assert consumer_name(consumer) == name
    assert utils.name_that_thing(consumer) == name


def test_exports_exist() -> None:
    assert all(hasattr(routing, name) for name in routing.__all__)
