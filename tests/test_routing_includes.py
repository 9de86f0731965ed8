"""Includes, and routing objects of an application's own in them."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from channels.message import Message
from channels.routing import Route, Router, include, route, route_class
from tests.consumers import Chat, connect, first, on, second


class Asking:
    """A routing object of an application's own."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def channel_names(self) -> set[str]:
        return {"websocket.connect"}

    def match(self, message: Message) -> Any:
        self.seen.append(message)
        return (second, {"path": message["path"]}) if "path" in message else None


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


def test_class_based_routes_stand_in_nested_includes() -> None:
    inmost = [
        route_class(Chat, path=r"^/(?P<room>\w+)/$"),
        route("websocket.connect", second),
    ]
    router = Router([include([include(inmost, path=b"^/chat")], path=r"^/(?P<site>\w+?)(?=/)")])
    assert router.channels == {"websocket.connect", "websocket.receive"}
    assert router.match(connect(b"/blog/chat/lobby/")) == (Chat, {"site": "blog", "room": "lobby"})
    assert router.match(connect("/blog/chat/")) == (second, {"site": "blog"})
    assert router.match(on("websocket.receive", path="/blog/chat/")) is None


def test_the_sample_of_the_documentation_routes_as_it_says() -> None:
    """Getting Started, Routing."""
    http_routing = [route("http.request", second, path=r"^/poll/$", method=r"^POST$")]
    chat_routing = [
        route("websocket.connect", first, path=r"^/(?P<room_name>[a-zA-Z0-9_]+)/$"),
        route("websocket.disconnect", second),
    ]
    router = Router([include(chat_routing, path=r"^/chat"), include(http_routing)])
    assert router.match(connect("/chat/lobby/")) == (first, {"room_name": "lobby"})
    assert router.match(connect("/lobby/")) is None
    assert router.match(on("websocket.disconnect", path="/chat/x/y/")) == (second, {})
    assert router.match(on("websocket.disconnect", path="/other/")) is None
    assert router.match(on("http.request", path="/poll/", method="POST")) == (second, {})
    assert router.match(on("http.request", path="/poll/", method="GET")) is None


def test_one_routing_may_stand_under_several_includes() -> None:
    inner = [route("websocket.connect", first, path=r"^/(?P<name>\w+)$")]
    router = Router([include(inner, path="^/a"), include(inner, path="^/b(?P<which>c?)")])
    assert router.match(connect("/a/x")) == (first, {"name": "x"})
    assert router.match(connect("/bc/x")) == (first, {"name": "x", "which": "c"})


@pytest.mark.parametrize("prefix", ["", "^", "(?=/)", r"\b|", "x*"])
def test_a_prefix_may_match_nothing(prefix: str) -> None:
    entry = include([route("websocket.connect", first, path="^/a$")], path=prefix)
    assert entry.match(connect("/a")) == (first, {})


@pytest.mark.parametrize(
    "prefix", ["(?i)^/CHAT", "^/(?:blog|chat)", r"\A/chat\b", "(?x) ^ /chat # x"]
)
@pytest.mark.parametrize("path", ["/chat/a", b"/chat/a"])
def test_prefixes_may_use_all_of_the_regular_expressions(prefix: str, path: Any) -> None:
    entry = include([route("websocket.connect", first, path=r"\A/a\Z")], path=prefix)
    assert entry.match(connect(path)) == (first, {})


def test_a_word_may_begin_where_a_prefix_ends() -> None:
    """What is cut off is gone: between two letters there is no word boundary, here there is."""
    entry = include([route("websocket.connect", first, path=r"\bb$")], path="^a")
    assert entry.match(connect("ab")) == (first, {})


def test_bytes_that_are_no_utf_8_pass_through_includes_and_captures() -> None:
    inner = [route("websocket.connect", first, path="(?P<rest>.*)")]
    found = include(inner, path="^/\udcff").match(connect(b"/\xff/\xfe\xc3\xa9"))
    assert found == (first, {"rest": "/\udcfe\xe9"})
    assert found[1]["rest"].encode("utf-8", "surrogateescape") == b"/\xfe\xc3\xa9"


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
