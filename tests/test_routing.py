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


def first(message: Message, **kwargs: Any) -> None:
    """A consumer."""


def second(message: Message, **kwargs: Any) -> None:
    """Another consumer."""


class Chat:
    """A class-based consumer."""

    def __init__(self, message: Message, **kwargs: Any) -> None:
        self.message = message

    @classmethod
    def channel_names(cls) -> set[str]:
        return {"websocket.connect", "websocket.receive"}


class Asking:
    """A routing object of an application's own."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def channel_names(self) -> set[str]:
        return {"websocket.connect"}

    def match(self, message: Message) -> Any:
        self.seen.append(message)
        return (second, {"path": message["path"]}) if "path" in message else None


def connect(path: Any = "/", **content: Any) -> Message:
    return Message({"path": path, **content}, "websocket.connect", None)


def on(channel: str, **content: Any) -> Message:
    return Message(content, channel, None)


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


# Includes


def test_an_include_strips_what_its_prefix_matched() -> None:
    entry = include([route("websocket.connect", first, path="^/stream/$")], path="^/liveblog")
    assert entry.match(connect("/liveblog/stream/")) == (first, {})
    assert entry.match(connect("/stream/")) is None
    assert entry.match(connect("/liveblog/liveblog/stream/")) is None


def test_an_include_works_without_the_caret() -> None:
    entry = include([route("websocket.connect", first, path="/stream/")], path="/liveblog")
    assert entry.match(connect("/liveblog/stream/")) == (first, {})


def test_the_message_itself_is_left_alone() -> None:
    message = connect(b"/liveblog/stream/")
    include([route("websocket.connect", first, path="^/stream/")], path="^/liveblog").match(message)
    assert message.content == {"path": b"/liveblog/stream/"}


def test_inner_keyword_arguments_win() -> None:
    inner = [route("websocket.connect", first, path="(?P<room>.*)")]
    entry = include(inner, path="/(?P<room>[a-z]+)/(?P<site>[a-z]+)/")
    assert entry.match(connect("/outer/blog/inner")) == (first, {"room": "inner", "site": "blog"})


def test_includes_nest() -> None:
    inmost = [route("websocket.connect", first, path=r"^/(?P<page>\d+)$", method="^B$")]
    entry = include([include(inmost, path="^/b")], path="^/(?P<name>a)", method="^A")
    message = connect("/a/b/12", method="AB")
    assert entry.match(message) == (first, {"name": "a", "page": "12"})
    assert entry.match(connect("/a/b/12", method="AA")) is None


def test_anchors_and_lookbehinds_see_the_stripped_value_alone() -> None:
    inner = [
        route("websocket.connect", first, path="(?<=a)/b"),
        route("websocket.connect", second, path="^(?<!a)/b"),
    ]
    assert include(inner, path="/a").match(connect("/a/b")) == (second, {})


def test_entries_after_a_fruitless_include_are_tried_with_the_whole_value() -> None:
    router = Router(
        [
            include([route("websocket.connect", first, path="^/c")], path="^/a"),
            route("websocket.connect", second, path="^/a/b"),
        ]
    )
    assert router.match(connect("/a/b")) == (second, {})


def test_an_include_without_prefixes_keeps_its_place() -> None:
    router = Router(
        [include([route("websocket.connect", first)]), route("websocket.connect", second)]
    )
    assert router.match(connect()) == (first, {})


def test_an_includes_channels_are_those_inside() -> None:
    entry = include([route("a", first), include({"b": second}), Asking()])
    assert entry.channel_names() == {"a", "b", "websocket.connect"}


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
        ("tests.routing.missing", "Cannot import routing 'tests.routing.missing'"),
        ("tests.routing", "not <module 'tests.routing'"),
        (5, "not 5"),
        (None, "not None"),
        ([first], "cannot stand in a routing list.*route()"),
        ([["nested"]], "cannot stand in a routing list"),
        (["tests.routing.channel_routing"], "cannot stand in a routing list.*include()"),
    ],
)
def test_a_wrong_routing_is_named(wrong: Any, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        Router(wrong)
    with pytest.raises(ImproperlyConfigured, match=text):
        include(wrong)


# Routing objects of an application's own


def test_a_custom_object_is_asked_in_its_place() -> None:
    asking = Asking()
    router = Router(
        [
            route("websocket.connect", first, path="^/first"),
            asking,
            route("websocket.connect", first, path="^/"),
        ]
    )
    assert router.match(connect("/first")) == (first, {})
    assert asking.seen == []
    assert router.match(connect("/other")) == (second, {"path": "/other"})
    assert router.channels == {"websocket.connect"}


def test_a_custom_object_gets_the_message_itself() -> None:
    asking = Asking()
    message = connect("/x")
    Router([include([asking])]).match(message)
    assert asking.seen == [message]


def test_a_custom_object_inside_an_include_sees_the_stripped_value() -> None:
    # Given a custom object inside two includes
    asking = Asking()
    router = Router([include([include([asking], path="^/b")], path="^/(?P<outer>a)")])
    message: Any = connect(b"/a/b/c", order=3)
    message.user = "somebody"
    # When a message matches
    found = router.match(message)
    # Then the object saw what was left, everything else of the message, and no copy of the content
    assert found == (second, {"outer": "a", "path": "/c"})
    (seen,) = asking.seen
    assert isinstance(seen, Message)
    assert (seen.get("path"), seen["order"], seen.user) == ("/c", 3, "somebody")
    assert dict(seen.items()) == {"path": "/c", "order": 3}
    assert message.content == {"path": b"/a/b/c", "order": 3}


def test_what_a_custom_object_writes_inside_an_include_is_its_own() -> None:
    class Writing(Asking):
        def match(self, message: Message) -> Any:
            message["path"] = 5
            return None

    message = connect("/a/b")
    router = Router(
        [include([Writing(), route("websocket.connect", first, path="^/b$")], path="^/a")]
    )
    assert router.match(message) == (first, {})
    assert message.content == {"path": "/a/b"}


def test_a_custom_objects_wrong_channel_is_named() -> None:
    class Wrong(Asking):
        def channel_names(self) -> set[str]:
            return {"not a name"}

    with pytest.raises(ImproperlyConfigured, match="routing object .*'not a name'"):
        Router([include([Wrong()])])
    with pytest.raises(ImproperlyConfigured, match="'not a name'"):
        Router([]).add_route(Wrong())


def test_a_custom_route_may_ask_its_base_class() -> None:
    class Polite(Route):
        def match(self, message: Any) -> Any:
            return super().match(message) if "please" in message else None

    router = Router([include([Polite("websocket.connect", first, path="^/b$")], path="^/a")])
    assert router.match(connect("/a/b")) is None
    assert router.match(connect("/a/b", please=True)) == (first, {})


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
