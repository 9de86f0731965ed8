"""The samples of the chapter Routing."""

from types import SimpleNamespace

from channels.message import Message
from channels.routing import include, route


def consumer(message, **kwargs):
    """What the samples route to."""


#: The names that the samples use and do not import.
NAMES = {
    "comment_response": consumer,
    "connect_blog": consumer,
    "consumers": SimpleNamespace(ws_connect=consumer),
    "include": include,
    "route": route,
}


def match(entry, channel, **content):
    """What a routing entry makes of a message."""
    return entry.match(Message(content, channel, None))


def test_one_filter(sample):
    entry = eval(sample, NAMES)

    assert match(entry, "websocket.connect", path="/chat/") == (consumer, {})
    assert match(entry, "websocket.connect", path="/chat/more/") is None
    assert match(entry, "websocket.connect", path="chat/") is None  # the first slash counts


def test_two_filters(sample):
    entry = eval(sample, NAMES)

    both = {"to_address": "blog@example.com", "subject": "reply to you"}
    assert match(entry, "email.receive", **both) == (consumer, {})
    assert match(entry, "email.receive", **both | {"subject": "a reply"}) is None
    assert match(entry, "email.receive", **both | {"to_address": "blog@example.org"}) is None


def test_captured_arguments(sample):
    entry = eval(sample, NAMES)

    path = "/liveblog/some-slug/stream/"
    assert match(entry, "websocket.connect", path=path) == (consumer, {"slug": "some-slug"})


def test_include(sample, samples, project):
    inner = samples["captured_arguments"].replace("/liveblog", "").strip()
    given = "from channels import route\nfrom tests.documented.test_routing import consumer"
    project.write("blog_includes", given, f"connect_blog = consumer\nchannel_routing = [{inner}]")
    entry = eval(sample, NAMES)

    found, kwargs = match(entry, "websocket.connect", path="/liveblog/slug/stream/")
    assert (found.__name__, kwargs) == ("consumer", {"slug": "slug"})
    assert match(entry, "websocket.connect", path="/slug/stream/") is None


def test_matched_portion(sample):
    namespace = dict(NAMES)
    exec(sample, namespace)
    [entry] = namespace["routing"]

    assert match(entry, "websocket.connect", path="/liveblog/stream/") == (consumer, {})
    assert match(entry, "websocket.connect", path="/stream/") is None
